package search

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"unsafe"
)

const (
	featuresMagic = "GODINOF1"
	headerSize    = 64
	maxDim        = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what a file of features begins with; doc.go has its layout.
type header struct {
	dim, count int
	key        Key
	rowsCRC    uint32
}

func (h *header) bytes() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, featuresMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.dim))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.count))
	b = append(b, h.key[:]...)
	b = binary.LittleEndian.AppendUint32(b, h.rowsCRC)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseHeader reads the header of a file of size bytes, and checks that the file holds just what it says.
func parseHeader(b []byte, size int64) (h header, err error) {
	if len(b) < headerSize || string(b[:8]) != featuresMagic {
		return h, fmt.Errorf("no features of an index: it does not begin with %s", featuresMagic)
	}
	if crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return h, fmt.Errorf("damaged: the checksum of its header is wrong")
	}
	dim, count := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint64(b[16:])
	if dim < 1 || dim > maxDim || count > math.MaxInt64/4/maxDim-headerSize {
		return h, fmt.Errorf("damaged: %d rows of %d dimensions", count, dim)
	}
	if want := headerSize + 4*int64(dim)*int64(count); size != want || want > math.MaxInt {
		return h, fmt.Errorf("damaged: %d rows of %d dimensions are %d bytes; the file has %d", count, dim, want, size)
	}
	h = header{dim: int(dim), count: int(count), rowsCRC: binary.LittleEndian.Uint32(b[56:])}
	copy(h.key[:], b[24:])
	return h, nil
}

// featureFile is a file of features, mapped.
type featureFile struct {
	header
	Rows
	unmap func() error
}

func openFeatures(path string) (_ *featureFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the mapping stays
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var first [headerSize]byte
	if _, err := io.ReadFull(f, first[:]); err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	h, err := parseHeader(first[:], st.Size())
	if err != nil {
		return nil, err
	}
	data, unmap, err := mapFile(f, int(st.Size()))
	if err != nil {
		return nil, err
	}
	return &featureFile{h, Rows{floats(data[headerSize:]), h.dim}, unmap}, nil
}

// verify reads all rows and compares their checksum.
func (f *featureFile) verify() error {
	crc, buf := uint32(0), []byte(nil)
	for i := range f.Len() {
		buf = appendRow(buf[:0], f.Row(i))
		crc = crc32.Update(crc, castagnoli, buf)
	}
	if crc != f.rowsCRC {
		return fmt.Errorf("the features are damaged: their checksum is wrong")
	}
	return nil
}

// floats are little-endian float32 as this machine has them: the same memory if it is little-endian, else a copy. b is aligned.
func floats(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
	}
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// appendRow appends a row as a file has it.
func appendRow(b []byte, row []float32) []byte {
	for _, v := range row {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
