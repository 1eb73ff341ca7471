package weights

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// File is an opened weight file: its index and metadata, and the way to its arrays. Not for concurrent use.
type File struct {
	Path     string // for messages; empty if not opened by path
	Format   string // "safetensors" or "pth"
	Metadata map[string]string

	entries []*stored
	index   map[string]*stored
	size    int64
	closer  io.Closer
}

// stored is an array inside a file.
type stored struct {
	Entry
	count    int64                         // elements of the array
	open     func() (io.ReadCloser, error) // the storage's bytes from the start
	elements int64                         // elements of the storage that holds it
	offset   int64                         // first element in the storage
	strides  []int64                       // nil when row-major
	checksum uint32                        // CRC-32C of the storage
	checked  bool                          // whether checksum is known
}

// Open reads the index of a safetensors or .pth file; the first bytes decide which. Errors name the file.
func Open(path string) (*File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // to open a named pipe would wait for its writer
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := r.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var f *File
	if err == nil {
		f, err = NewFile(r, info.Size())
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.Path, f.closer = path, r
	return f, nil
}

// NewFile is Open on size bytes behind r.
func NewFile(r io.ReaderAt, size int64) (*File, error) {
	var magic [16]byte
	n, err := r.ReadAt(magic[:], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head := string(magic[:n])
	switch {
	case len(head) >= 4 && head[:4] == "PK\x03\x04":
		return readPTH(r, size)
	case len(head) >= 9 && head[8] == '{' || size < 9:
		return readSafetensors(r, size)
	case head[0] == 0x80 && head[1] <= 5: // a pickle's PROTO instruction: torch.save before 1.6
		return nil, errors.New("this is PyTorch's format from before 1.6, which is not read; convert it in Python: " +
			"torch.save(torch.load(\"old.pth\", map_location=\"cpu\"), \"new.pth\")")
	}
	return nil, errors.New("neither a safetensors file nor a .pth file of torch.save (nothing that starts like one)")
}

// Close closes the file under it, if Open opened one.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

func (f *File) add(e *stored) {
	if f.index == nil {
		f.index = map[string]*stored{}
	}
	f.entries = append(f.entries, e)
	f.index[e.Name] = e
}

// Entries lists the arrays in the order of the file.
func (f *File) Entries() []Entry {
	list := make([]Entry, len(f.entries))
	for i, e := range f.entries {
		list[i] = e.Entry
	}
	return list
}

// Checksummed says whether the file holds a checksum of every array. (That of a .pth's storages is the zip's.)
func (f *File) Checksummed() bool {
	return len(f.entries) > 0 && !slices.ContainsFunc(f.entries, func(e *stored) bool { return !e.checked })
}

// Has says whether the file holds an array of that name.
func (f *File) Has(name string) bool { return f.index[name] != nil }

// Array reads one array; F16, BF16 and F64 are converted to float32. The error names the array.
func (f *File) Array(name string) (Array, error) {
	e, err := f.lookup(name)
	if err != nil {
		return Array{}, err
	}
	if !e.Dtype.Float() {
		return Array{}, f.wrap(fmt.Errorf("%s holds %s, not floating point: read it as raw bytes", name, e.Dtype))
	}
	data, err := e.floats()
	if err != nil {
		return Array{}, f.wrap(err)
	}
	return Array{Name: name, Shape: e.Shape, Data: data}, nil
}

// Raw reads one array as little-endian bytes, whatever its type. Arrays that a .pth stores as a strided view are refused.
func (f *File) Raw(name string) (Raw, error) {
	e, err := f.lookup(name)
	if err != nil {
		return Raw{}, err
	}
	if e.strides != nil {
		return Raw{}, f.wrap(fmt.Errorf("%s is a strided view, which is not read as raw bytes", name))
	}
	width := int64(e.Dtype.size())
	data := make([]byte, 0, e.count*width)
	err = e.scan(func(at int64, b []byte) {
		from, to := clip(at, int64(len(b)), e.offset*width, (e.offset+e.count)*width)
		data = append(data, b[from:to]...)
	})
	if err != nil {
		return Raw{}, f.wrap(err)
	}
	return Raw{Name: name, Dtype: e.Dtype, Shape: e.Shape, Data: data}, nil
}

// Contents reads everything: floating point arrays as Arrays, the others as Raws.
func (f *File) Contents() (*Contents, error) {
	c := &Contents{Metadata: f.Metadata}
	for _, e := range f.entries {
		if e.Dtype.Float() {
			a, err := f.Array(e.Name)
			if err != nil {
				return nil, err
			}
			c.Arrays = append(c.Arrays, a)
			continue
		}
		r, err := f.Raw(e.Name)
		if err != nil {
			return nil, err
		}
		c.Raws = append(c.Raws, r)
	}
	return c, nil
}

// Verify reads every byte and compares every checksum, keeping nothing. It returns one error for each damaged array.
func (f *File) Verify() error {
	var all []error
	for _, e := range f.entries {
		if err := e.scan(func(int64, []byte) {}); err != nil {
			all = append(all, f.wrap(err))
		}
	}
	return errors.Join(all...)
}

func (f *File) lookup(name string) (*stored, error) {
	if e := f.index[name]; e != nil {
		return e, nil
	}
	return nil, f.wrap(fmt.Errorf("no array %q", name))
}

func (f *File) wrap(err error) error {
	if f.Path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", f.Path, err)
}

// scan reads the whole storage in chunks of whole elements and verifies its checksum; use sees each chunk and where it starts.
func (e *stored) scan(use func(at int64, chunk []byte)) error {
	r, err := e.open()
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	defer r.Close()
	crc := uint32(0)
	total := e.elements * int64(e.Dtype.size())
	buffer := make([]byte, min(total, 1<<16))
	for at := int64(0); at < total; {
		chunk := buffer[:min(total-at, int64(len(buffer)))]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return fmt.Errorf("%s is damaged: %w", e.Name, err)
		}
		if e.checked {
			crc = crc32.Update(crc, castagnoli, chunk)
		}
		use(at, chunk)
		at += int64(len(chunk))
	}
	// A zip entry compares its own CRC-32 when its end is read.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("%s is damaged: %w", e.Name, err)
	}
	if e.checked && crc != e.checksum {
		return fmt.Errorf("%s is damaged: the checksum of its bytes is %08x, the file says %08x", e.Name, crc, e.checksum)
	}
	return nil
}

func (e *stored) floats() ([]float32, error) {
	width := int64(e.Dtype.size())
	begin, end := e.offset, e.offset+e.count // elements wanted
	if e.strides != nil {
		begin, end = 0, e.elements
	}
	data := make([]float32, end-begin)
	err := e.scan(func(at int64, b []byte) {
		from, to := clip(at, int64(len(b)), begin*width, end*width)
		if from < to {
			first := (at+from)/width - begin
			e.Dtype.decode(data[first:first+(to-from)/width], b[from:to])
		}
	})
	if err != nil || e.strides == nil {
		return data, err
	}
	return e.gather(data), nil
}

// gather copies a strided view out of its storage into row-major order.
func (e *stored) gather(storage []float32) []float32 {
	out := make([]float32, e.count)
	index := make([]int, len(e.Shape))
	at := e.offset
	for i := range out {
		out[i] = storage[at]
		for d := len(index) - 1; d >= 0; d-- {
			index[d]++
			at += e.strides[d]
			if index[d] < e.Shape[d] {
				break
			}
			at -= e.strides[d] * int64(e.Shape[d])
			index[d] = 0
		}
	}
	return out
}

// clip is the part of a chunk of n bytes at position at that lies in [begin, end), relative to the chunk.
func clip(at, n, begin, end int64) (from, to int64) {
	from = min(max(begin-at, 0), n)
	to = max(min(end-at, n), from)
	return from, to
}
