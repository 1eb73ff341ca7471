// Cugen makes the PTX of kernels/cuda from its CUDA C++ sources with clang-19, without any package of NVIDIA's. Run it by "go generate ./kernels/cuda", or as
//
//	go run ./internal/cugen [name ...]
//
// in kernels/cuda for some of the sources alone. name.cu becomes ptx/name.ptx for sm_80; name_sm_90a.cu for sm_90a. The first line of the result holds the
// checksum of what it was made of, which a test compares. Where ptxas is in PATH, ptx/name.regs says the registers that it needs, and spills or warnings
// are errors. The environment variable CLANG names another compiler.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/godino-ml/godino/kernels/cuda/internal/ptxas"
	"github.com/godino-ml/godino/kernels/cuda/internal/source"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "cugen: %v\n", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	if len(names) == 0 {
		files, _ := filepath.Glob("*.cu")
		if len(files) == 0 {
			return errors.New("there is no .cu here: run it in kernels/cuda")
		}
		for _, f := range files {
			names = append(names, strings.TrimSuffix(f, ".cu"))
		}
		if err := removeOrphans(); err != nil {
			return err
		}
	}
	_, err := ptxas.Version()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cugen: registers are not looked at: %v\n", err)
	}
	errs := make([]error, len(names))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if errs[i] = compile(name); errs[i] == nil && err == nil {
				errs[i] = registers(name)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// removeOrphans removes what was made of sources that are gone.
func removeOrphans() error {
	made, _ := filepath.Glob("ptx/*")
	for _, f := range made {
		name := strings.TrimSuffix(filepath.Base(f), filepath.Ext(f))
		if _, err := os.Stat(name + ".cu"); os.IsNotExist(err) {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	return nil
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

func registers(name string) error {
	kernels, err := ptxas.Assemble(filepath.Join("ptx", name+".ptx"))
	if err != nil {
		return err
	}
	for _, k := range kernels {
		if k.Spills > 0 || k.Stack > 0 {
			err = errors.Join(err, fmt.Errorf("kernel %s of %s.cu needs %d bytes of stack and spills %d", k.Name, name, k.Stack, k.Spills))
		}
	}
	return errors.Join(err, os.WriteFile(filepath.Join("ptx", name+".regs"), []byte(ptxas.Format(kernels)), 0o644))
}
