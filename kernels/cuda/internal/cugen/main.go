// Cugen makes the PTX of kernels/cuda from its CUDA C++ sources with clang-19, without any package of NVIDIA's. Run it by "go generate ./kernels/cuda", or as
//
//	go run ./internal/cugen [name ...]
//
// in kernels/cuda for some of the sources alone. name.cu becomes ptx/name.ptx for sm_80; name_sm_90a.cu for sm_90a. The first line of the result holds the
// checksum of what it was made of, which a test compares.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/godino-ml/godino/kernels/cuda/internal/source"
)

func main() {
	names := os.Args[1:]
	if len(names) == 0 {
		files, _ := filepath.Glob("*.cu")
		for _, f := range files {
			names = append(names, strings.TrimSuffix(f, ".cu"))
		}
	}
	failed := false
	for _, name := range names {
		if err := compile(name); err != nil {
			fmt.Fprintf(os.Stderr, "cugen: %v\n", err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func compile(name string) error {
	header, err := source.Header(".", name)
	if err != nil {
		return err
	}
	compiler := os.Getenv("CLANG")
	if compiler == "" {
		compiler = "clang-19"
	}
	out := filepath.Join("ptx", name+".ptx")
	temporary := out + ".new"
	defer os.Remove(temporary)
	command := exec.Command(compiler, append(source.Flags(name), "-S", name+".cu", "-o", temporary)...)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s.cu: %w\n%s", compiler, name, err, text)
	}
	text, err := os.ReadFile(temporary)
	if err != nil {
		return err
	}
	return os.WriteFile(out, append([]byte(header+"\n"), text...), 0o644)
}
