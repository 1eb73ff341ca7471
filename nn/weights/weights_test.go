package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/internal/golden"
)

func sample() *Contents {
	return &Contents{
		Arrays: []Array{
			{Name: "teacher.backbone.cls_token", Shape: []int{1, 1, 3}, Data: []float32{1, float32(math.Inf(-1)), -0.5}},
			{Name: "teacher.backbone.empty", Shape: []int{0, 4}, Data: []float32{}},
			{Name: "teacher.head.last_layer.weight_g", Shape: []int{2, 1}, Data: []float32{3, 4}},
			{Name: "scalar", Data: []float32{7}},
		},
		Raws:     []Raw{Int64s("order", []int{2}, []int64{-7, 1 << 40}), Bytes("note", []byte("odd"))},
		Metadata: map[string]string{"epoch": "3", "quote": `a "b" \ é`},
	}
}

func encode(t testing.TB, c *Contents) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(b []byte) (*Contents, error) {
	f, err := NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	return f.Contents()
}

func TestSaveOpenRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := Save(path, sample()); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Metadata["epoch"] != "3" || f.Metadata["quote"] != `a "b" \ é` || len(f.Metadata) != 2 {
		t.Errorf("metadata %q", f.Metadata)
	}
	for _, want := range sample().Arrays {
		got, err := f.Array(want.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Shape, want.Shape) || !slices.Equal(got.Data, want.Data) {
			t.Errorf("%s: got %v %v, want %v %v", want.Name, got.Shape, got.Data, want.Shape, want.Data)
		}
	}
	raw, err := f.Raw("order")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := raw.Int64s(); err != nil || !slices.Equal(v, []int64{-7, 1 << 40}) {
		t.Errorf("order: %v, %v", v, err)
	}
	if note, err := f.Raw("note"); err != nil || string(note.Data) != "odd" {
		t.Errorf("note: %q, %v", note.Data, err)
	}
	if _, err := f.Array("order"); err == nil || !strings.Contains(err.Error(), "order holds I64") {
		t.Errorf("floats of an integer array: %v", err)
	}
	if _, err := f.Array("absent"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("absent array: %v", err)
	}
}

// The layout other programs rely on: data at a multiple of 8, elements aligned, no holes (the last checked by every reader).
func TestWriteAligns(t *testing.T) {
	b := encode(t, sample())
	n := binary.LittleEndian.Uint64(b)
	if n%8 != 0 {
		t.Errorf("header of %d bytes", n)
	}
	var header map[string]struct {
		Dtype   Dtype
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(b[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	for name, h := range header {
		if name != "__metadata__" && h.Offsets[0]%h.Dtype.size() != 0 {
			t.Errorf("%s: %s at %d", name, h.Dtype, h.Offsets[0])
		}
	}
	if !bytes.Equal(b, encode(t, sample())) {
		t.Error("the same contents gave other bytes")
	}
}

func TestWriteRefuses(t *testing.T) {
	for what, c := range map[string]*Contents{
		"two names":     {Arrays: []Array{{Name: "a", Shape: []int{0}}, {Name: "a", Shape: []int{0}}}},
		"shape":         {Arrays: []Array{{Name: "a", Shape: []int{2}, Data: []float32{1}}}},
		"negative":      {Arrays: []Array{{Name: "a", Shape: []int{-1, -1}, Data: []float32{1}}}},
		"overflow":      {Arrays: []Array{{Name: "a", Shape: []int{1 << 33, 1 << 33}}}},
		"reserved name": {Arrays: []Array{{Name: "__metadata__", Shape: []int{0}}}},
		"reserved key":  {Metadata: map[string]string{"checksum.x": "1"}},
		"dtype":         {Raws: []Raw{{Name: "a", Dtype: "X", Shape: []int{0}}}},
	} {
		if err := Write(io.Discard, c); err == nil {
			t.Errorf("%s: written", what)
		}
	}
}

func TestTruncationIsRefused(t *testing.T) {
	b := encode(t, sample())
	for n := range b {
		if _, err := decode(b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were read", n, len(b))
		}
	}
	if _, err := decode(append(slices.Clone(b), 0)); err == nil {
		t.Fatal("a file with one byte more was read")
	}
}

func TestFlippedBitsAreRefused(t *testing.T) {
	b := encode(t, sample())
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if c, err := decode(b); err == nil {
				t.Fatalf("byte %d bit %d flipped: read as %v", i, bit, c)
			}
			b[i] ^= 1 << bit
		}
	}
}

func TestDamageNamesTheArray(t *testing.T) {
	b := encode(t, sample())
	b[len(b)-5] ^= 1 // in front of the three bytes of "note": the scalar
	_, err := decode(b)
	if err == nil || !strings.Contains(err.Error(), "scalar is damaged") {
		t.Errorf("got %v", err)
	}
	f, err := NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(); err == nil || !strings.Contains(err.Error(), "scalar") || strings.Contains(err.Error(), "note") {
		t.Errorf("Verify: %v", err)
	}
}

// foreign makes a file as another program would, without checksums.
func foreign(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestForeignFile(t *testing.T) {
	data := []byte{
		0, 0, 0, 0, 0, 0, 0xf8, 0x3f, // F64 1.5
		0xc0, 0x3f, // BF16 1.5
		0x00, 0x3e, 0x01, 0x80, 0x00, 0xfc, 0xff, 0x7b, // F16 1.5, -2^-24, -Inf, 65504
	}
	c, err := decode(foreign(`{"c":{"dtype":"F16","shape":[4],"data_offsets":[10,18]},"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]},`+
		`"b":{"shape":[1,1],"dtype":"BF16","data_offsets":[8,10]}}   `, data))
	if err != nil {
		t.Fatal(err)
	}
	want := []Array{{"a", []int{}, []float32{1.5}}, {"b", []int{1, 1}, []float32{1.5}},
		{"c", []int{4}, []float32{1.5, -1.0 / (1 << 24), float32(math.Inf(-1)), 65504}}}
	if !reflect.DeepEqual(c.Arrays, want) {
		t.Errorf("got %v, want %v", c.Arrays, want)
	}
}

func TestHostileHeaders(t *testing.T) {
	data := make([]byte, 16)
	for what, header := range map[string]string{
		"overlap":       `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`,
		"same bytes":    `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`,
		"hole":          `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`,
		"tail":          `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
		"outside":       `{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}`,
		"backwards":     `{"a":{"dtype":"F32","shape":[0],"data_offsets":[16,0]}}`,
		"negative":      `{"a":{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}}`,
		"shape":         `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}}`,
		"shape product": `{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16]}}`,
		"wraps to 4":    `{"a":{"dtype":"F32","shape":[2305843009213693953,4],"data_offsets":[0,16]}}`,
		"zero product":  `{"a":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,16]}}`,
		"fraction":      `{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}`,
		"twice":         `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`,
		"dtype":         `{"a":{"dtype":"C64","shape":[2],"data_offsets":[0,16]}}`,
		"key":           `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1}}`,
		"three offsets": `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16,16]}}`,
		"dimensions":    `{"a":{"dtype":"F32","shape":[4` + strings.Repeat(",1", 100) + `],"data_offsets":[0,16]}}`,
		"metadata":      `{"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`,
		"two objects":   `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}{}`,
		"nesting":       `{"a":` + strings.Repeat("[", 10000),
	} {
		if c, err := decode(foreign(header, data)); err == nil {
			t.Errorf("%s: read as %v", what, c)
		}
	}
	if _, err := decode(append(binary.LittleEndian.AppendUint64(nil, 1<<62), "{}"...)); err == nil {
		t.Error("a header longer than the file was read")
	}
}

// Reading may ask for twice the file and 64 MB, whatever the file says.
func TestAllocationIsBounded(t *testing.T) {
	entry := `"%d":{"dtype":"U8","shape":[],"data_offsets":[0,0]},`
	var many strings.Builder
	many.WriteString("{")
	for i := range 150_000 {
		fmt.Fprintf(&many, entry, i)
	}
	files := map[string][]byte{
		"many arrays": foreign(many.String(), nil),
		"long shape":  foreign(`{"a":{"dtype":"F32","shape":[`+strings.Repeat("1,", 1<<20), nil),
		"halves":      foreign(`{"a":{"dtype":"F16","shape":[4000000],"data_offsets":[0,8000000]}}`, make([]byte, 8_000_000)),
	}
	for what, p := range hostilePickles() {
		files["pickle "+what] = torchZip(p, nil)
	}
	for what, b := range files {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decode(b)
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, 2*uint64(len(b))+64<<20; got > limit {
			t.Errorf("%s: %d MB for a file of %d MB (%v)", what, got>>20, len(b)>>20, err)
		}
	}
}

// failing is the operating system until operation k, which fails; a failing write leaves half of its bytes.
type failing struct {
	osFiles
	count, k int
}

var errInjected = errors.New("injected failure")

func (f *failing) step() error {
	f.count++
	if f.count-1 == f.k {
		return errInjected
	}
	return nil
}

func (f *failing) Create(path string) (syncWriter, error) {
	if err := f.step(); err != nil {
		return nil, err
	}
	w, err := f.osFiles.Create(path)
	return &failingWriter{w, f}, err
}

func (f *failing) Rename(from, to string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.osFiles.Rename(from, to)
}

func (f *failing) SyncDir(path string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.osFiles.SyncDir(path)
}

type failingWriter struct {
	syncWriter
	f *failing
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if err := w.f.step(); err != nil {
		n, _ := w.syncWriter.Write(p[:len(p)/2])
		return n, err
	}
	return w.syncWriter.Write(p)
}

func (w *failingWriter) Sync() error {
	if err := w.f.step(); err != nil {
		return err
	}
	return w.syncWriter.Sync()
}

func (w *failingWriter) Close() error {
	err := w.syncWriter.Close()
	if e := w.f.step(); e != nil {
		return e
	}
	return err
}

func TestFailedSaveKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w.safetensors")
	old, fresh := sample(), sample()
	fresh.Arrays = append(fresh.Arrays, Array{Name: "large", Shape: []int{200_000}, Data: make([]float32, 200_000)})
	wantOld, wantNew := encode(t, old), encode(t, fresh)
	for k := 0; ; k++ {
		if err := Save(path, old); err != nil {
			t.Fatal(err)
		}
		fs := &failing{k: k}
		err := atomicWrite(fs, path, func(w io.Writer) error { return Write(w, fresh) })
		got, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatalf("operation %d failed and the file is gone: %v", k, readErr)
		}
		if _, err := os.Stat(path + ".tmp"); err == nil {
			t.Errorf("operation %d failed and left the temporary file", k)
		}
		if fs.count <= k { // nothing failed: k is past the end
			if err != nil || !bytes.Equal(got, wantNew) {
				t.Fatalf("without failure: %v", err)
			}
			if k < 7 { // create, several writes, sync, close, rename, directory sync
				t.Fatalf("only %d operations were tried", k)
			}
			return
		}
		if !errors.Is(err, errInjected) || !strings.Contains(err.Error(), path) {
			t.Errorf("operation %d failed, error %v", k, err)
		}
		if last := k == fs.count-1 && bytes.Equal(got, wantNew); !last && !bytes.Equal(got, wantOld) {
			t.Errorf("operation %d failed and the old file is damaged", k)
		}
	}
}

func TestSaveKeepsTheOldFileWhenContentsAreWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := Save(path, sample()); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, &Contents{Arrays: []Array{{Name: "a", Shape: []int{9}}}}); err == nil {
		t.Fatal("saved")
	}
	if _, err := Open(path); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenSafetensors(t *testing.T) {
	g := golden.Open(t, "checkpoint_expected.safetensors")
	f, err := Open(g.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compareGolden(t, g, f)
}

func compareGolden(t *testing.T, g *golden.File, f *File) {
	t.Helper()
	for _, name := range g.Names("") {
		want := g.Get(name)
		got, err := f.Array(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Shape, want.Shape) || !slices.Equal(got.Data, want.Float) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ data, say string }{
		"legacy.pth": {"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "before 1.6"},
		"text":       {"hello, this is a text file", "neither"},
		"empty":      {"", "cut short"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.data), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.say) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(encode(f, sample()))
	f.Add(foreign(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, make([]byte, 4)))
	f.Add(foreign(`{}`, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b)
		if err != nil || bytes.HasPrefix(b, []byte("PK")) {
			return
		}
		total := 0
		for _, a := range c.Arrays {
			total += 4 * len(a.Data)
		}
		if total > 2*len(b) {
			t.Fatalf("%d bytes of arrays out of %d", total, len(b))
		}
		again := encode(t, &Contents{Arrays: c.Arrays, Raws: c.Raws, Metadata: c.Metadata})
		if _, err := decode(again); err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
	})
}
