package cuda_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda/internal/ptxas"
	"github.com/godino-ml/godino/kernels/cuda/internal/source"
)

// sources are the names of the .cu files.
func sources(t *testing.T) []string {
	files, err := filepath.Glob("*.cu")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no .cu: %v", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".cu")
	}
	return files
}

var entries = regexp.MustCompile(`(?m)^\.visible \.entry (\w+)\(`)

// TestPTX fails when PTX is not of the sources, what they include, and the flags as they are now.
func TestPTX(t *testing.T) {
	const remedy = "run go generate ./kernels/cuda, which needs clang-19"
	names := sources(t)
	made, err := filepath.Glob("ptx/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range made {
		if name := strings.TrimSuffix(filepath.Base(f), filepath.Ext(f)); !slices.Contains(names, name) {
			t.Errorf("%s has no %s.cu: %s", f, name, remedy)
		}
	}
	of := map[string]string{}
	for _, name := range names {
		header, err := source.Header(".", name)
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := os.ReadFile(filepath.Join("ptx", name+".ptx"))
		if err != nil {
			t.Errorf("%s.cu: %v: %s", name, err, remedy)
			continue
		}
		if first, _, _ := bytes.Cut(text, []byte("\n")); string(first) != header {
			t.Errorf("ptx/%s.ptx was made of other sources or flags than there are now: %s\nits first line is %s\nand should be     %s", name, remedy, first, header)
		}
		// A Device knows kernels by their names alone.
		for _, m := range entries.FindAllSubmatch(text, -1) {
			kernel := string(m[1])
			if other, ok := of[kernel]; ok {
				t.Errorf("%s.cu and %s.cu both have a kernel %s", other, name, kernel)
			}
			of[kernel] = name
		}
	}
}

// TestRegisters compares the registers of kernels with what is written in ptx/name.regs. Without ptxas it only compares names.
func TestRegisters(t *testing.T) {
	version, missing := ptxas.Version()
	for _, name := range sources(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("ptx", name+".ptx")
			listed := listedRegisters(t, name, file)
			if missing != nil {
				t.Skipf("registers are not measured: %v", missing)
			}
			measured, err := ptxas.Assemble(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range measured {
				if k.Stack != 0 || k.Spills != 0 {
					t.Errorf("kernel %s needs %d bytes of stack and spills %d: none is allowed", k.Name, k.Stack, k.Spills)
				}
				// Other versions may need some more.
				if l := listed[k.Name]; l.Version == version && (k.Registers != l.Registers || k.Shared != l.Shared) {
					t.Errorf("kernel %s takes %d registers and %d bytes of shared memory; ptx/%s.regs says %d and %d", k.Name, k.Registers, k.Shared, name, l.Registers, l.Shared)
				}
			}
		})
	}
}

// listedRegisters reads ptx/name.regs, which has to name the kernels of ptx/name.ptx.
func listedRegisters(t *testing.T, name, file string) map[string]ptxas.Kernel {
	const remedy = "run go generate ./kernels/cuda with ptxas in PATH (kernels/cuda/get-ptxas)"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join("ptx", name+".regs"))
	if err != nil {
		t.Fatalf("%v: %s", err, remedy)
	}
	all, err := ptxas.Read(string(lines))
	if err != nil {
		t.Fatalf("ptx/%s.regs: %v", name, err)
	}
	listed := map[string]ptxas.Kernel{}
	for _, k := range all {
		listed[k.Name] = k
	}
	kernels := entries.FindAllSubmatch(text, -1)
	for _, m := range kernels {
		if _, ok := listed[string(m[1])]; !ok {
			t.Errorf("ptx/%s.regs has no kernel %s: %s", name, m[1], remedy)
		}
	}
	if len(kernels) != len(listed) {
		t.Errorf("ptx/%s.regs lists %d kernels, and ptx/%s.ptx has %d: %s", name, len(listed), name, len(kernels), remedy)
	}
	return listed
}
