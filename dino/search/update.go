package search

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gofrs/flock"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn/weights"
)

// UpdateOptions say how an index is made or brought up to date.
type UpdateOptions struct {
	Settings Settings
	Source   Source
	Dim      int // of a feature
	// Compute gives emit the features (n, Dim) of images of ds, by their numbers, in any order, and leaves out those that cannot be read.
	Compute  func(ctx context.Context, ds *dataset.Dataset, emit func(indices []int, rows []float32) error) error
	Rebuild  bool // forget what is there
	Checksum bool // read all files, also those whose size and time have not changed
	Workers  int  // goroutines that read files; 0 means 1
}

// UpdateStats says what an update did.
type UpdateStats struct {
	Rows     int `json:"rows"`     // of the index now
	Kept     int `json:"kept"`     // images that had not changed, or only their names had
	Resumed  int `json:"resumed"`  // that an interrupted update had done
	Computed int `json:"computed"` // new ones, and those that had changed
	Removed  int `json:"removed"`  // rows that the index had of images that are gone, or have changed
	Left     int `json:"unread"`   // images that have no row
}

// ErrInterrupted is wrapped when the context ended: what was done is kept, and the next update goes on with it.
var ErrInterrupted = errors.New("interrupted")

// ErrOtherSettings is wrapped when the index is of other weights or settings.
var ErrOtherSettings = errors.New("its features cannot be compared with those asked for")

// ErrInUse is wrapped when another update of the index is running.
var ErrInUse = errors.New("another update of this index is running")

// Update makes the folder dir an index of the images of ds, or brings it up to date: features are computed of images that are new or have
// changed, and kept of the others, also of those that were moved. An image has not changed if its size and time are the same; in a tar, or
// with Checksum, if its bytes are. Whatever happens, dir holds the old index or the new one, whole.
func Update(ctx context.Context, dir string, ds *dataset.Dataset, o UpdateOptions) (*UpdateStats, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o644))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	defer lock.Unlock()

	u := updater{dir: dir, ds: ds, o: o, from: make([]origin, ds.Len())}
	for i := range u.from {
		u.from[i].row = -1
	}
	if err := u.openOld(); err != nil {
		return nil, err
	}
	if u.old != nil {
		defer u.old.Close()
	}
	if u.done, err = openPartial(dir, o.Settings.Key(), o.Dim, o.Rebuild); err != nil {
		return nil, err
	}
	defer u.done.close()
	if err := u.keep(ctx); err != nil {
		return nil, interrupted(ctx, err)
	}
	if err := u.compute(ctx); err != nil {
		return nil, interrupted(ctx, err)
	}
	return &u.stats, u.commit()
}

func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	return err
}

// origin says where the row of an image comes from.
type origin struct {
	partial bool // of the partial index, not of the old one
	row     int  // −1 for none
	sum     dataset.Sum
}

type updater struct {
	dir   string
	ds    *dataset.Dataset
	o     UpdateOptions
	old   *Index
	done  *partial
	from  []origin // of each image
	stats UpdateStats
}

// openOld opens the index that is there, if one is and may be built upon.
func (u *updater) openOld() error {
	if u.o.Rebuild {
		return nil
	}
	old, err := Open(u.dir)
	if errors.Is(err, ErrNoIndex) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := old.Fits(u.o.Settings); err != nil {
		old.Close()
		return fmt.Errorf("%w: %w", err, ErrOtherSettings)
	}
	if err := old.Verify(); err != nil { // or the damage would be copied under a new checksum
		old.Close()
		return err
	}
	u.old = old
	return nil
}

// keep finds the images whose rows are there.
func (u *updater) keep(ctx context.Context) error {
	type place struct {
		partial bool
		row     int
	}
	imageOf := func(p place) *Image {
		if p.partial {
			return &u.done.images[p.row]
		}
		return &u.old.Images[p.row]
	}
	byPath, bySum, sizes := map[string]place{}, map[dataset.Sum]place{}, map[int64]bool{}
	add := func(p place) {
		img := imageOf(p)
		byPath[img.Path], bySum[img.Sum], sizes[img.Size] = p, p, true
	}
	if u.old != nil {
		for row := range u.old.Images {
			add(place{false, row})
		}
	}
	for row := range u.done.images { // newer than the old index's
		add(place{true, row})
	}
	take := func(i int, p place) {
		u.from[i] = origin{p.partial, p.row, imageOf(p).Sum}
	}
	var unsure []int // images whose bytes must be read to know
	for i := range u.from {
		size, modified := u.ds.Stat(i)
		p, known := byPath[u.ds.Path(i)]
		switch {
		case known && !u.o.Checksum && modified != 0 && imageOf(p).Size == size && imageOf(p).Modified == modified:
			take(i, p)
		case sizes[size]: // touched, moved, or of a tar
			unsure = append(unsure, i)
		}
	}
	sums, err := u.sums(ctx, u.ds, unsure)
	if err != nil {
		return err
	}
	for at, i := range unsure {
		if sums[at] == nil {
			continue
		}
		if p, known := bySum[*sums[at]]; known {
			take(i, p)
		}
	}
	kept := map[int]bool{}
	for _, f := range u.from {
		switch {
		case f.row < 0:
		case f.partial:
			u.stats.Resumed++
		default:
			u.stats.Kept++
			kept[f.row] = true
		}
	}
	if u.old != nil {
		u.stats.Removed = len(u.old.Images) - len(kept)
	}
	return nil
}

// sums are the sums of images of ds, nil for those that cannot be read.
func (u *updater) sums(ctx context.Context, ds *dataset.Dataset, of []int) ([]*dataset.Sum, error) {
	sums := make([]*dataset.Sum, len(of))
	next := make(chan int)
	var readers sync.WaitGroup
	for range max(1, u.o.Workers) {
		readers.Go(func() {
			for at := range next {
				if s, err := ds.Sum(of[at]); err == nil {
					sums[at] = &s
				}
			}
		})
	}
	defer readers.Wait()
	defer close(next)
	for at := range of {
		select {
		case next <- at:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return sums, nil
}

// compute makes the rows that are missing, and keeps them as they come.
func (u *updater) compute(ctx context.Context) error {
	var missing []int
	for i, f := range u.from {
		if f.row < 0 {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	ds := u.ds.Subset(missing)
	return u.o.Compute(ctx, ds, func(indices []int, rows []float32) error {
		if len(rows) != len(indices)*u.o.Dim {
			return fmt.Errorf("%d numbers are no features of %d images in %d dimensions", len(rows), len(indices), u.o.Dim)
		}
		// Two copies of a file in one update are computed twice: to know them before would be to read every file twice.
		sums, err := u.sums(ctx, ds, indices)
		if err != nil {
			return err
		}
		for at, k := range indices {
			if sums[at] == nil {
				continue // gone since its feature was computed
			}
			i := missing[k]
			row := Rows{append([]float32(nil), rows[at*u.o.Dim:(at+1)*u.o.Dim]...), u.o.Dim}
			if err := row.Normalize(); err != nil {
				return fmt.Errorf("%s: its feature is not finite: the weights are damaged", u.ds.FullPath(i))
			}
			size, modified := u.ds.Stat(i)
			n, err := u.done.add(Image{u.ds.Path(i), size, modified, *sums[at]}, row.Data)
			if err != nil {
				return err
			}
			u.from[i] = origin{true, n, *sums[at]}
			u.stats.Computed++
		}
		return u.done.flush()
	})
}

// commit writes the index of what there is now, and then clears away what it replaces.
func (u *updater) commit() error {
	m := meta{Format: metaFormat, Dim: u.o.Dim, Settings: u.o.Settings, Source: u.o.Source}
	if before, err := readMeta(u.dir); err == nil { // also of one that is not built upon: its readers go on
		m.Generation = before.Generation + 1
	}
	computed, err := u.done.rows()
	if err != nil {
		return err
	}
	defer computed.unmap()
	var images []Image
	var rows [][]float32
	for i, f := range u.from {
		if f.row < 0 {
			u.stats.Left++
			continue
		}
		size, modified := u.ds.Stat(i)
		images = append(images, Image{u.ds.Path(i), size, modified, f.sum})
		if f.partial {
			rows = append(rows, computed.Row(f.row))
		} else {
			rows = append(rows, u.old.Rows().Row(f.row))
		}
	}
	u.stats.Rows = len(images)
	if len(images) == 0 {
		return errors.New("none of the images can be read: there is nothing to index")
	}
	m.Count = len(images)
	if u.unchanged(images, m.Source) {
		u.done.close()
		return clear(u.dir, &u.old.meta)
	}

	h := header{dim: m.Dim, count: m.Count, key: m.Settings.Key()}
	var buf []byte
	for _, row := range rows {
		buf = appendRow(buf[:0], row)
		h.rowsCRC = crc32.Update(h.rowsCRC, castagnoli, buf)
	}
	err = weights.AtomicWrite(filepath.Join(u.dir, m.featuresName()), func(w io.Writer) error {
		if _, err := w.Write(h.bytes()); err != nil {
			return err
		}
		for _, row := range rows {
			buf = appendRow(buf[:0], row)
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = weights.AtomicWrite(filepath.Join(u.dir, m.imagesName()), func(w io.Writer) error {
		for _, img := range images {
			buf = lineOf(img).appendTo(buf[:0])
			m.ImagesCRC = crc32.Update(m.ImagesCRC, castagnoli, buf)
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	text, err := encodeMeta(&m)
	if err != nil {
		return err
	}
	err = weights.AtomicWrite(filepath.Join(u.dir, metaName), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	u.done.close()
	return clear(u.dir, &m)
}

// unchanged says whether the index would be what it is already.
func (u *updater) unchanged(images []Image, source Source) bool {
	if u.old == nil || u.old.Source != source || !slices.Equal(u.old.Images, images) {
		return false
	}
	row := 0
	for _, f := range u.from {
		if f.row >= 0 {
			if f.partial || f.row != row {
				return false
			}
			row++
		}
	}
	return true
}

// readMeta is index.json, as far as it can be read.
func readMeta(dir string) (m meta, err error) {
	text, err := os.ReadFile(filepath.Join(dir, metaName))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil && (m.Generation < 0 || m.Generation > 1<<50) {
		err = fmt.Errorf("generation %d", m.Generation)
	}
	return m, err
}

// clear removes the files of other generations, and the partial index.
func clear(dir string, m *meta) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		ours := strings.HasPrefix(name, "features.") && strings.HasSuffix(name, ".f32") || strings.HasPrefix(name, "images.") && strings.HasSuffix(name, ".jsonl")
		if ours && name != m.featuresName() && name != m.imagesName() || name == partialRows || name == partialImages {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	partialRows   = "partial.f32"
	partialImages = "partial.jsonl"
)

// partial is what an update has computed so far: rows, and a line for each with its checksum, both appended to. The first line says what
// they are features of.
type partial struct {
	images     []Image
	dim        int
	rowsFile   *os.File
	imagesFile *os.File
	rowsBuf    *bufio.Writer
	linesBuf   *bufio.Writer
	scratch    []byte
}

type partialHeader struct {
	Key string `json:"key"`
	Dim int    `json:"dim"`
}

// openPartial opens what an interrupted update left, as far as it is whole, or starts anew.
func openPartial(dir string, key Key, dim int, fresh bool) (_ *partial, err error) {
	p := &partial{dim: dim}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.rowsFile, err = os.OpenFile(filepath.Join(dir, partialRows), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, err
	}
	if p.imagesFile, err = os.OpenFile(filepath.Join(dir, partialImages), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, err
	}
	first, err := json.Marshal(partialHeader{hex.EncodeToString(key[:]), dim})
	if err != nil {
		return nil, err
	}
	first = append(first, '\n')
	length := int64(0) // of the lines that are whole
	if !fresh {
		if length, err = p.read(string(first)); err != nil {
			return nil, err
		}
	}
	if length == 0 {
		p.images = nil
		if err := p.imagesFile.Truncate(0); err != nil {
			return nil, err
		}
		if _, err := p.imagesFile.WriteAt(first, 0); err != nil {
			return nil, err
		}
		length = int64(len(first))
	}
	rows := int64(len(p.images)) * int64(dim) * 4
	if err := errors.Join(p.imagesFile.Truncate(length), p.rowsFile.Truncate(rows)); err != nil {
		return nil, err
	}
	_, err1 := p.imagesFile.Seek(length, io.SeekStart)
	_, err2 := p.rowsFile.Seek(rows, io.SeekStart)
	p.linesBuf, p.rowsBuf = bufio.NewWriter(p.imagesFile), bufio.NewWriter(p.rowsFile)
	return p, errors.Join(err1, err2)
}

// read takes the lines whose rows are there and whole, and returns how many bytes they are: 0 if the first says something else.
func (p *partial) read(first string) (length int64, err error) {
	lines := bufio.NewReaderSize(p.imagesFile, maxLine)
	rows := bufio.NewReaderSize(p.rowsFile, 1<<16)
	row := make([]byte, 4*p.dim)
	for {
		text, err := lines.ReadSlice('\n')
		if err == io.EOF || err == bufio.ErrBufferFull {
			return length, nil // the last line may have been cut short
		}
		if err != nil {
			return 0, err
		}
		if length == 0 {
			if string(text) != first {
				return 0, nil
			}
			length = int64(len(text))
			continue
		}
		var l imageLine
		if json.Unmarshal(text, &l) != nil || l.CRC == nil {
			return length, nil
		}
		img, err := l.image()
		if err != nil {
			return length, nil
		}
		if _, err := io.ReadFull(rows, row); err != nil || crc32.Checksum(row, castagnoli) != *l.CRC {
			return length, nil
		}
		p.images = append(p.images, img)
		length += int64(len(text))
	}
}

// add appends a row, and returns its number.
func (p *partial) add(img Image, row []float32) (int, error) {
	p.scratch = appendRow(p.scratch[:0], row)
	crc := crc32.Checksum(p.scratch, castagnoli)
	if _, err := p.rowsBuf.Write(p.scratch); err != nil {
		return 0, err
	}
	l := lineOf(img)
	l.CRC = &crc
	if _, err := p.linesBuf.Write(l.appendTo(nil)); err != nil {
		return 0, err
	}
	p.images = append(p.images, img)
	return len(p.images) - 1, nil
}

// flush gives what was added to the operating system: rows before the lines that speak of them.
func (p *partial) flush() error { return errors.Join(p.rowsBuf.Flush(), p.linesBuf.Flush()) }

// rows are all rows, mapped.
func (p *partial) rows() (*featureFile, error) {
	if err := p.flush(); err != nil {
		return nil, err
	}
	size := len(p.images) * p.dim * 4
	if size == 0 {
		return &featureFile{Rows: Rows{nil, p.dim}, unmap: func() error { return nil }}, nil
	}
	data, unmap, err := mapFile(p.rowsFile, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.rowsFile.Name(), err)
	}
	return &featureFile{Rows: Rows{floats(data), p.dim}, unmap: unmap}, nil
}

// close closes the files; they stay for the next update.
func (p *partial) close() {
	for _, f := range []*os.File{p.rowsFile, p.imagesFile} {
		if f != nil {
			f.Close()
		}
	}
}
