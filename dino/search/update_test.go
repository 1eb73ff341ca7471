package search

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/godino-ml/godino/dino/dataset"
)

// paint writes a picture of one colour, which is what its feature is made of.
func paint(t *testing.T, path string, c uint32) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 2, 2))
	for i := range 4 {
		img.Set(i%2, i/2, color.RGBA{uint8(c), uint8(c >> 8), uint8(c >> 16), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	file := make([]byte, 200) // of one size, whatever the colour; what follows the picture is not read
	if copy(file, b.Bytes()) == len(file) {
		t.Fatalf("%d bytes", b.Len())
	}
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
}

// update brings the index dir up to date with the pictures of a folder. after says how many batches of 4 may be computed, −1 for all.
func update(t *testing.T, dir, data string, after int, change func(o *UpdateOptions)) (*UpdateStats, error) {
	t.Helper()
	ds, err := dataset.Open(data, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ds.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := UpdateOptions{Settings: Settings{Params: "p", Tokens: "cls", Crop: 2, Resize: 2, Std: [3]float32{1, 1, 1}, Precision: "float32"}, Source: Source{Data: data}, Dim: 4, Workers: 2}
	o.Compute = func(ctx context.Context, ds *dataset.Dataset, emit func([]int, []float32) error) error {
		for first := 0; first < ds.Len(); first += 4 {
			if after == 0 {
				cancel()
			}
			after--
			if err := ctx.Err(); err != nil {
				return err
			}
			var indices []int
			var rows []float32
			for i := first; i < min(first+4, ds.Len()); i++ {
				img, err := ds.Load(i)
				if err != nil {
					continue
				}
				indices = append(indices, i)
				rows = append(rows, float32(img.Pix[0])+1, float32(img.Pix[1]), float32(img.Pix[2]), 7)
			}
			if err := emit(indices, rows); err != nil {
				return err
			}
		}
		return nil
	}
	if change != nil {
		change(&o)
	}
	return Update(ctx, dir, ds, o)
}

// contents are the paths and features of an index.
func contents(t *testing.T, dir string) string {
	t.Helper()
	x, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.Verify(); err != nil {
		t.Fatal(err)
	}
	s := ""
	for i, img := range x.Images {
		s += fmt.Sprintf("%q %x %v\n", img.Path, img.Sum[:4], x.Rows().Row(i))
	}
	return s
}

func wantStats(t *testing.T, what string, got *UpdateStats, err error, want UpdateStats) {
	t.Helper()
	if err != nil || *got != want {
		t.Fatalf("%s: %+v, %v; want %+v", what, got, err, want)
	}
}

func TestUpdate(t *testing.T) {
	top := t.TempDir()
	data, dir := filepath.Join(top, "data"), filepath.Join(top, "index")
	for i := range 10 {
		paint(t, filepath.Join(data, "a", fmt.Sprintf("%d.png", i)), uint32(i*20))
	}
	odd := []string{"new\nline.png", "not\xffutf8.png", "<b>&\"'.png"}
	for i, name := range odd {
		paint(t, filepath.Join(data, "b", name), uint32(5000+i))
	}
	if err := os.WriteFile(filepath.Join(data, "b", "zz.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	stats, err := update(t, dir, data, -1, nil)
	wantStats(t, "first", stats, err, UpdateStats{Rows: 13, Computed: 13, Left: 1})
	x, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range odd {
		if !slices.ContainsFunc(x.Images, func(img Image) bool { return img.Path == "b/"+name }) {
			t.Errorf("%q is not in the index", name)
		}
	}
	if address := uintptr(unsafe.Pointer(&x.Rows().Data[0])); address%64 != 0 {
		t.Errorf("rows begin at %#x, not at a multiple of 64", address)
	}
	defer x.Close() // a reader that stays while the index is replaced
	before := x.Rows().Row(0)[0]

	generation := func() fs.FileInfo {
		st, err := os.Stat(filepath.Join(dir, metaName))
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	written := generation()
	stats, err = update(t, dir, data, -1, nil)
	wantStats(t, "nothing changed", stats, err, UpdateStats{Rows: 13, Kept: 13, Left: 1})
	if !os.SameFile(written, generation()) {
		t.Error("the index was written again, though nothing had changed")
	}

	paint(t, filepath.Join(data, "a", "0.png"), 0xffffff)                // changed
	paint(t, filepath.Join(data, "a", "new.png"), 777)                   // new
	if err := os.Remove(filepath.Join(data, "a", "1.png")); err != nil { // gone
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(data, "a", "2.png"), filepath.Join(data, "b", "moved.png")); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(data, "a", "3.png"), now, now); err != nil { // touched
		t.Fatal(err)
	}
	stats, err = update(t, dir, data, -1, nil)
	wantStats(t, "changed", stats, err, UpdateStats{Rows: 13, Kept: 11, Computed: 2, Removed: 2, Left: 1})
	fresh := filepath.Join(top, "fresh")
	if _, err := update(t, fresh, data, -1, nil); err != nil {
		t.Fatal(err)
	}
	if a, b := contents(t, dir), contents(t, fresh); a != b {
		t.Errorf("brought up to date:\n%s\nmade anew:\n%s", a, b)
	}
	if x.Rows().Row(0)[0] != before {
		t.Error("a reader's rows changed")
	}

	// Other bytes of the same size and time are seen when the files are read.
	st, err := os.Stat(filepath.Join(data, "a", "4.png"))
	if err != nil {
		t.Fatal(err)
	}
	same := filepath.Join(data, "a", "4.png")
	paint(t, same, 9000)
	if err := os.Chtimes(same, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	stats, err = update(t, dir, data, -1, nil)
	wantStats(t, "unseen", stats, err, UpdateStats{Rows: 13, Kept: 13, Left: 1})
	stats, err = update(t, dir, data, -1, func(o *UpdateOptions) { o.Checksum = true })
	wantStats(t, "checksum", stats, err, UpdateStats{Rows: 13, Kept: 12, Computed: 1, Removed: 1, Left: 1})

	other := func(o *UpdateOptions) { o.Settings.Params = "q" }
	if _, err := update(t, dir, data, -1, other); !errors.Is(err, ErrOtherSettings) {
		t.Errorf("other weights: %v", err)
	}
	stats, err = update(t, dir, data, -1, func(o *UpdateOptions) { other(o); o.Rebuild = true })
	wantStats(t, "rebuilt", stats, err, UpdateStats{Rows: 13, Computed: 13, Left: 1})
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 4 { // index.json, features, images, lock
		t.Errorf("left in the folder: %v, %v", names, err)
	}
}

func TestInterruptedUpdateGoesOn(t *testing.T) {
	top := t.TempDir()
	data := filepath.Join(top, "data")
	for i := range 30 {
		paint(t, filepath.Join(data, fmt.Sprintf("%02d.png", i)), uint32(i*1000))
	}
	whole := filepath.Join(top, "whole")
	if _, err := update(t, whole, data, -1, nil); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		name    string
		file    string
		cut     int64 // from its end
		flip    int64 // byte from its end, 0 for none
		resumed int
	}{
		{name: "none", file: partialRows, resumed: 12},
		{name: "half a line", file: partialImages, cut: 5, resumed: 11},
		{name: "half a row", file: partialRows, cut: 17, resumed: 10},
		{name: "a row's bit", file: partialRows, flip: 3*16 + 1, resumed: 8},
		{name: "nothing of it", file: partialImages, cut: 1 << 40, resumed: 0},
		{name: "no rows", file: partialRows, cut: 1 << 40, resumed: 0},
	} {
		dir := filepath.Join(top, damage.name)
		if _, err := update(t, dir, data, 3, nil); !errors.Is(err, ErrInterrupted) || !errors.Is(err, context.Canceled) {
			t.Fatalf("%v", err)
		}
		if _, err := Open(dir); !errors.Is(err, ErrNoIndex) {
			t.Errorf("an index that was never finished opens: %v", err)
		}
		path := filepath.Join(dir, damage.file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if damage.flip > 0 {
			b[int64(len(b))-damage.flip] ^= 1
		}
		if err := os.WriteFile(path, b[:max(0, int64(len(b))-damage.cut)], 0o666); err != nil {
			t.Fatal(err)
		}
		stats, err := update(t, dir, data, -1, nil)
		wantStats(t, damage.name, stats, err, UpdateStats{Rows: 30, Resumed: damage.resumed, Computed: 30 - damage.resumed})
		for _, name := range []string{metaName, "features.0.f32", "images.0.jsonl"} {
			a, err1 := os.ReadFile(filepath.Join(whole, name))
			b, err2 := os.ReadFile(filepath.Join(dir, name))
			if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
				t.Errorf("%s: %s is not what an update without interruption writes: %v, %v", damage.name, name, err1, err2)
			}
		}
	}
	// Rows of other weights are not taken up.
	dir := filepath.Join(top, "other")
	if _, err := update(t, dir, data, 3, nil); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	stats, err := update(t, dir, data, -1, func(o *UpdateOptions) { o.Settings.Tokens = "mean" })
	wantStats(t, "other tokens", stats, err, UpdateStats{Rows: 30, Computed: 30})
}

func TestUpdateRefuses(t *testing.T) {
	top := t.TempDir()
	data, dir := filepath.Join(top, "data"), filepath.Join(top, "index")
	if err := os.MkdirAll(data, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "a.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := update(t, dir, data, -1, nil); err == nil {
		t.Error("an index of nothing was made")
	}
	paint(t, filepath.Join(data, "b.png"), 1)
	inside := func(o *UpdateOptions) {
		compute := o.Compute
		o.Compute = func(ctx context.Context, ds *dataset.Dataset, emit func([]int, []float32) error) error {
			if _, err := update(t, dir, data, -1, nil); !errors.Is(err, ErrInUse) {
				t.Errorf("two updates at once: %v", err)
			}
			return compute(ctx, ds, emit)
		}
	}
	if _, err := update(t, dir, data, -1, inside); err != nil {
		t.Fatal(err)
	}
	nan := func(o *UpdateOptions) {
		o.Rebuild = true
		o.Compute = func(_ context.Context, _ *dataset.Dataset, emit func([]int, []float32) error) error {
			var zero float32
			return emit([]int{0}, []float32{1, 2, zero / zero, 4})
		}
	}
	before := contents(t, dir)
	if _, err := update(t, dir, data, -1, nan); err == nil {
		t.Error("a feature that is not finite was kept")
	}
	if contents(t, dir) != before {
		t.Error("a failed update changed the index")
	}
}

// TestDamageIsFound changes every byte of every file: what Open or Verify does not refuse must read the same.
func TestDamageIsFound(t *testing.T) {
	top := t.TempDir()
	data, dir := filepath.Join(top, "data"), filepath.Join(top, "index")
	for i := range 3 {
		paint(t, filepath.Join(data, fmt.Sprintf("%d.png", i)), uint32(i*7))
	}
	if _, err := update(t, dir, data, -1, nil); err != nil {
		t.Fatal(err)
	}
	want := contents(t, dir)
	try := func(what string, mayPass bool) {
		x, err := Open(dir)
		if err == nil {
			err = x.Verify()
			x.Close()
		}
		if err == nil && !(mayPass && contents(t, dir) == want) {
			t.Errorf("%s: not found", what)
		}
	}
	for _, name := range []string{metaName, "features.0.f32", "images.0.jsonl"} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte) {
			if err := os.WriteFile(path, b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		for i := range whole {
			b := slices.Clone(whole)
			b[i] ^= 0x10
			write(b)
			try(fmt.Sprintf("%s, byte %d", name, i), name == metaName) // where paths of the source have no checksum
			write(whole[:i])
			try(fmt.Sprintf("%s, cut to %d bytes", name, i), name == metaName)
		}
		write(append(slices.Clone(whole), 0))
		try(name+", one byte more", false)
		write(whole)
	}
	if contents(t, dir) != want {
		t.Error("the test did not put things back")
	}
}

func FuzzHeader(f *testing.F) {
	h := header{dim: 3, count: 2}
	f.Add(h.bytes(), int64(headerSize+24))
	f.Add(append([]byte(featuresMagic), make([]byte, 56)...), int64(64))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		h, err := parseHeader(b, size)
		if err == nil && int64(headerSize)+4*int64(h.dim)*int64(h.count) != size {
			t.Errorf("%+v of %d bytes", h, size)
		}
	})
}

// FuzzOpen opens an index whose index.json is anything.
func FuzzOpen(f *testing.F) {
	m, err := json.Marshal(meta{Format: 1, Dim: 1 << 30, Count: 1 << 60, Settings: Settings{Crop: 1, Resize: 1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m, []byte("{}\n"))
	f.Add([]byte(`{"format": 1, "generation": -1}`), []byte(""))
	f.Fuzz(func(t *testing.T, m, images []byte) {
		dir := t.TempDir()
		h := header{dim: 1, count: 1}
		for name, b := range map[string][]byte{metaName: m, "images.0.jsonl": images, "features.0.f32": append(h.bytes(), 0, 0, 0x80, 0x3f)} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if x, err := Open(dir); err == nil {
			if len(x.Images) != x.Rows().Len() {
				t.Errorf("%d images, %d rows", len(x.Images), x.Rows().Len())
			}
			x.Close()
		}
	})
}
