package weights

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"

	"github.com/nlpodyssey/gopickle/types"

	"github.com/godino-ml/godino/internal/pickle"
)

const (
	maxDirectory = 2 << 20 // bytes of zip directory; a ViT-g checkpoint with optimizer has 0.5 MB
	maxValues    = 50_000  // dictionary and list entries visited; the same has 10,000
	maxNesting   = 16
	maxNames     = 8 << 20 // bytes of all dotted names together
	maxOptions   = 5_000   // values in the training script's options
)

// readPTH reads the index of a zip that torch.save wrote: ROOT/data.pkl says what there is, ROOT/data/KEY are the storages.
func readPTH(r io.ReaderAt, size int64) (*File, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return nil, err
	}
	program, err := a.pickle()
	if err != nil {
		return nil, err
	}
	value, err := unpickle(program)
	if err != nil {
		return nil, err
	}
	f := &File{Format: "pth", Metadata: map[string]string{}, size: size}
	w := walk{file: f, archive: a, budget: 2*size + 1<<20}
	if err := w.visit("", value, 0); err != nil {
		return nil, err
	}
	if len(f.entries) == 0 {
		return nil, errors.New("a .pth file without tensors")
	}
	return f, w.describe(value)
}

// archive is the zip by entry name.
type archive struct {
	root  string
	files map[string]*zip.File
}

// openArchive reads the zip directory with a limit on its length: archive/zip itself takes ten times the directory's size.
func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	limited := &limitedReaderAt{ReaderAt: r, left: maxDirectory}
	z, err := zip.NewReader(limited, size)
	if err != nil {
		return nil, fmt.Errorf("zip: %w: the file is cut short or damaged", err)
	}
	limited.left = -1
	a := &archive{files: make(map[string]*zip.File, len(z.File))}
	left := uint64(size)
	for _, e := range z.File {
		if e.Method != zip.Store || e.CompressedSize64 != e.UncompressedSize64 {
			return nil, fmt.Errorf("zip entry %.80q is compressed; torch.save stores without compression", e.Name)
		}
		if e.UncompressedSize64 > left {
			return nil, fmt.Errorf("zip entry %.80q: the entries are longer than the file", e.Name)
		}
		left -= e.UncompressedSize64
		if a.files[e.Name] != nil {
			return nil, fmt.Errorf("zip entry %.80q occurs twice", e.Name)
		}
		a.files[e.Name] = e
		if root, ok := strings.CutSuffix(e.Name, "data.pkl"); ok && (root == "" || strings.HasSuffix(root, "/")) {
			if a.root != "" {
				return nil, errors.New("the zip has more than one data.pkl")
			}
			a.root = root
		}
	}
	if a.files[a.root+"data.pkl"] == nil {
		return nil, errors.New("a zip without data.pkl: not a file of torch.save")
	}
	if a.files[a.root+"constants.pkl"] != nil {
		return nil, errors.New("a TorchScript archive; save the state dict instead: torch.save(model.state_dict(), ...)")
	}
	return a, nil
}

func (a *archive) pickle() ([]byte, error) {
	e := a.files[a.root+"data.pkl"]
	if e.UncompressedSize64 > pickle.MaxProgram {
		return nil, fmt.Errorf("data.pkl of %d bytes; %d are allowed", e.UncompressedSize64, pickle.MaxProgram)
	}
	if b := a.files[a.root+"byteorder"]; b != nil {
		order, err := readEntry(b, 16)
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fmt.Errorf("byte order %q; little is read", order)
		}
	}
	return readEntry(e, pickle.MaxProgram)
}

// readEntry reads a stored zip entry whole; archive/zip compares its CRC-32.
func readEntry(e *zip.File, limit uint64) ([]byte, error) {
	if e.UncompressedSize64 > limit {
		return nil, fmt.Errorf("zip entry %.80q has %d bytes", e.Name, e.UncompressedSize64)
	}
	r, err := e.Open()
	if err != nil {
		return nil, fmt.Errorf("zip entry %.80q: %w", e.Name, err)
	}
	defer r.Close()
	b := make([]byte, e.UncompressedSize64)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("zip entry %.80q is damaged: %w", e.Name, err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, fmt.Errorf("zip entry %.80q is damaged: %w", e.Name, err)
	}
	return b, nil
}

type limitedReaderAt struct {
	io.ReaderAt
	left int // bytes; negative for no limit
}

func (l *limitedReaderAt) ReadAt(p []byte, at int64) (int, error) {
	if l.left >= 0 {
		if len(p) > l.left {
			return 0, fmt.Errorf("a directory of more than %d MB", maxDirectory>>20)
		}
		l.left -= len(p)
	}
	return l.ReaderAt.ReadAt(p, at)
}

// walk turns the unpickled value into entries with dotted names. A value may hold another twice, or itself: visits are counted.
type walk struct {
	file    *File
	archive *archive
	visits  int
	names   int   // bytes of dotted names made
	options int   // values of args visited
	budget  int64 // bytes of float32 all arrays together may take
}

func (w *walk) visit(name string, value any, depth int) error {
	if w.visits++; w.visits > maxValues || depth > maxNesting || w.names > maxNames {
		return errors.New("the dictionaries are nested too deeply or have too many entries")
	}
	join := func(key any) (string, bool) {
		var s string
		switch k := key.(type) {
		case string:
			s = strings.TrimPrefix(k, "module.")
		case int:
			s = strconv.Itoa(k)
		default:
			return "", false
		}
		if name != "" {
			s = name + "." + s
		}
		w.names += len(s)
		return s, true
	}
	switch v := value.(type) {
	case *tensorRef:
		return w.tensor(name, v)
	case *types.Dict:
		for _, e := range *v {
			if key, ok := join(e.Key); ok {
				if err := w.visit(key, e.Value, depth+1); err != nil {
					return err
				}
			}
		}
	case *types.OrderedDict:
		for e := v.List.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*types.OrderedDictEntry)
			if key, ok := join(entry.Key); ok {
				if err := w.visit(key, entry.Value, depth+1); err != nil {
					return err
				}
			}
		}
	case *types.List:
		for i, e := range *v {
			key, _ := join(i)
			if err := w.visit(key, e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// tensor checks a tensor against its storage and makes it an entry.
func (w *walk) tensor(name string, t *tensorRef) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%.200s: "+format, append([]any{name}, args...)...)
	}
	if name == "" {
		name = "tensor" // a file that is one bare tensor
	}
	if w.file.Has(name) {
		return fail("two tensors of this name")
	}
	zipped := w.archive.files[w.archive.root+"data/"+t.storage.key]
	if zipped == nil {
		return fail("its storage %.80q is not in the file", t.storage.key)
	}
	width := int64(t.storage.dtype.size())
	have := int64(zipped.UncompressedSize64) / width
	if int64(t.storage.elements) > have {
		return fail("a storage of %d elements in %d bytes", t.storage.elements, zipped.UncompressedSize64)
	}
	count, err := elements(t.shape, have)
	if err != nil {
		return fail("%w", err)
	}
	contiguous, last := true, int64(t.offset)
	if t.offset < 0 || last > have {
		return fail("offset %d in a storage of %d elements", t.offset, have)
	}
	step, strides := int64(1), make([]int64, len(t.shape))
	for d := len(t.shape) - 1; d >= 0; d-- {
		stride := int64(t.strides[d])
		strides[d] = stride
		if count == 0 || t.shape[d] == 1 {
			continue // its stride is never used
		}
		if stride < 0 || stride > have {
			return fail("stride %d in a storage of %d elements", stride, have)
		}
		contiguous = contiguous && stride == step
		step *= int64(t.shape[d])
		// Each term is at most have², and have is below 2^31 only for files of some GB: compare by division.
		if stride > 0 && int64(t.shape[d]-1) > (have-last)/stride {
			return fail("shape %s with its strides reaches beyond the storage's %d elements", shapeString(t.shape), have)
		}
		last += int64(t.shape[d]-1) * stride
	}
	if count > 0 && last >= have {
		return fail("shape %s reaches beyond the storage's %d elements", shapeString(t.shape), have)
	}
	if w.budget -= 4 * count; w.budget < 0 {
		return fail("the tensors up to here are larger than the file can hold: they share storages")
	}
	e := &stored{
		Entry: Entry{Name: name, Dtype: t.storage.dtype, Shape: t.shape}, count: count,
		elements: have, offset: int64(t.offset), open: zipped.Open,
	}
	if !contiguous {
		e.strides = strides
	}
	w.file.add(e)
	return nil
}

// describe puts the epoch and the options of the training script into the metadata.
func (w *walk) describe(value any) error {
	d, ok := value.(*types.Dict)
	if !ok {
		return nil
	}
	for _, e := range *d {
		switch e.Key {
		case "epoch":
			if n, ok := e.Value.(int); ok {
				w.file.Metadata["epoch"] = strconv.Itoa(n)
			}
		case "args":
			var attributes types.Dict
			switch a := e.Value.(type) {
			case *object:
				attributes = a.attributes
			case *types.Dict:
				attributes = *a
			}
			options := map[string]any{}
			for _, o := range attributes[:min(len(attributes), maxOptions)] {
				if key, ok := o.Key.(string); ok && len(key) <= 1024 {
					options[key] = w.plain(o.Value, 0)
				}
			}
			text, err := json.Marshal(options)
			if err != nil {
				return fmt.Errorf("args: %w", err)
			}
			w.file.Metadata["args"] = string(text)
		}
	}
	return nil
}

// plain is a Python value as JSON knows it; what it does not know becomes null.
func (w *walk) plain(value any, depth int) any {
	if w.options++; w.options > maxOptions || depth > 4 {
		return nil
	}
	switch v := value.(type) {
	case string:
		return v[:min(len(v), 1024)]
	case bool, int:
		return v
	case float64:
		if v != v || v-v != 0 { // NaN and infinities
			return fmt.Sprint(v)
		}
		return v
	case *big.Int:
		return v.String()
	case *types.Tuple:
		return w.list(*v, depth)
	case *types.List:
		return w.list(*v, depth)
	case *types.Dict:
		m := map[string]any{}
		for _, e := range (*v)[:min(len(*v), maxOptions)] {
			m[fmt.Sprint(w.plain(e.Key, depth+1))] = w.plain(e.Value, depth+1)
		}
		return m
	}
	return nil
}

func (w *walk) list(items []any, depth int) []any {
	out := make([]any, min(len(items), maxOptions-min(w.options, maxOptions)))
	for i, v := range items[:len(out)] {
		out[i] = w.plain(v, depth+1)
	}
	return out
}
