//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package search

import (
	"io"
	"os"
	"unsafe"
)

// mapFile reads the first size bytes of a file, where files are not mapped.
func mapFile(f *os.File, size int) (data []byte, unmap func() error, err error) {
	words := make([]uint64, (size+7)/8) // for the alignment that floats need
	data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, int64(size)), data); err != nil {
		return nil, nil, err
	}
	return data, func() error { return nil }, nil
}
