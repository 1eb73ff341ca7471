package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Options says what to look for and what to refuse. The zero value is usable.
type Options struct {
	// Split names a folder, such as "train" or "test", to descend into if there is one; without one all images count. "test", "val",
	// "valid" and "validation" stand for each other. See [Dataset.SplitFound].
	Split string
	// MaxPixels refuses larger pictures by their header; 0 means [DefaultMaxPixels].
	MaxPixels int
	// MaxBytes refuses larger files; 0 means [DefaultMaxBytes].
	MaxBytes int64
}

func (o Options) withDefaults() Options {
	if o.MaxPixels <= 0 {
		o.MaxPixels = DefaultMaxPixels
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	return o
}

// An item is one image; its bytes are size at off of the tar, or the whole file.
type item struct {
	path  string // relative to the root, slash-separated
	off   int64
	size  int64
	mod   int64 // when the file was last written, in nanoseconds since 1970; 0 in a tar, where that means little
	label int32 // index into classes, −1 for none
}

// Dataset is a numbered list of images. Its methods may be called from several goroutines at once.
type Dataset struct {
	items   []item
	classes []string
	opts    Options
	root    string // where the items' paths start, as a path for people
	split   bool
	dir     string // folder that paths are relative to, or
	tar     *os.File
	draw    func(i int) (*RGB, error) // or neither of the two
	from    []int                     // with draw: the number that draw knows item i by
}

// Open lists the images at path. Package documentation says what path may be. The tar, if it is one, stays open until Close.
func Open(path string, opts Options) (*Dataset, error) {
	opts = opts.withDefaults()
	file, inside, folder, err := locate(path)
	if err != nil {
		return nil, err
	}
	if folder {
		return openFolder(path, opts)
	}
	return openTar(file, inside, opts)
}

// locate says whether path is a folder, or which file is meant and what path inside it, as x.tar/train.
func locate(path string) (file, inside string, folder bool, err error) {
	st, err := os.Stat(path)
	if err == nil && st.IsDir() {
		return path, "", true, nil
	}
	// Perhaps a tar with a path inside it: the longest prefix that is a file.
	file = filepath.Clean(path)
	for err != nil {
		parent := filepath.Dir(file)
		if parent == file {
			break
		}
		inside = filepath.ToSlash(filepath.Join(filepath.Base(file), inside))
		file = parent
		if above, e := os.Stat(file); e == nil {
			if above.IsDir() {
				break
			}
			st, err = above, nil
		}
	}
	if err != nil {
		return "", "", false, fmt.Errorf("data path %s: %w", path, err)
	}
	if !st.Mode().IsRegular() { // to open a named pipe would wait for its writer
		return "", "", false, fmt.Errorf("data path %s is neither a folder nor a regular file", file)
	}
	return file, inside, false, nil
}

// FromFunc makes a dataset of n pictures that draw returns; draw must be usable from several goroutines at once and return the same
// picture for the same number. labels[i] indexes classes, or labels is nil. name is used in paths and in the fingerprint.
func FromFunc(name string, n int, classes []string, labels []int, draw func(i int) (*RGB, error)) *Dataset {
	d := &Dataset{root: name, classes: classes, draw: draw, items: make([]item, n), from: make([]int, n), opts: Options{}.withDefaults()}
	for i := range d.items {
		label := -1
		if labels != nil {
			label = labels[i]
		}
		d.items[i] = item{path: fmt.Sprintf("%s/%06d", name, i), label: int32(label)}
		d.from[i] = i
	}
	return d
}

// Close closes the tar. It closes it for the Subsets too.
func (d *Dataset) Close() error {
	if d.tar == nil {
		return nil
	}
	return d.tar.Close()
}

// Len is the number of images.
func (d *Dataset) Len() int { return len(d.items) }

// Path is image i's path below the root, with slashes.
func (d *Dataset) Path(i int) string { return d.items[i].path }

// Label is image i's class as an index into Classes, or −1.
func (d *Dataset) Label(i int) int { return int(d.items[i].label) }

// Classes are the class names, sorted; none when there are no class folders.
func (d *Dataset) Classes() []string { return d.classes }

// Stat is how many bytes image i's file has and when it was last written, as the listing said: nanoseconds since 1970; 0 in a tar,
// whose times are often all the same.
func (d *Dataset) Stat(i int) (size, modified int64) { return d.items[i].size, d.items[i].mod }

// Root says where the images were found after descending, for people to read.
func (d *Dataset) Root() string { return d.root }

// SplitFound says whether the folder that Options.Split asks for was there. If not, the dataset holds everything.
func (d *Dataset) SplitFound() bool { return d.split }

// FullPath is image i's path as a person would type it.
func (d *Dataset) FullPath(i int) string {
	if d.draw != nil {
		return d.items[i].path
	}
	return d.root + "/" + d.items[i].path
}

var fileBytes = sync.Pool{New: func() any { return new([]byte) }}

// Load decodes image i. The error, if any, is a [*BadImageError].
func (d *Dataset) Load(i int) (*RGB, error) {
	img := new(RGB)
	if err := d.LoadInto(img, i); err != nil {
		return nil, err
	}
	return img, nil
}

// LoadInto is Load into the memory that img has, where that is enough.
func (d *Dataset) LoadInto(img *RGB, i int) error {
	if d.draw != nil {
		drawn, err := d.draw(d.from[i])
		if err != nil {
			return &BadImageError{Path: d.FullPath(i), Reason: err.Error(), Err: err}
		}
		img.resize(drawn.W, drawn.H)
		copy(img.Pix, drawn.Pix)
		return nil
	}
	return d.withBytes(i, func(data []byte) error { return img.Decode(data, d.FullPath(i), d.opts.MaxPixels) })
}

// withBytes gives f the bytes of image i's file, which are f's until it returns.
func (d *Dataset) withBytes(i int, f func(data []byte) error) error {
	it := &d.items[i]
	if it.size > d.opts.MaxBytes {
		return &BadImageError{Path: d.FullPath(i), Reason: fmt.Sprintf("%d bytes are more than the limit of %d", it.size, d.opts.MaxBytes), Err: ErrTooLarge}
	}
	buf := fileBytes.Get().(*[]byte)
	defer fileBytes.Put(buf)
	if err := d.read(it, buf); err != nil {
		return &BadImageError{Path: d.FullPath(i), Reason: reason(err), Err: err}
	}
	return f(*buf)
}

// read fills buf with the item's bytes.
func (d *Dataset) read(it *item, buf *[]byte) error {
	if int64(cap(*buf)) < it.size {
		*buf = make([]byte, it.size)
	}
	*buf = (*buf)[:it.size]
	if d.tar != nil {
		_, err := d.tar.ReadAt(*buf, it.off)
		if err == io.EOF && it.size == 0 {
			err = nil
		}
		return err
	}
	f, err := os.Open(filepath.Join(d.dir, filepath.FromSlash(it.path)))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, *buf)
	return err
}

// Fingerprint tells this list of images from another: a hash of all paths and sizes. It does not change when the data are moved.
func (d *Dataset) Fingerprint() string {
	h := sha256.New()
	var size [8]byte
	for i := range d.items {
		io.WriteString(h, d.items[i].path)
		binary.LittleEndian.PutUint64(size[:], uint64(d.items[i].size))
		h.Write([]byte{0}) // no name holds it: "a"+"bc" must differ from "ab"+"c"
		h.Write(size[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Subset is the dataset of the images at indices, in that order. Classes stay as they are.
func (d *Dataset) Subset(indices []int) *Dataset {
	s := *d
	s.items = make([]item, len(indices))
	if d.from != nil {
		s.from = make([]int, len(indices))
	}
	for k, i := range indices {
		s.items[k] = d.items[i]
		if d.from != nil {
			s.from[k] = d.from[i]
		}
	}
	return &s
}

// HoldOut divides the images at random, keyed by seed, into a part to train on and a share to be held out; both keep sorted order.
func (d *Dataset) HoldOut(share float64, seed uint64) (train, held *Dataset) {
	n := int(math.Round(min(max(share, 0), 1) * float64(d.Len())))
	order := rand.New(rand.NewPCG(seed, 0x686f6c646f757421)).Perm(d.Len())
	out, in := order[:n], order[n:]
	slices.Sort(out)
	slices.Sort(in)
	return d.Subset(in), d.Subset(out)
}

// Sample is n of the images drawn at random, keyed by seed, in sorted order; all of them if there are no more than n or n is 0.
func (d *Dataset) Sample(n int, seed uint64) *Dataset {
	if n <= 0 || d.Len() <= n {
		return d
	}
	some := rand.New(rand.NewPCG(seed, 0x73616d706c652121)).Perm(d.Len())[:n]
	slices.Sort(some)
	return d.Subset(some)
}

// Fraction is a share of the images of each class, rounded and at least one image, drawn at random and keyed by seed, in sorted order; images
// without a class are left out. With one seed, those of a smaller share are among those of a larger one.
func (d *Dataset) Fraction(share float64, seed uint64) *Dataset {
	members := make([][]int, len(d.classes))
	for i := range d.items {
		if l := d.items[i].label; l >= 0 {
			members[l] = append(members[l], i)
		}
	}
	var some []int
	for class, of := range members {
		if len(of) == 0 {
			continue
		}
		n := max(1, int(math.Round(min(max(share, 0), 1)*float64(len(of)))))
		for _, k := range rand.New(rand.NewPCG(seed, 0x6c6162656c6c6564+uint64(class))).Perm(len(of))[:n] {
			some = append(some, of[k])
		}
	}
	slices.Sort(some)
	return d.Subset(some)
}

// WithClasses is the same dataset with labels that index the given classes, so that labels of a test set mean those of a training set.
func (d *Dataset) WithClasses(classes []string) (*Dataset, error) {
	number := make(map[string]int32, len(classes))
	for i, c := range classes {
		number[c] = int32(i)
	}
	var missing []string
	to := make([]int32, len(d.classes))
	for i, c := range d.classes {
		n, ok := number[c]
		if !ok {
			missing = append(missing, c)
		}
		to[i] = n
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s has %d classes that the other data lack: %s", d.root, len(missing), list(missing, 5))
	}
	s := *d
	s.classes = classes
	s.items = slices.Clone(d.items)
	for i := range s.items {
		if l := s.items[i].label; l >= 0 {
			s.items[i].label = to[l]
		}
	}
	return &s, nil
}

// list writes the first few names.
func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
