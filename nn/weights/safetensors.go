package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	maxHeader  = 100 << 20 // the limit of the safetensors library
	maxEntries = 32_000    // a ViT-g checkpoint with optimizer has about 5,000
	maxDims    = 16
)

// digits is where a header keeps its own checksum, and what it should say.
type digits struct {
	at   []byte // eight bytes inside the header
	want string
}

// headerChecksum finds the header's own checksum and computes what it should be. The key cannot occur inside a JSON string, where its
// quotes would be escaped.
func headerChecksum(header []byte) (digits, error) {
	key := []byte(`"` + checksumHeader + `":"`)
	i := bytes.Index(header, key)
	if i < 0 || len(header) < i+len(key)+8 {
		return digits{}, errors.New("the header has checksums of arrays but none of its own")
	}
	i += len(key)
	crc := crc32.Update(0, castagnoli, header[:i])
	crc = crc32.Update(crc, castagnoli, []byte(zeroChecksum))
	crc = crc32.Update(crc, castagnoli, header[i+8:])
	return digits{at: header[i : i+8], want: fmt.Sprintf("%08x", crc)}, nil
}

// readSafetensors reads the index of a safetensors file.
func readSafetensors(r io.ReaderAt, size int64) (*File, error) {
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, fmt.Errorf("no safetensors header in %d bytes: the file is cut short", size)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > uint64(size-8) {
		return nil, fmt.Errorf("a header of %d bytes is announced in a file of %d: the file is cut short or no safetensors file", n, size)
	}
	if n > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes; %d are allowed", n, maxHeader)
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil && err != io.EOF {
		return nil, err
	}
	h := headerReader{tokens: json.NewDecoder(bytes.NewReader(header)), metadata: map[string]string{}, seen: map[string]bool{}}
	h.tokens.UseNumber()
	if err := h.read(); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	f := &File{Format: "safetensors", Metadata: h.metadata, size: size}
	base, dataSize := 8+int64(n), size-8-int64(n)
	if err := f.place(h.records, r, base, dataSize); err != nil {
		return nil, err
	}
	if err := f.takeChecksums(header); err != nil {
		return nil, err
	}
	return f, nil
}

// place checks that the records fill the data exactly, without holes and overlaps, and makes them entries in the order of the data.
func (f *File) place(records []record, r io.ReaderAt, base, size int64) error {
	slices.SortStableFunc(records, func(a, b record) int {
		if a.begin != b.begin {
			return compare(a.begin, b.begin)
		}
		return compare(a.end, b.end)
	})
	at := int64(0)
	for _, rec := range records {
		switch {
		case rec.begin < 0 || rec.end < rec.begin || rec.end > size:
			return fmt.Errorf("%s: bytes %d to %d lie outside the %d bytes of data: the file is cut short or damaged", rec.Name, rec.begin, rec.end, size)
		case rec.begin < at:
			return fmt.Errorf("%s: its bytes overlap another array's", rec.Name)
		case rec.begin > at:
			return fmt.Errorf("%s: %d bytes before it belong to no array", rec.Name, rec.begin-at)
		}
		width := int64(rec.Dtype.size())
		if width == 0 {
			return fmt.Errorf("%s: element type %q is unknown", rec.Name, rec.Dtype)
		}
		count, err := elements(rec.Shape, size/width)
		if err != nil {
			return fmt.Errorf("%s: %w", rec.Name, err)
		}
		if count*width != rec.end-rec.begin {
			return fmt.Errorf("%s: shape %s of %s needs %d bytes, the file gives it %d", rec.Name, shapeString(rec.Shape), rec.Dtype, count*width, rec.end-rec.begin)
		}
		begin, length := base+rec.begin, rec.end-rec.begin
		f.add(&stored{Entry: rec.Entry, count: count, elements: count, open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(r, begin, length)), nil
		}})
		at = rec.end
	}
	if at != size {
		return fmt.Errorf("%d bytes after the last array: the file is damaged", size-at)
	}
	return nil
}

func compare(a, b int64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// takeChecksums moves the checksums from the metadata to the entries and verifies the header's own.
func (f *File) takeChecksums(header []byte) error {
	found := 0
	for k := range f.Metadata {
		if strings.HasPrefix(k, checksumPrefix) {
			found++
		}
	}
	if found == 0 {
		return nil // another program's file
	}
	d, err := headerChecksum(header)
	if err != nil {
		return err
	}
	if string(d.at) != d.want {
		return fmt.Errorf("the header's checksum is %s, the file says %s: the header is damaged", d.want, d.at)
	}
	delete(f.Metadata, checksumHeader)
	for _, e := range f.entries {
		key := checksumPrefix + e.Name
		text, ok := f.Metadata[key]
		if !ok {
			return fmt.Errorf("%s has no checksum, others have", e.Name)
		}
		sum, err := strconv.ParseUint(text, 16, 32)
		if err != nil {
			return fmt.Errorf("%s: checksum %q is no number", e.Name, text)
		}
		e.checksum, e.checked = uint32(sum), true
		delete(f.Metadata, key)
	}
	if found != len(f.entries)+1 {
		return fmt.Errorf("%d checksums for %d arrays and the header", found, len(f.entries))
	}
	return nil
}

type record struct {
	Entry
	begin, end int64
}

// headerReader walks the header token by token, so that a limit is met before the memory is spent, and duplicates are seen.
type headerReader struct {
	tokens   *json.Decoder
	metadata map[string]string
	records  []record
	seen     map[string]bool
}

func (h *headerReader) read() error {
	err := h.object(func(name string) error {
		if h.seen[name] {
			return fmt.Errorf("%q occurs twice", name)
		}
		h.seen[name] = true
		if name == "__metadata__" {
			return h.object(func(key string) error {
				if _, twice := h.metadata[key]; twice {
					return fmt.Errorf("metadata %q occurs twice", key)
				}
				if len(h.metadata) >= 2*maxEntries {
					return fmt.Errorf("more than %d metadata entries", 2*maxEntries)
				}
				v, err := h.text()
				h.metadata[key] = v
				return err
			})
		}
		if len(h.records) >= maxEntries {
			return fmt.Errorf("more than %d arrays", maxEntries)
		}
		rec, err := h.record()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		rec.Name = name
		h.records = append(h.records, rec)
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := h.tokens.Token(); err != io.EOF {
		return errors.New("something follows the header's object")
	}
	return nil
}

func (h *headerReader) record() (record, error) {
	var rec record
	var offsets []int64
	var shape bool
	err := h.object(func(key string) (err error) {
		switch key {
		case "dtype":
			var s string
			s, err = h.text()
			rec.Dtype = Dtype(s)
		case "shape":
			var dims []int64
			dims, err = h.numbers(maxDims)
			shape = true
			rec.Shape = make([]int, len(dims))
			for i, d := range dims {
				rec.Shape[i] = int(d)
			}
		case "data_offsets":
			offsets, err = h.numbers(2)
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		return err
	})
	if err != nil {
		return rec, err
	}
	if rec.Dtype == "" || !shape || len(offsets) != 2 {
		return rec, errors.New("needs dtype, shape and two data_offsets")
	}
	rec.begin, rec.end = offsets[0], offsets[1]
	return rec, nil
}

// object calls value for each key of a JSON object; value reads what belongs to the key.
func (h *headerReader) object(value func(key string) error) error {
	if err := h.delimiter('{'); err != nil {
		return err
	}
	for h.tokens.More() {
		key, err := h.text()
		if err != nil {
			return err
		}
		if err := value(key); err != nil {
			return err
		}
	}
	return h.delimiter('}')
}

func (h *headerReader) delimiter(want json.Delim) error {
	t, err := h.tokens.Token()
	if err != nil {
		return err
	}
	if d, ok := t.(json.Delim); !ok || d != want {
		return fmt.Errorf("%v where %v was expected", t, want)
	}
	return nil
}

func (h *headerReader) text() (string, error) {
	t, err := h.tokens.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%v where a string was expected", t)
	}
	return s, nil
}

// numbers reads an array of at most limit non-negative integers.
func (h *headerReader) numbers(limit int) ([]int64, error) {
	if err := h.delimiter('['); err != nil {
		return nil, err
	}
	list := []int64{}
	for h.tokens.More() {
		if len(list) == limit {
			return nil, fmt.Errorf("more than %d numbers", limit)
		}
		t, err := h.tokens.Token()
		if err != nil {
			return nil, err
		}
		text, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%v where a number was expected", t)
		}
		v, err := strconv.ParseInt(text.String(), 10, 64)
		if err != nil || v < 0 {
			return nil, fmt.Errorf("%q is no size or offset", text)
		}
		list = append(list, v)
	}
	return list, h.delimiter(']')
}
