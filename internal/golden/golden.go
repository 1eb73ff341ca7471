// Package golden opens the reference vectors that tests compare with: tensors computed by PyTorch, torchvision and Pillow, kept in
// testdata/golden at the repository root. The environment variable GODINO_GOLDEN names another directory of the same files, so that
// vectors of other seeds and sizes can be dropped in. Tests alone import it.
package golden

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
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
	if d := os.Getenv("GODINO_GOLDEN"); d != "" {
		return d
	}
	_, self, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(self), "..", "..", "testdata", "golden")
}

// Open reads a golden file and fails the test if it cannot.
func Open(t testing.TB, name string) *File {
	t.Helper()
	f := &File{Path: filepath.Join(Dir(), name), arrays: map[string]*Array{}, t: t}
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
