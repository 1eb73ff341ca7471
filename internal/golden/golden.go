// Package golden opens the reference vectors that tests compare with: tensors computed by PyTorch, torchvision and Pillow, kept in
// testdata/golden at the repository root. The environment variable GODINO_GOLDEN names another directory of the same files, so that
// vectors of other seeds and sizes can be dropped in: a relative name is seen from the repository root, and a file that the directory does
// not hold skips its tests. Tests alone import it.
package golden

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Array is one tensor of a golden file, row-major. F32 fills Float, I64 fills Int, U8 fills Byte.
type Array struct {
	Shape []int
	Float []float32
	Int   []int64
	Byte  []byte
}

// File is one golden file: its tensors and its metadata.
type File struct {
	Path     string
	Metadata map[string]string
	arrays   map[string]*Array
	t        testing.TB
}

// Dir is the directory of the golden files.
func Dir() string {
	d := os.Getenv("GODINO_GOLDEN")
	if filepath.IsAbs(d) {
		return d
	}
	if d == "" {
		d = filepath.Join("testdata", "golden")
	}
	return filepath.Join(root(), d)
}

// root is the directory of go.mod: a test runs in its package's directory, and -trimpath hides where sources are.
func root() string {
	dir := "."
	for range 16 {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Join(dir, "..")
	}
	return "."
}

// Path is where a golden file lies. It skips the test if GODINO_GOLDEN names a directory of golden files that has none of this name.
func Path(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Dir(), name)
	if _, err := os.Stat(path); err != nil && os.Getenv("GODINO_GOLDEN") != "" {
		if others, _ := filepath.Glob(filepath.Join(Dir(), "*.safetensors")); len(others) > 0 {
			t.Skipf("GODINO_GOLDEN: %s has no %s", Dir(), name)
		}
	}
	return path
}

// Open reads a golden file and fails the test if it cannot; see Path for one that is missing.
func Open(t testing.TB, name string) *File {
	t.Helper()
	f := &File{Path: Path(t, name), arrays: map[string]*Array{}, t: t}
	if err := f.read(); err != nil {
		t.Fatalf("golden file %s: %v", f.Path, err)
	}
	return f
}

// Get returns a tensor and fails the test if there is none of that name.
func (f *File) Get(name string) *Array {
	f.t.Helper()
	a := f.arrays[name]
	if a == nil {
		f.t.Fatalf("golden file %s has no tensor %q", f.Path, name)
	}
	return a
}

// Has says whether the file holds a tensor of that name.
func (f *File) Has(name string) bool { return f.arrays[name] != nil }

// Names lists the tensors that start with prefix, sorted.
func (f *File) Names(prefix string) []string {
	var names []string
	for n := range f.arrays {
		if strings.HasPrefix(n, prefix) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// Meta decodes the JSON of one metadata entry into v and fails the test if it cannot.
func (f *File) Meta(key string, v any) {
	f.t.Helper()
	s, ok := f.Metadata[key]
	if !ok {
		f.t.Fatalf("golden file %s has no metadata %q", f.Path, key)
	}
	if err := json.Unmarshal([]byte(s), v); err != nil {
		f.t.Fatalf("golden file %s, metadata %q: %v", f.Path, key, err)
	}
}

// Near fails the test unless every element of got is within tol of want, times want's largest finite element where that is above 1.
// Infinities must be equal, and NaN is never near.
func Near(t testing.TB, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	size := 1.0
	for _, v := range want {
		if a := math.Abs(float64(v)); !math.IsInf(a, 0) {
			size = max(size, a)
		}
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - float64(v)); got[i] != v && !(d <= tol*size) {
			t.Errorf("%s: element %d is %v, want %v: off by %.2g, allowed %.2g", what, i, got[i], v, d, tol*size)
			return
		}
	}
}

func (f *File) read() error {
	b, err := os.ReadFile(f.Path)
	if err != nil {
		return err
	}
	if len(b) < 8 {
		return fmt.Errorf("%d bytes are no safetensors file", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(len(b)-8) {
		return fmt.Errorf("header of %d bytes in a file of %d", n, len(b))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(b[8:8+n], &header); err != nil {
		return err
	}
	data := b[8+n:]
	for name, raw := range header {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &f.Metadata); err != nil {
				return err
			}
			continue
		}
		var h struct {
			Dtype   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if h.Offsets[0] < 0 || h.Offsets[1] < h.Offsets[0] || h.Offsets[1] > len(data) {
			return fmt.Errorf("%s: offsets %v in %d bytes", name, h.Offsets, len(data))
		}
		a := &Array{Shape: h.Shape}
		d := data[h.Offsets[0]:h.Offsets[1]]
		switch h.Dtype {
		case "F32":
			a.Float = make([]float32, len(d)/4)
			for i := range a.Float {
				a.Float[i] = math.Float32frombits(binary.LittleEndian.Uint32(d[4*i:]))
			}
		case "I64":
			a.Int = make([]int64, len(d)/8)
			for i := range a.Int {
				a.Int[i] = int64(binary.LittleEndian.Uint64(d[8*i:]))
			}
		case "U8":
			a.Byte = slices.Clone(d)
		default:
			return fmt.Errorf("%s: dtype %s is not read here", name, h.Dtype)
		}
		f.arrays[name] = a
	}
	return nil
}
