package main

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `goos: linux
# a remark
BenchmarkGemm/avx512/threads=1/float32/NN/1024x1024x1024-2   2  8000000 ns/op  91.5 %ceiling  250.1 GFLOP/s
BenchmarkGemm/avx512/threads=1/float32/NN/1024x1024x1024-2   2  7000000 ns/op  95.5 %ceiling  262.1 GFLOP/s
BenchmarkGemm/avx512/threads=1/bf16/NN/1024x1024x1024-2   2  7000000 ns/op  55.5 %ceiling  262.1 GFLOP/s
BenchmarkGemm/avx2/threads=2/NT/37x37x64-2   200  7000 ns/op  262.1 GFLOP/s 45.25 %ceiling
BenchmarkGemmHeads/avx512/threads=2/NT/96x37x37x64-2   200  7000 ns/op  262.1 GFLOP/s 45.25 %ceiling
BenchmarkPeer/onednn-avx2/gemm/threads=2/NT/37x37x64 4800 770 ns/op 78.99 %ceiling 227.48 GFLOP/s
`

func TestRead(t *testing.T) {
	s := shares{}
	if err := s.read(strings.NewReader(sample)); err != nil {
		t.Fatal(err)
	}
	want := shares{
		{"avx512", 1, "NN", "1024x1024x1024"}: 95.5,
		{"avx2", 2, "NT", "37x37x64"}:         45.25,
		{"onednn-avx2", 2, "NT", "37x37x64"}:  78.99,
	}
	if len(s) != len(want) {
		t.Errorf("%v", s)
	}
	for p, v := range want {
		if s[p] != v {
			t.Errorf("%v: %g, want %g", p, s[p], v)
		}
	}
	if err := s.read(strings.NewReader("BenchmarkPeer/onednn/gemm/threads=2/NT/37x37x64 4800 770 ns/op much %ceiling")); err == nil {
		t.Error("a share of much")
	}
}

func TestDraw(t *testing.T) {
	dir := t.TempDir()
	text, picture := filepath.Join(dir, "a.txt"), filepath.Join(dir, "a.png")
	if err := os.WriteFile(text, []byte(sample), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, avx2 := range []bool{false, true} {
		if err := run(picture, avx2, []string{text}); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(picture)
		if err != nil {
			t.Fatal(err)
		}
		c, err := png.DecodeConfig(f)
		f.Close()
		if err != nil || c.Width != 1430 {
			t.Errorf("%d px wide, %v", c.Width, err)
		}
	}
	if err := os.WriteFile(text, []byte("PASS\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if run(picture, false, []string{text}) == nil || run(picture, false, nil) == nil {
		t.Error("nothing was drawn")
	}
}
