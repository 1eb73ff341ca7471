// Command _asm writes the Go assembly of kernels/avx2 and kernels/avx512 with avo: one file an operation and instruction set.
//
//	go -C kernels/_asm run . -dir ..
//
// Every operation is one file of this program, of the same name as the operation elsewhere, and one line of operations below.
package main

import (
	"bytes"
	"flag"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// operations maps a file name to the function that writes its kernels for one instruction set.
var operations = []struct {
	name     string
	generate func(c *build.Context, isa ISA)
}{
	{"adamw", adamw},
	{"add", add},
	{"attention", attention},
	{"attentionbf16", attentionBF16},
	{"gemm", gemm},
	{"gemmbf16", gemmBF16},
	{"peak", peak},
	{"dot", dot},
	{"ema", ema},
	{"exp", exp},
	{"gelu", gelu},
	{"l2normalize", l2normalize},
	{"layernorm", layernorm},
	{"softcrossentropy", softcrossentropy},
	{"softmax", softmax},
	{"transposebytes", transposeBytes},
	{"resample", resample},
	{"boxblur", boxblur},
	{"luma", luma},
	{"blend", blend},
	{"saturation", saturation},
	{"solarize", solarize},
	{"normalize", normalize},
	{"hue", hue},
	{"ycbcr", ycbcr},
}

func main() {
	out := flag.String("dir", "..", "the directory of package kernels")
	flag.Parse()
	log.SetFlags(0)
	for _, isa := range []ISA{AVX2, AVX512} {
		for _, op := range operations {
			if err := write(*out, isa, op.name, op.generate); err != nil {
				log.Fatalf("%s of %s: %v", op.name, isa.Package, err)
			}
		}
	}
}

func write(out string, isa ISA, name string, generate func(*build.Context, ISA)) error {
	c := build.NewContext()
	generate(c, isa)
	f, err := c.Result()
	if err != nil {
		return err
	}
	if len(f.Functions()) == 0 {
		return nil // nothing of that instruction set
	}
	for _, fn := range f.Functions() {
		interleave(fn)
	}
	cfg := printer.Config{Argv: []string{"go", "generate", "./kernels"}, Name: "avo", Pkg: isa.Package}
	var asm, stubs bytes.Buffer
	passes := pass.Concat(pass.Compile, pass.FunctionPass(encodeEVEX),
		&pass.Output{Writer: nopCloser{&asm}, Printer: printer.NewGoAsm(cfg)},
		&pass.Output{Writer: nopCloser{&stubs}, Printer: printer.NewStubs(cfg)})
	if err := passes.Execute(f); err != nil {
		return err
	}
	path := filepath.Join(out, isa.Package, name+"_amd64")
	if err := os.WriteFile(path+".s", asm.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(path+".go", stubs.Bytes(), 0o644)
}

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }
