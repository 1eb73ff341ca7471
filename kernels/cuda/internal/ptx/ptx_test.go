package ptx

import (
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

// Every kernel of the repository can be interpreted.
func TestEveryKernelCompiles(t *testing.T) {
	pattern := "../../ptx/*.ptx"
	if p := os.Getenv("GODINO_PTX"); p != "" {
		pattern = p
	}
	files, _ := filepath.Glob(pattern)
	if len(files) == 0 {
		t.Fatal("no PTX")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parse(string(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, k := range m.kernels {
			if _, err := k.compile(); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// exactFMA is a·b + c of normal numbers near 1, rounded to nearest once.
func exactFMA(a, b, c float32) float32 {
	exact := func(x float32) *big.Float { return new(big.Float).SetPrec(400).SetFloat64(float64(x)) }
	s := exact(a)
	s.Mul(s, exact(b))
	s.Add(s, exact(c))
	r, _ := s.Float32()
	return r
}
