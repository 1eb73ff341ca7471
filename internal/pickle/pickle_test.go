package pickle

import (
	"reflect"
	"strings"
	"testing"

	"github.com/nlpodyssey/gopickle/types"
)

var numpyRules = func() Rules {
	r := Rules{Writer: "a test", Protocol: 5, Classes: map[string]bool{}, Advice: "ask its author",
		Find: func(module, name string) (any, error) { f, _ := FindNumpy(module, name); return f, nil }}
	for _, name := range NumpyClasses {
		r.Classes[name] = true
	}
	return r
}()

// array is the program of numpy.array(…, dtype) with these fields of its state, in protocol 4.
func array(dtype, shape, fortran, data string) []byte {
	return []byte("\x80\x04\x8c\x15numpy.core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87R" +
		"(K\x01" + shape + "\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02" + dtype + "\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + fortran + data + "tb.")
}

func TestNumpyArrays(t *testing.T) {
	for _, c := range []struct {
		dtype, shape, data string
		wantShape          []int
		want               []float64
	}{
		{"i8", "K\x02\x85", "C\x10\x07\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff", []int{2}, []float64{7, -2}},
		{"u2", "K\x02K\x01\x86", "C\x04\x01\x00\xff\xff", []int{2, 1}, []float64{1, 65535}},
		{"f4", ")", "C\x04\x00\x00\xc0\x3f", []int{}, []float64{1.5}},
		{"b1", "K\x00\x85", "C\x00", []int{0}, []float64{}},
	} {
		v, err := Load(array(c.dtype, c.shape, "\x89", c.data), numpyRules)
		if err != nil {
			t.Errorf("%s: %v", c.dtype, err)
			continue
		}
		if a, ok := v.(*Array); !ok || !reflect.DeepEqual(a.Shape, c.wantShape) || !reflect.DeepEqual(a.Values, c.want) {
			t.Errorf("%s: %+v", c.dtype, v)
		}
	}
	for what, p := range map[string][]byte{
		"shape beyond the data": array("i8", "K\x03\x85", "\x89", "C\x08\x01\x00\x00\x00\x00\x00\x00\x00"),
		"huge shape":            array("i1", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", "\x89", "C\x01\x00"),
		"negative shape":        array("i1", "J\xff\xff\xff\xff\x85", "\x89", "C\x01\x00"),
		"objects":               array("O8", "K\x01\x85", "\x89", "]N\x61"),
		"Fortran order":         array("u1", "K\x01K\x01\x86", "\x88", "C\x01\x00"),
		"beyond 2^53":           array("i8", "K\x01\x85", "\x89", "C\x08\xff\xff\xff\xff\xff\xff\xff\x7f"),
	} {
		if v, err := Load(p, numpyRules); err == nil {
			t.Errorf("%s: read as %+v", what, v)
		}
	}
}

func TestRules(t *testing.T) {
	p := []byte("\x80\x04\x8c\x01a\x94.")
	if v, err := Load(p, numpyRules); err != nil || v != "a" {
		t.Errorf("%v, %v", v, err)
	}
	old := Rules{Writer: "torch.save", Protocol: 2}
	for _, text := range []string{string(p), "\x80\x02\x8c\x01a."} { // the protocol by its number, and by an instruction that it lacks
		if v, err := Load([]byte(text), old); err == nil || !strings.Contains(err.Error(), "torch.save") {
			t.Errorf("%q: %v, %v", text, v, err)
		}
	}
	if _, err := Load([]byte("\x80\x02cnumpy\ndtype\n."), old); err == nil || !strings.Contains(err.Error(), `"numpy.dtype"`) {
		t.Errorf("a class where none is allowed: %v", err)
	}
	if _, err := Load([]byte("\x80\x02]Q."), numpyRules); err == nil {
		t.Error("a persistent id was resolved by nobody")
	}
	if _, err := Load([]byte("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN."), numpyRules); err == nil || !strings.Contains(err.Error(), "frame") {
		t.Errorf("a frame beyond the file: %v", err)
	}
	v, err := Load([]byte("\x80\x02](K\x01K\x02e."), old)
	if list, ok := v.(*types.List); err != nil || !ok || len(*list) != 2 {
		t.Errorf("%v, %v", v, err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(array("i8", "K\x02\x85", "\x89", "C\x10\x07\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x80\x02}(X\x01\x00\x00\x00aK\x01u."))
	f.Fuzz(func(t *testing.T, p []byte) { Load(p, numpyRules) })
}
