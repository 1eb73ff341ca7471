package npy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// TestBytesAreNumPys compares with what numpy.save(f, numpy.array([[1, -2, 0.5]], dtype='<f4')) of NumPy 1.26 writes.
func TestBytesAreNumPys(t *testing.T) {
	header := "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }"
	want := []byte("\x93NUMPY\x01\x00\x76\x00" + header)
	for len(want) < 127 {
		want = append(want, ' ')
	}
	want = append(want, '\n', 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0x3f)
	var b bytes.Buffer
	if err := Write(&b, []float32{1, -2, 0.5}, 1, 3); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("wrote\n%s\nwant\n%s", hex.Dump(b.Bytes()), hex.Dump(want))
	}
}

func TestHeaderIsAlwaysPadded(t *testing.T) {
	for n := range 300 {
		shape := make([]int, 1+n%20)
		for i := range shape {
			shape[i] = 1
		}
		shape[0] = n
		var b bytes.Buffer
		if err := Write(&b, make([]float32, n), shape...); err != nil {
			t.Fatal(err)
		}
		if header := b.Len() - 4*n; header%64 != 0 || b.Bytes()[header-1] != '\n' {
			t.Errorf("shape %v: header of %d bytes, want a multiple of 64 that ends a line", shape, header)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestErrors(t *testing.T) {
	if err := Write(full{}, make([]float32, 4), 4); err == nil {
		t.Error("a failing writer went unnoticed")
	}
	if err := Write(&bytes.Buffer{}, make([]float32, 4), 5); err == nil {
		t.Error("4 numbers in a shape of 5 went unnoticed")
	}
}
