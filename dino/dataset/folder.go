package dataset

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// openFolder lists the regular files below dir.
func openFolder(dir string, opts Options) (*Dataset, error) {
	var found listing
	if err := folderEntries(dir, found.add); err != nil {
		return nil, err
	}
	d := &Dataset{opts: opts}
	if err := d.settle(found, filepath.Clean(dir)); err != nil {
		return nil, err
	}
	d.dir = d.root
	return d, nil
}

// folderEntries gives add the regular files below dir, with paths relative to it.
func folderEntries(dir string, add func(item)) error {
	w := walker{add: add}
	w.visit(dir, "")
	// Linked folders come after all real ones, so that a folder reached both ways keeps its real path; visiting a folder once ends loops.
	for len(w.linked) > 0 {
		rel := w.linked[0]
		w.linked = w.linked[1:]
		w.visit(filepath.Join(dir, filepath.FromSlash(rel)), rel)
	}
	return w.err
}

type walker struct {
	add    func(item)
	seen   map[string]bool // real paths of folders visited
	linked []string        // symbolic links to folders, relative, to be visited
	err    error
}

// visit lists folder dir, which is rel below the root.
func (w *walker) visit(dir, rel string) {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		w.fail(err)
		return
	}
	if w.seen[real] {
		return
	}
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	w.seen[real] = true
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		w.fail(err)
		return
	}
	for _, e := range entries {
		name := e.Name()
		if skipped(name) {
			continue
		}
		sub := path.Join(rel, name)
		switch {
		case e.IsDir():
			w.visit(filepath.Join(dir, name), sub)
		case e.Type()&fs.ModeSymlink != 0:
			st, err := os.Stat(filepath.Join(dir, name))
			switch {
			case err != nil: // a dangling link is no image
			case st.IsDir():
				w.linked = append(w.linked, sub)
			case st.Mode().IsRegular():
				w.add(item{path: sub, size: st.Size(), mod: st.ModTime().UnixNano()})
			}
		case e.Type().IsRegular():
			st, err := e.Info()
			if err != nil { // removed meanwhile
				w.fail(err)
				continue
			}
			w.add(item{path: sub, size: st.Size(), mod: st.ModTime().UnixNano()})
		}
	}
}

func (w *walker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
