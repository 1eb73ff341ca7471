// Package npy writes arrays of float32 as NumPy's .npy files, version 1.0 of the format (numpy.lib.format): a magic string, a header that is
// a Python literal padded to a multiple of 64 bytes, and the numbers in row-major order, little-endian.
package npy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// Write writes data as an array of that shape.
func Write(w io.Writer, data []float32, shape ...int) error {
	n := 1
	dims := make([]string, len(shape))
	for i, d := range shape {
		n *= d
		dims[i] = fmt.Sprint(d)
	}
	if n != len(data) {
		return fmt.Errorf("npy: %d numbers for an array of shape %v", len(data), shape)
	}
	tuple := strings.Join(dims, ", ")
	if len(shape) == 1 {
		tuple += "," // a Python tuple of one
	}
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", tuple)
	const prefix = 10 // magic, version and the header's length
	header += strings.Repeat(" ", 63-(prefix+len(header))%64) + "\n"
	if len(header) > math.MaxUint16 {
		return fmt.Errorf("npy: %d dimensions are too many", len(shape))
	}
	b := bufio.NewWriterSize(w, 1<<16)
	b.WriteString("\x93NUMPY\x01\x00")
	b.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	b.WriteString(header)
	var word [4]byte
	for _, v := range data {
		binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
		b.Write(word[:])
	}
	return b.Flush() // reports the first error of all writes
}
