package dataset

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// openTar lists the images of a tar below the folder inside, "" for all of it, and keeps the file open for ReadAt.
func openTar(file, inside string, opts Options) (*Dataset, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	d, err := newTarDataset(f, file, inside, opts)
	if err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

func newTarDataset(f *os.File, file, inside string, opts Options) (*Dataset, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("data path %s is neither a folder nor a regular file", file)
	}
	var magic [8]byte
	n, _ := f.ReadAt(magic[:], 0)
	if kind := compression(string(magic[:n])); kind != "" {
		return nil, fmt.Errorf("%s is compressed (%s): images are read from a tar by their place in it, so unpack it once (for example: gunzip, xz -d, zstd -d) and give the .tar", file, kind)
	}
	if f := sniff(magic[:n]); f != nil || IsImageName(file) {
		return nil, fmt.Errorf("%s is one image; give the folder that it lies in", file)
	}
	l, err := indexTar(f, st.Size(), inside)
	if err != nil {
		return nil, fmt.Errorf("tar %s: %w", file, err)
	}
	where := file
	if inside = cleanInside(inside); inside != "" {
		where += "/" + inside
	}
	d := &Dataset{opts: opts, tar: f}
	if err := d.settle(l, where); err != nil {
		return nil, err
	}
	return d, nil
}

func compression(magic string) string {
	for _, c := range [][2]string{{"\x1f\x8b", "gzip"}, {"BZh", "bzip2"}, {"\xfd7zXZ", "xz"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"PK\x03\x04", "zip"}} {
		if strings.HasPrefix(magic, c[0]) {
			return c[1]
		}
	}
	return ""
}

// cleanInside is a path inside a tar without leading slash; "" is the top.
func cleanInside(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// indexTar lists the images of a tar of size bytes below the folder inside, with paths relative to it.
func indexTar(r io.ReaderAt, size int64, inside string) (listing, error) {
	var l listing
	err := tarEntries(r, size, inside, l.add)
	return l, err
}

// tarEntries reads the headers of a tar of size bytes, skips its data, and gives add the regular files below the folder inside, in no
// order, with paths relative to it. An entry whose data would end beyond the tar is an error: half a download should not become a smaller
// dataset unnoticed.
func tarEntries(r io.ReaderAt, size int64, inside string, add func(item)) error {
	prefix := cleanInside(inside)
	if prefix != "" {
		prefix += "/"
	}
	// tar.Reader skips an entry's data by seeking, and reads headers unbuffered, so that after Next the position is the data's offset.
	section := io.NewSectionReader(r, 0, size)
	headers := tar.NewReader(section)
	at := map[string]item{} // an archive may hold a path twice; the last one counts, as for tar itself
	for {
		h, err := headers.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			off, _ := section.Seek(0, io.SeekCurrent)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("truncated: it ends inside an entry, after %d entries", len(at))
			}
			return fmt.Errorf("not a tar, or damaged near byte %d, after %d entries: %w", off, len(at), err)
		}
		name, ok := entryName(h.Name)
		if !ok {
			continue
		}
		switch h.Typeflag {
		case tar.TypeReg:
			if sparse(h) {
				continue
			}
			off, err := section.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			if h.Size < 0 || h.Size > size-off {
				return fmt.Errorf("truncated: entry %q of %d bytes at byte %d, in a tar of %d bytes", h.Name, h.Size, off, size)
			}
			at[name] = item{path: name, off: off, size: h.Size}
		case tar.TypeLink: // a hard link: the data of an earlier entry
			if target, ok := entryName(h.Linkname); ok {
				if it, ok := at[target]; ok {
					it.path = name
					at[name] = it
				}
			}
		}
	}
	for _, it := range at {
		if rest, ok := strings.CutPrefix(it.path, prefix); ok {
			it.path = rest
			add(it)
		}
	}
	return nil
}

// entryName cleans an entry's name; false if it is hidden or would leave the archive.
func entryName(name string) (string, bool) {
	for part := range strings.SplitSeq(strings.TrimPrefix(name, "./"), "/") {
		if part == ".." || part != "." && skipped(part) {
			return "", false
		}
	}
	name = cleanInside(name)
	return name, name != ""
}

// sparse says whether an entry's data are not stored as they are.
func sparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}
