package dataset

import (
	"archive/tar"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	contents := map[string]string{"top/a.txt": "one", "top/deep/b.png": "two", "top/deep/empty": ""}
	folder, archive := filepath.Join(dir, "folder"), filepath.Join(dir, "x.tar")
	w, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(w)
	for name, text := range contents {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666),
			tw.WriteHeader(&tar.Header{Name: name, Mode: 0o666, Size: int64(len(text))})); err != nil {
			t.Fatal(err)
		}
		tw.Write([]byte(text))
	}
	if err := errors.Join(tw.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, archive} {
		f, err := OpenFiles(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got, want := f.Names(), []string{"top/a.txt", "top/deep/b.png", "top/deep/empty"}; !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %v", path, got)
		}
		inside, err := OpenFiles(path + "/top")
		if err != nil {
			t.Fatal(err)
		}
		defer inside.Close()
		for _, top := range []*Files{f.Below("top"), inside} {
			if got, want := top.Names(), []string{"a.txt", "deep/b.png", "deep/empty"}; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v", top.Root(), got)
			}
			for name, text := range contents {
				got, err := top.Read(name[len("top/"):], 3)
				if err != nil || string(got) != text {
					t.Errorf("%s/%s: %q, %v", top.Root(), name, got, err)
				}
			}
			if _, err := top.Read("a.txt", 2); err == nil {
				t.Error("a file beyond the limit was read")
			}
			if _, err := top.Read("b", 0); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a file that is not there: %v", err)
			}
			var bad *BadImageError
			if _, err := top.Load("deep/b.png", 0); !errors.As(err, &bad) {
				t.Errorf("no image: %v", err)
			}
		}
	}
}
