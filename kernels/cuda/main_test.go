package cuda_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// TestMain checks, when all tests have run, that every kernel was launched by some of them. GODINO_PTX_COVERAGE=FILE, with -count=1, writes to FILE which lines of PTX no
// test has reached.
func TestMain(m *testing.M) {
	code := m.Run()
	if run := flag.Lookup("test.run").Value.String() + flag.Lookup("test.skip").Value.String() + flag.Lookup("test.list").Value.String(); code == 0 && run == "" && !cudatest.Hardware() {
		if err := everyKernelRan(os.Getenv("GODINO_PTX_COVERAGE")); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

func everyKernelRan(report string) error {
	files, err := filepath.Glob("ptx/*.ptx")
	if err != nil {
		return err
	}
	var never, lines []string
	for _, f := range files {
		file := strings.TrimSuffix(filepath.Base(f), ".ptx")
		launches, err := cudatest.LaunchesOf(file)
		if err != nil {
			return err
		}
		for kernel, n := range launches {
			if n == 0 {
				never = append(never, file+".cu: "+kernel)
			}
		}
		if report != "" {
			uncovered, err := cudatest.Uncovered(file)
			if err != nil {
				return err
			}
			for _, line := range uncovered {
				lines = append(lines, f+":"+line)
			}
		}
	}
	if report != "" {
		if err := os.WriteFile(report, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	if len(never) > 0 {
		slices.Sort(never)
		return fmt.Errorf("kernels that no test has launched:\n\t%s", strings.Join(never, "\n\t"))
	}
	return nil
}
