package dataset

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files are the regular files of a folder or of an uncompressed tar, images or not: for data whose layout means something, as that of
// DAVIS. Its methods may be called from several goroutines at once.
type Files struct {
	root  string
	items map[string]item
	dir   string
	tar   *os.File
}

// OpenFiles lists the files at path, which may be what [Open] takes: a folder, a tar, a folder inside a tar. Names are relative to it; hidden
// ones are left out. The tar, if it is one, stays open until Close.
func OpenFiles(path string) (*Files, error) {
	file, inside, folder, err := locate(path)
	if err != nil {
		return nil, err
	}
	f := &Files{root: filepath.Clean(path), items: map[string]item{}}
	add := func(it item) { f.items[it.path] = it }
	if folder {
		f.dir = path
		return f, folderEntries(path, add)
	}
	r, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	st, err := r.Stat()
	if err == nil {
		if err = tarEntries(r, st.Size(), inside, add); err != nil {
			err = fmt.Errorf("tar %s: %w", file, err)
		}
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	f.tar = r
	return f, nil
}

// Root is the path that was opened.
func (f *Files) Root() string { return f.root }

// Names are the files' paths below the root, with slashes, sorted.
func (f *Files) Names() []string { return slices.Sorted(maps.Keys(f.items)) }

// Has says whether there is a file of that name.
func (f *Files) Has(name string) bool {
	_, ok := f.items[name]
	return ok
}

// Read is the contents of a file of at most limit bytes; 0 means [DefaultMaxBytes].
func (f *Files) Read(name string, limit int64) ([]byte, error) {
	if limit <= 0 {
		limit = DefaultMaxBytes
	}
	it, ok := f.items[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: f.root + "/" + name, Err: fs.ErrNotExist}
	}
	if it.size > limit {
		return nil, fmt.Errorf("%s/%s: %d bytes are more than the limit of %d", f.root, name, it.size, limit)
	}
	if f.tar != nil {
		data := make([]byte, it.size)
		if _, err := f.tar.ReadAt(data, it.off); err != nil && (err != io.EOF || it.size > 0) {
			return nil, fmt.Errorf("%s/%s: %w", f.root, name, err)
		}
		return data, nil
	}
	r, err := os.Open(filepath.Join(f.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readRegular(r, r.Name(), limit)
}

// Load decodes an image; the error, if any, is a [*BadImageError].
func (f *Files) Load(name string, maxPixels int) (*RGB, error) {
	data, err := f.Read(name, 0)
	if err != nil {
		return nil, &BadImageError{Path: f.root + "/" + name, Reason: reason(err), Err: err}
	}
	return Decode(data, f.root+"/"+name, maxPixels)
}

// Below are the files of a folder, by their paths relative to it. Closing either closes both.
func (f *Files) Below(folder string) *Files {
	folder = strings.Trim(folder, "/")
	if folder == "" {
		return f
	}
	sub := &Files{root: f.root + "/" + folder, items: map[string]item{}, tar: f.tar}
	if f.dir != "" {
		sub.dir = filepath.Join(f.dir, filepath.FromSlash(folder))
	}
	for name, it := range f.items {
		if rest, ok := strings.CutPrefix(name, folder+"/"); ok {
			sub.items[rest] = it
		}
	}
	return sub
}

// Close closes the tar.
func (f *Files) Close() error {
	if f.tar == nil {
		return nil
	}
	return f.tar.Close()
}
