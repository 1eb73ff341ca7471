package dataset

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var pixel = func() []byte { // a 1×1 GIF
	return []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x01\x02\x03\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")
}()

func writeTree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		p := filepath.Join(dir, filepath.FromSlash(f))
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, pixel, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeTar(t *testing.T, write func(w *tar.Writer)) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	write(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(p, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return p
}

func addFile(t *testing.T, w *tar.Writer, name string, data []byte) {
	t.Helper()
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(data)), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string, opts Options) *Dataset {
	t.Helper()
	d, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for i := range d.Len() {
		img, err := d.Load(i)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(img.Pix, []byte{1, 2, 3}) {
			t.Fatalf("%s has pixels %v", d.FullPath(i), img.Pix)
		}
	}
	return d
}

// listed is the dataset as "path=class" words.
func listed(d *Dataset) string {
	var s []string
	for i := range d.Len() {
		class := "-"
		if l := d.Label(i); l >= 0 {
			class = d.Classes()[l]
		}
		s = append(s, d.Path(i)+"="+class)
	}
	return strings.Join(s, " ")
}

// The same files as a folder and as a tar give the same dataset.
func TestLayouts(t *testing.T) {
	long := strings.Repeat("long/", 30) + "x.gif"
	for _, c := range []struct {
		name, inside, split string
		files               []string
		want                string
		found               bool
	}{
		{"flat", "", "", []string{"b.jpg", "a.PNG", "c.txt", ".hidden.png"}, "a.PNG=- b.jpg=-", false},
		{"classes", "", "train", []string{"dog/1.gif", "cat/2.GIF", "cat/10.gif"}, "cat/10.gif=cat cat/2.GIF=cat dog/1.gif=dog", false},
		{"one class", "", "", []string{"cat/1.gif", "cat/2.gif"}, "cat/1.gif=cat cat/2.gif=cat", false},
		{"lone folder above", "", "", []string{"d/cat/1.gif", "d/dog/2.gif"}, "cat/1.gif=cat dog/2.gif=dog", false},
		{"no descent past images", "", "", []string{"d/cat/1.gif", "x.gif"}, "d/cat/1.gif=cat x.gif=-", false},
		{"split", "", "train", []string{"d/train/cat/1.gif", "d/test/cat/2.gif"}, "cat/1.gif=cat", true},
		{"split by another name", "", "test", []string{"d/train/cat/1.gif", "d/Val/cat/2.gif"}, "cat/2.gif=cat", true},
		{"no split asked for", "", "", []string{"d/train/cat/1.gif", "d/test/cat/2.gif"}, "test/cat/2.gif=cat train/cat/1.gif=cat", false},
		{"inside", "d/train", "", []string{"d/train/a/1.gif", "d/train/b/1.gif", "d/trainer/b/1.gif"}, "a/1.gif=a b/1.gif=b", false},
		{"macOS", "", "", []string{"cat/1.gif", "__MACOSX/cat/._1.gif", "cat/._1.gif", ".git/2.gif"}, "cat/1.gif=cat", false},
		{"odd names", "", "", []string{"a b/ü –.gif", "a b/%41.gif", "c/x.tar/1.gif"}, "a b/%41.gif=a b a b/ü –.gif=a b c/x.tar/1.gif=x.tar", false},
		{"long name", "", "", []string{long, "b/1.gif"}, "b/1.gif=b " + long + "=long", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeTree(t, c.files...)
			archive := writeTar(t, func(w *tar.Writer) {
				for _, f := range c.files {
					addFile(t, w, "./"+f, pixel)
				}
			})
			var prints []string
			for _, p := range []string{dir, archive} {
				d := open(t, filepath.Join(p, c.inside), Options{Split: c.split})
				if got := listed(d); got != c.want {
					t.Errorf("%s\n got %s\nwant %s", p, got, c.want)
				}
				if d.SplitFound() != c.found {
					t.Errorf("split found: %v", d.SplitFound())
				}
				if !strings.HasPrefix(d.FullPath(0), p) {
					t.Errorf("full path %s is not below %s", d.FullPath(0), p)
				}
				prints = append(prints, d.Fingerprint())
			}
			if prints[0] != prints[1] {
				t.Error("folder and tar have different fingerprints")
			}
		})
	}
}

func TestFolderLinksAndSpecialFiles(t *testing.T) {
	dir := writeTree(t, "z/1.gif", "b/2.gif")
	elsewhere := writeTree(t, "3.gif")
	link := func(to, at string) {
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Skipf("this system makes no symbolic links: %v", err)
		}
	}
	link("..", "b/up.gif")
	link(dir, "b/loop")
	link("z", "a") // the real folder keeps its name though the link sorts first
	link(elsewhere, "c")
	link("nowhere", "b/dangling.gif")
	link(filepath.Join(dir, "z", "1.gif"), "b/file.gif")
	if l, err := net.Listen("unix", filepath.Join(dir, "s.gif")); err == nil {
		defer l.Close()
	}
	d := open(t, dir, Options{})
	if got, want := listed(d), "b/2.gif=b b/file.gif=b c/3.gif=c z/1.gif=z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTarEntries(t *testing.T) {
	p := writeTar(t, func(w *tar.Writer) {
		addFile(t, w, "a/1.gif", []byte("an older version"))
		addFile(t, w, "a/1.gif", pixel)
		addFile(t, w, "../escape.gif", pixel)
		addFile(t, w, "a/../../escape.gif", pixel)
		addFile(t, w, "/abs/2.gif", pixel)
		for _, h := range []tar.Header{
			{Name: "b/hard.gif", Typeflag: tar.TypeLink, Linkname: "a/1.gif"},
			{Name: "b/nothing.gif", Typeflag: tar.TypeLink, Linkname: "a/none.gif"},
			{Name: "b/soft.gif", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
			{Name: "b/pipe.gif", Typeflag: tar.TypeFifo},
		} {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
	})
	if got, want := listed(open(t, p, Options{})), "a/1.gif=a abs/2.gif=abs b/hard.gif=b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := writeTree(t, "a/1.gif", "texts/1.txt", "texts/2.txt", "texts/noending")
	archive := writeTar(t, func(w *tar.Writer) { addFile(t, w, "a/1.gif", pixel); addFile(t, w, "a/2.gif", make([]byte, 5000)) })
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(whole)
	z.Close()
	put := func(name string, data []byte) string {
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return p
	}
	empty := t.TempDir()
	for _, c := range []struct{ path, says string }{
		{filepath.Join(dir, "missing"), "no such file"},
		{filepath.Join(dir, "texts"), `found 3 files of other kinds: ".txt" (2), "no ending" (1)`},
		{empty, "no files at all"},
		{filepath.Join(dir, "a", "1.gif"), "one image"},
		{archive + "/nowhere", "no images in " + archive + "/nowhere"},
		{archive + "/../../a", "not a directory"},
		{put("x.tar.gz", zipped.Bytes()), "gzip"},
		{put("short.tar", whole[:3000]), "truncated"},
		{put("short2.tar", whole[:1100]), "truncated"},
		{put("no.tar", bytes.Repeat([]byte("this is no tar "), 100)), "not a tar"},
	} {
		d, err := Open(c.path, Options{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q (%v)", c.path, err, c.says, d)
		}
	}
}

func TestLoadErrorsNameTheFile(t *testing.T) {
	dir := writeTree(t, "a/1.gif", "a/2.gif")
	if err := os.WriteFile(filepath.Join(dir, "a", "2.gif"), pixel[:20], 0o666); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(1); !isBad(err) || !strings.Contains(err.Error(), filepath.Join(dir, "a", "2.gif")) {
		t.Errorf("truncated file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "a", "1.gif")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(0); !isBad(err) {
		t.Errorf("file removed meanwhile: %v", err)
	}
	d.opts.MaxBytes = 10
	if _, err := d.Load(1); !isBad(err) || !strings.Contains(err.Error(), "limit") {
		t.Errorf("large file: %v", err)
	}
}

func TestFingerprintSeesChanges(t *testing.T) {
	print := func(files ...string) string { return open(t, writeTree(t, files...), Options{}).Fingerprint() }
	a := print("a/1.gif", "b/2.gif")
	if a != print("a/1.gif", "b/2.gif") {
		t.Error("the same files elsewhere have another fingerprint")
	}
	if a == print("a/1.gif", "b/3.gif") || a == print("a/1.gif", "b/2.gif", "b/3.gif") {
		t.Error("other files have the same fingerprint")
	}
}

func TestHoldOutAndSubsets(t *testing.T) {
	draw := func(i int) (*RGB, error) { return &RGB{W: 1, H: 1, Pix: []byte{byte(i), 0, 0}}, nil }
	labels := make([]int, 50)
	for i := range labels {
		labels[i] = i % 3
	}
	d := FromFunc("made", 50, []string{"a", "b", "c"}, labels, draw)
	train, held := d.HoldOut(0.2, 7)
	if train.Len() != 40 || held.Len() != 10 {
		t.Fatalf("%d and %d images", train.Len(), held.Len())
	}
	if s := d.Sample(12, 1); s.Len() != 12 || !slices.Equal(paths(s), paths(d.Sample(12, 1))) || slices.Equal(paths(s), paths(d.Sample(12, 2))) || !slices.IsSorted(paths(s)) {
		t.Errorf("a sample of 12 is %v", paths(s))
	}
	if d.Sample(0, 1).Len() != 50 || d.Sample(60, 1).Len() != 50 {
		t.Error("samples of 0 and 60 of 50 images are not all of them")
	}
	// 17, 17 and 16 images of a class.
	fraction := func(share float64, seed uint64) []string { return paths(d.Fraction(share, seed)) }
	for _, c := range []struct {
		share float64
		want  [3]int
	}{{0, [3]int{1, 1, 1}}, {0.1, [3]int{2, 2, 2}}, {0.03, [3]int{1, 1, 1}}, {0.5, [3]int{9, 9, 8}}, {1, [3]int{17, 17, 16}}, {2, [3]int{17, 17, 16}}} {
		f := d.Fraction(c.share, 4)
		var got [3]int
		for i := range f.Len() {
			got[f.Label(i)]++
		}
		if got != c.want || !slices.IsSorted(paths(f)) || !slices.Equal(paths(f), fraction(c.share, 4)) {
			t.Errorf("a share of %g has %v images of the classes, want %v: %v", c.share, got, c.want, paths(f))
		}
	}
	if slices.Equal(fraction(0.5, 4), fraction(0.5, 5)) {
		t.Error("two seeds draw the same half")
	}
	for _, p := range fraction(0.1, 4) {
		if !slices.Contains(fraction(0.5, 4), p) {
			t.Errorf("%s is in a tenth and not in the half", p)
		}
	}
	if f := FromFunc("made", 3, []string{"a", "b"}, []int{-1, 1, -1}, draw).Fraction(1, 0); f.Len() != 1 || f.Label(0) != 1 {
		t.Errorf("of images without a class %d are left", f.Len())
	}
	seen := map[byte]bool{}
	for _, part := range []*Dataset{train, held} {
		for i := range part.Len() {
			img, err := part.Load(i)
			if err != nil {
				t.Fatal(err)
			}
			n := img.Pix[0]
			if seen[n] {
				t.Errorf("image %d twice", n)
			}
			seen[n] = true
			if part.Path(i) != fmt.Sprintf("made/%06d", n) || part.Label(i) != int(n)%3 {
				t.Errorf("image %d has path %s and label %d", n, part.Path(i), part.Label(i))
			}
			if i > 0 && part.Path(i) <= part.Path(i-1) {
				t.Error("not in sorted order")
			}
		}
	}
	again, _ := d.HoldOut(0.2, 7)
	other, _ := d.HoldOut(0.2, 8)
	if again.Fingerprint() != train.Fingerprint() || other.Fingerprint() == train.Fingerprint() {
		t.Error("the division does not follow the seed")
	}
	sub := train.Subset([]int{5, 0})
	if sub.Len() != 2 || sub.Path(0) != train.Path(5) || sub.Path(1) != train.Path(0) {
		t.Error("subset in another order")
	}
}

func TestWithClasses(t *testing.T) {
	test := open(t, writeTree(t, "cat/1.gif", "dog/1.gif", "x.gif"), Options{})
	d, err := test.WithClasses([]string{"ant", "bee", "cat", "dog"})
	if err != nil {
		t.Fatal(err)
	}
	if got := []int{d.Label(0), d.Label(1), d.Label(2)}; !slices.Equal(got, []int{2, 3, -1}) {
		t.Errorf("labels %v", got)
	}
	if _, err := test.WithClasses([]string{"cat"}); err == nil || !strings.Contains(err.Error(), "dog") {
		t.Errorf("a missing class: %v", err)
	}
}

// Whatever the bytes, the index stays within them.
func FuzzTarIndex(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"a/1.png", strings.Repeat("x", 150) + "/2.jpg", "../3.gif", "a/.4.gif"} {
		w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 3})
		w.Write([]byte("abc"))
	}
	w.WriteHeader(&tar.Header{Name: "a/5.png", Typeflag: tar.TypeLink, Linkname: "a/1.png"})
	w.Close()
	f.Add(b.Bytes(), "")
	f.Add(b.Bytes(), "a/")
	f.Add(b.Bytes()[:1000], "../a")
	f.Fuzz(func(t *testing.T, data []byte, inside string) {
		l, err := indexTar(bytes.NewReader(data), int64(len(data)), inside)
		if err != nil {
			return
		}
		for _, it := range l.items {
			if it.off < 0 || it.size < 0 || it.off > int64(len(data)) || it.size > int64(len(data))-it.off {
				t.Errorf("%q: %d bytes at %d of %d", it.path, it.size, it.off, len(data))
			}
			for part := range strings.SplitSeq(it.path, "/") {
				if part == ".." || part == "" {
					t.Errorf("path %q", it.path)
				}
			}
		}
	})
}

func paths(d *Dataset) []string {
	list := make([]string, d.Len())
	for i := range list {
		list[i] = d.Path(i)
	}
	return list
}
