package weights

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// AtomicWrite replaces the file at path by what write produces, or leaves it as it was. The new contents go to path.tmp in the same
// directory, are synced, and are renamed over path; the directory is synced last, so that after a return without error a power cut
// does not lose the file. A path.tmp that a killed process left behind is overwritten. One writer a path at a time.
func AtomicWrite(path string, write func(io.Writer) error) error {
	return atomicWrite(osFiles{}, path, write)
}

// files is what atomicWrite asks of the operating system; tests let operation k fail.
type files interface {
	Create(path string) (syncWriter, error)
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(path string) error
}

type syncWriter interface {
	io.Writer
	Sync() error
	Close() error
}

func atomicWrite(fs files, path string, write func(io.Writer) error) (err error) {
	temporary := path + ".tmp"
	f, err := fs.Create(temporary)
	if err != nil {
		return fmt.Errorf("saving %s: %w", path, err)
	}
	renamed := false
	defer func() {
		if err == nil {
			return
		}
		err = fmt.Errorf("saving %s: %w", path, err)
		if !renamed {
			fs.Remove(temporary) // best effort: the next save overwrites it
		}
	}()
	buffered := bufio.NewWriterSize(f, 1<<18)
	err = write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err = fs.Rename(temporary, path); err != nil {
		return err
	}
	renamed = true
	return fs.SyncDir(filepath.Dir(path))
}

type osFiles struct{}

func (osFiles) Create(path string) (syncWriter, error) { return os.Create(path) }
func (osFiles) Rename(from, to string) error           { return os.Rename(from, to) }
func (osFiles) Remove(path string) error               { return os.Remove(path) }

func (osFiles) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some file systems (network ones, mostly) have nothing to sync in a directory and say so.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
