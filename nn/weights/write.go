package weights

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Contents is everything a file holds.
type Contents struct {
	Arrays   []Array
	Raws     []Raw
	Metadata map[string]string // keys that start with "checksum." are the format's own
}

const (
	checksumPrefix = "checksum."
	checksumHeader = "checksum.header"
	zeroChecksum   = "00000000"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes contents to path as safetensors, atomically; see AtomicWrite.
func Save(path string, c *Contents) error {
	return AtomicWrite(path, func(w io.Writer) error { return Write(w, c) })
}

// Write writes contents as safetensors. The bytes depend on the contents alone.
func Write(w io.Writer, c *Contents) error {
	order, err := c.layout()
	if err != nil {
		return err
	}
	header, err := c.header(order)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(header))); err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, p := range order {
		if err := p.writeTo(w); err != nil {
			return err
		}
	}
	return nil
}

// part is one array on its way to a file: floats, or bytes.
type part struct {
	Entry
	floats []float32
	bytes  []byte
}

// layout checks the contents and puts them in file order: wider elements first, so that each array is aligned, otherwise as given.
func (c *Contents) layout() ([]part, error) {
	parts := make([]part, 0, len(c.Arrays)+len(c.Raws))
	for _, a := range c.Arrays {
		parts = append(parts, part{Entry: a.Entry(), floats: a.Data})
	}
	for _, r := range c.Raws {
		parts = append(parts, part{Entry: Entry{r.Name, r.Dtype, r.Shape}, bytes: r.Data})
	}
	seen := map[string]bool{}
	for _, p := range parts {
		size := int64(p.Dtype.size())
		have := int64(len(p.bytes))
		if p.bytes == nil {
			have = 4 * int64(len(p.floats))
		}
		n, err := elements(p.Shape, math.MaxInt64/8)
		switch {
		case p.Name == "" || p.Name == "__metadata__" || p.Name == "header":
			return nil, fmt.Errorf("an array cannot be called %q in a safetensors file", p.Name)
		case seen[p.Name]:
			return nil, fmt.Errorf("two arrays are called %q", p.Name)
		case size == 0:
			return nil, fmt.Errorf("%s: unknown element type %q", p.Name, p.Dtype)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		case n*size != have:
			return nil, fmt.Errorf("%s: shape %s needs %d bytes, the data has %d", p.Name, shapeString(p.Shape), n*size, have)
		}
		seen[p.Name] = true
	}
	slices.SortStableFunc(parts, func(a, b part) int { return b.Dtype.size() - a.Dtype.size() })
	return parts, nil
}

// header is the JSON header, with checksums, padded so that data starts at a multiple of 8.
func (c *Contents) header(order []part) ([]byte, error) {
	metadata := map[string]string{}
	for k, v := range c.Metadata {
		if strings.HasPrefix(k, checksumPrefix) {
			return nil, fmt.Errorf("metadata key %q is the format's own", k)
		}
		metadata[k] = v
	}
	for _, p := range order {
		crc := crc32.New(castagnoli)
		if err := p.writeTo(crc); err != nil {
			return nil, err
		}
		metadata[checksumPrefix+p.Name] = fmt.Sprintf("%08x", crc.Sum32())
	}
	metadata[checksumHeader] = zeroChecksum

	b := []byte(`{"__metadata__":{`)
	for i, k := range slices.Sorted(maps.Keys(metadata)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quote(k)...), ':'), quote(metadata[k])...)
	}
	b = append(b, '}')
	offset := 0
	for _, p := range order {
		shape := p.Shape
		if shape == nil {
			shape = []int{} // a scalar's shape is [], not null
		}
		s, err := json.Marshal(shape)
		if err != nil {
			return nil, err
		}
		end := offset + p.Len()*p.Dtype.size()
		b = fmt.Appendf(b, `,%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, quote(p.Name), p.Dtype, s, offset, end)
		offset = end
	}
	b = append(b, '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	if len(b) > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes; %d are allowed: too many arrays or too much metadata", len(b), maxHeader)
	}
	digits, err := headerChecksum(b)
	if err != nil {
		return nil, err
	}
	copy(digits.at, digits.want)
	return b, nil
}

func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return b
}

// writeTo writes the data, little-endian.
func (p part) writeTo(w io.Writer) error {
	if p.bytes != nil {
		_, err := w.Write(p.bytes)
		return err
	}
	var buffer [1 << 15]byte
	for rest := p.floats; len(rest) > 0; {
		n := min(len(rest), len(buffer)/4)
		for i, v := range rest[:n] {
			binary.LittleEndian.PutUint32(buffer[4*i:], math.Float32bits(v))
		}
		if _, err := w.Write(buffer[:4*n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}
