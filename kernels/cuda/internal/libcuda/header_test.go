package libcuda

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestHeader compares include/cuda.h with NVIDIA's, where GODINO_CUDA_HEADERS names directories that hold one: numbers by assertions, signatures by
// declaring each function twice.
func TestHeader(t *testing.T) {
	dirs := filepath.SplitList(os.Getenv("GODINO_CUDA_HEADERS"))
	if len(dirs) == 0 {
		t.Skip("GODINO_CUDA_HEADERS names no directory with NVIDIA's cuda.h")
	}
	text, err := os.ReadFile("../../include/cuda.h")
	if err != nil {
		t.Fatal(err)
	}
	var c strings.Builder
	fmt.Fprintln(&c, "#include <stdint.h>\n#include <cuda.h>")
	numbers := regexp.MustCompile(`\b(CU_\w+|CUDA_[A-Z_]+) = (\d+),`).FindAllStringSubmatch(string(text), -1)
	for _, m := range numbers {
		fmt.Fprintf(&c, "_Static_assert(%s == %s, \"%s\");\n", m[1], m[2], m[1])
	}
	functions := regexp.MustCompile(`(?m)^CUresult cu.*;$`).FindAllString(string(text), -1)
	for _, f := range functions {
		fmt.Fprintln(&c, f)
	}
	if len(numbers) < 100 || len(functions) < 60 {
		t.Fatalf("found %d numbers and %d functions in cuda.h", len(numbers), len(functions))
	}
	fmt.Fprintln(&c, `_Static_assert(sizeof(CUlaunchConfig) == 56 && sizeof(CUlaunchAttribute) == 72 && sizeof(CUtensorMap) == 128, "structures");`)
	file := filepath.Join(t.TempDir(), "header.c")
	if err := os.WriteFile(file, []byte(c.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, "../../include") {
		if out, err := exec.Command("cc", "-std=c11", "-fsyntax-only", "-I"+dir, file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
	}
}
