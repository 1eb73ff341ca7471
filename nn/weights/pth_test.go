package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/internal/golden"
)

// torchZip is the archive torch.save makes of a pickle and storages.
func torchZip(pickle []byte, storages map[string][]byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	put := func(name string, data []byte) {
		w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
			CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			panic(err)
		}
	}
	put("archive/data.pkl", pickle)
	for key, data := range storages {
		put("archive/data/"+key, data)
	}
	put("archive/version", []byte("3\n"))
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func str(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func tuple(numbers ...byte) string {
	s := "("
	for _, n := range numbers {
		s += "K" + string([]byte{n})
	}
	return s + "t"
}

// tensor is the program that rebuilds a float tensor on storage "0" of n elements.
func tensor(n, offset byte, shape, strides string) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n((" + str("storage") + "ctorch\nFloatStorage\n" + str("0") + str("cpu") +
		"K" + string([]byte{n}) + "tQK" + string([]byte{offset}) + shape + strides + "\x89ccollections\nOrderedDict\n)Rt" + "R"
}

func dict(body string) []byte { return []byte("\x80\x02}(" + body + "u.") }

func storage(values ...float32) map[string][]byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, values)
	return map[string][]byte{"0": b.Bytes()}
}

func hostilePickles() map[string][]byte {
	name := str("a")
	return map[string][]byte{
		"os.system":        dict(name + "cposix\nsystem\n(" + str("true") + "tR"),
		"module function":  dict(name + "ctorch\nload\n(" + str("x") + "tR"),
		"old style class":  dict(name + "ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR"),
		"stack global":     dict(str("posix") + str("system") + "\x93"),
		"protocol":         []byte("\x80\x04}."),
		"long string":      []byte("\x80\x02X\xff\xff\xff\x7fa."),
		"empty long":       []byte("\x80\x02\x8a\x00."),
		"unbalanced":       []byte("\x80\x02}u."),
		"odd items":        []byte("\x80\x02}(" + name + "u."),
		"memo":             []byte("\x80\x02h\x05."),
		"empty stack":      []byte("\x80\x02s."),
		"no stop":          []byte("\x80\x02}"),
		"after stop":       []byte("\x80\x02}.}"),
		"deep":             []byte("\x80\x02" + strings.Repeat("(", 1<<16)),
		"many dicts":       []byte("\x80\x02(" + strings.Repeat("}", 1<<22) + "t."),
		"contains itself":  []byte("\x80\x02}q\x00(" + name + "h\x00u."),
		"doubles":          []byte("\x80\x02}q\x00" + strings.Repeat("q\x01}(X\x01\x00\x00\x00ah\x01X\x01\x00\x00\x00bh\x01u", 40) + "."),
		"printed string":   []byte("\x80\x02" + str(strings.Repeat("x", 1<<16)) + "q\x00]q\x01(" + strings.Repeat("h\x00", 1<<16) + "e)R."),
		"shape":            dict(name + tensor(4, 0, tuple(5), tuple(1))),
		"offset":           dict(name + tensor(4, 1, tuple(4), tuple(1))),
		"stride":           dict(name + tensor(4, 0, tuple(2, 2), tuple(3, 1))),
		"expanded":         dict(name + tensor(4, 0, tuple(200, 200, 200), tuple(0, 0, 0))),
		"storage too long": dict(name + tensor(9, 0, tuple(4), tuple(1))),
		"rank":             dict(name + tensor(4, 0, tuple(4), tuple(1, 1))),
		"no tensors":       dict(""),
		"unhashable":       []byte("\x80\x02ccollections\nOrderedDict\n)R(]]u."),
		"shared":           dict(name + "](" + strings.Repeat(tensor(4, 0, tuple(4), tuple(1)), 3000) + "e"),
	}
}

func TestHostilePickles(t *testing.T) {
	data := storage(1, 2, 3, 4)
	for what, p := range hostilePickles() {
		if what == "shared" {
			continue // small enough to pass: what matters is the memory
		}
		if c, err := decode(torchZip(p, data)); err == nil {
			t.Errorf("%s: read as %v", what, c)
		}
	}
	// The second is one that gopickle would build without asking.
	for what, class := range map[string]string{"os.system": `"posix.system"`, "old style class": `"copy_reg._reconstructor"`} {
		_, err := decode(torchZip(hostilePickles()[what], nil))
		if err == nil || !strings.Contains(err.Error(), class) {
			t.Errorf("the refused class %s is not named: %v", class, err)
		}
	}
}

func TestTensorViews(t *testing.T) {
	data := storage(0, 1, 2, 3, 4, 5)
	for _, c := range []struct {
		name string
		p    string
		want []float32
	}{
		{"whole", tensor(6, 0, tuple(2, 3), tuple(3, 1)), []float32{0, 1, 2, 3, 4, 5}},
		{"slice", tensor(6, 2, tuple(3), tuple(1)), []float32{2, 3, 4}},
		{"transposed", tensor(6, 0, tuple(3, 2), tuple(1, 3)), []float32{0, 3, 1, 4, 2, 5}},
		{"column", tensor(6, 1, tuple(2, 1), tuple(3, 9)), []float32{1, 4}},
		{"scalar", tensor(6, 5, ")", ")"), []float32{5}},
		{"empty", tensor(6, 6, tuple(0), tuple(1)), []float32{}},
	} {
		got, err := decode(torchZip(dict(str("module.a")+c.p), data))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Arrays[0].Name != "a" || !slices.Equal(got.Arrays[0].Data, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got.Arrays[0], c.want)
		}
	}
}

// Many tensors on one storage: what they take together is bounded by the file, not by the pickle.
func TestSharedStorageIsBounded(t *testing.T) {
	const n = 200
	data := storage(make([]float32, n*n)...)
	full := strings.Replace(tensor(0, 0, tuple(n, n), tuple(n, 1)), "K\x00tQ", "M\x40\x9ctQ", 1) // 40000 elements
	few, many := dict(str("a")+"]("+strings.Repeat(full, 3)+"e"), dict(str("a")+"]("+strings.Repeat(full, 100)+"e")
	if c, err := decode(torchZip(few, data)); err != nil || len(c.Arrays) != 3 || c.Arrays[2].Name != "a.2" {
		t.Errorf("three tensors on one storage: %v", err)
	}
	if _, err := decode(torchZip(many, data)); err == nil || !strings.Contains(err.Error(), "share storages") {
		t.Errorf("a hundred: %v", err)
	}
}

// What torch.save writes beside dictionaries of tensors: parameters, sizes, integers of 64 bits and more.
func TestParametersAndOptions(t *testing.T) {
	p := dict(str("teacher") + "}(" + str("module.backbone.cls_token") + "ctorch._utils\n_rebuild_parameter\n(" + tensor(4, 0, tuple(2, 2), tuple(2, 1)) +
		"\x88ccollections\nOrderedDict\n)RtRu" + str("size") + "ctorch\nSize\n" + "(" + tuple(2, 2) + "tR" +
		str("args") + "cargparse\nNamespace\n)\x81}(" + str("lr") + "G?\xe0\x00\x00\x00\x00\x00\x00" + str("scale") + "K\x01K\x02\x86" +
		str("big") + "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01" + str("none") + "N" + "ub" + str("epoch") + "M\x2c\x01")
	b := torchZip(p, storage(1, 2, 3, 4))
	f, err := NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"big":"18446744073709551616","lr":0.5,"none":null,"scale":[1,2]}`; f.Metadata["args"] != want || f.Metadata["epoch"] != "300" {
		t.Errorf("metadata %q, want args %s and epoch 300", f.Metadata, want)
	}
	a, err := f.StateDict("teacher")
	if err != nil || len(a) != 1 || a[0].Name != "cls_token" || !slices.Equal(a[0].Data, []float32{1, 2, 3, 4}) {
		t.Errorf("%v, %v", a, err)
	}
}

func TestZipRefuses(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, _ := z.Create("archive/data.pkl") // deflated
	w.Write(make([]byte, 1<<20))
	z.Close()
	if _, err := decode(b.Bytes()); err == nil || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("a compressed archive: %v", err)
	}
	p := dict(str("a") + tensor(4, 0, tuple(4), tuple(1)))
	good := torchZip(p, storage(1, 2, 3, 4))
	if _, err := decode(good); err != nil {
		t.Fatal(err)
	}
	if _, err := decode(torchZip(p, nil)); err == nil || !strings.Contains(err.Error(), "not in the file") {
		t.Errorf("a missing storage: %v", err)
	}
	at := bytes.Index(good, []byte{0, 0, 0x40, 0x40}) // the 3
	bad := slices.Clone(good)
	bad[at] ^= 1
	if _, err := decode(bad); err == nil || !strings.Contains(err.Error(), "a is damaged") {
		t.Errorf("a flipped bit: %v", err)
	}
	for n := range good {
		if _, err := decode(good[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were read", n, len(good))
		}
	}
}

func TestGoldenCheckpointPTH(t *testing.T) {
	g := golden.Open(t, "checkpoint_expected.safetensors")
	f, err := Open(golden.Path(t, "checkpoint.pth"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compareGolden(t, g, f)
	if err := f.Verify(); err != nil {
		t.Error(err)
	}
	if f.Metadata["epoch"] == "" {
		t.Error("no epoch")
	}
	var args map[string]any
	if err := json.Unmarshal([]byte(f.Metadata["args"]), &args); err != nil || args["arch"] == nil || args["patch_size"] == nil {
		t.Errorf("args %q: %v", f.Metadata["args"], err)
	}
	for _, key := range []string{"teacher", "student"} {
		backbone, err := f.StateDict(key)
		if err != nil {
			t.Fatal(err)
		}
		head, err := f.HeadStateDict(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(backbone)+len(head), len(g.Names(key+".")); got != want || len(head) == 0 {
			t.Errorf("%s: %d arrays, %d of them the head's, want %d", key, got, len(head), want)
		}
		for _, a := range backbone {
			if !slices.Equal(a.Data, g.Get(key+".backbone."+a.Name).Float) {
				t.Errorf("%s %s differs", key, a.Name)
			}
		}
		for _, a := range head {
			if !slices.Equal(a.Data, g.Get(key+".head."+a.Name).Float) {
				t.Errorf("%s head %s differs", key, a.Name)
			}
		}
	}
	if _, err := f.StateDict("model"); err == nil || !strings.Contains(err.Error(), "student, teacher") {
		t.Errorf("a key that is not there: %v", err)
	}
}

func TestGoldenBackbonePTH(t *testing.T) {
	g := golden.Open(t, "checkpoint_expected.safetensors")
	f, err := Open(golden.Path(t, "backbone.pth"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	have, err := f.StateDict("teacher")
	if err != nil {
		t.Fatal(err)
	}
	want := g.Names("teacher.backbone.")
	if len(have) != len(want) {
		t.Errorf("%d arrays, want %d", len(have), len(want))
	}
	for _, a := range have {
		if w := g.Get("teacher.backbone." + a.Name); !slices.Equal(a.Shape, w.Shape) || !slices.Equal(a.Data, w.Float) {
			t.Errorf("%s differs", a.Name)
		}
	}
}

func FuzzPTH(f *testing.F) {
	for _, p := range hostilePickles() {
		if len(p) < 4096 {
			f.Add(p)
		}
	}
	f.Add(dict(str("teacher") + "}(" + str("module.backbone.cls_token") + tensor(4, 0, tuple(2, 2), tuple(2, 1)) + "u" +
		str("args") + "cargparse\nNamespace\n)\x81}(" + str("lr") + "G?\xf0\x00\x00\x00\x00\x00\x00ub"))
	f.Fuzz(func(t *testing.T, p []byte) {
		b := torchZip(p, storage(1, 2, 3, 4))
		c, err := decode(b)
		if err != nil {
			return
		}
		total := 0
		for _, a := range c.Arrays {
			total += 4 * len(a.Data)
		}
		if total > 2*len(b)+1<<20 {
			t.Fatalf("%d bytes of arrays out of %d", total, len(b))
		}
	})
}

// FuzzZip mutates the archive rather than the pickle.
func FuzzZip(f *testing.F) {
	f.Add(torchZip(dict(str("a")+tensor(4, 0, tuple(4), tuple(1))), storage(1, 2, 3, 4)))
	f.Fuzz(func(t *testing.T, b []byte) { decode(b) })
}
