package weights

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// backbone is a whole backbone of distinct numbers.
func backbone(dim, depth, patch, grid, registers int, scaled bool) []Array {
	entries := vit(dim, depth, patch, grid)
	if registers > 0 {
		entries = append(entries, Entry{"register_tokens", F32, []int{1, registers, dim}})
	}
	for i := range depth {
		if scaled {
			entries = append(entries, Entry{fmt.Sprintf("blocks.%d.ls1.gamma", i), F32, []int{dim}}, Entry{fmt.Sprintf("blocks.%d.ls2.gamma", i), F32, []int{dim}})
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	next := float32(0)
	var list []Array
	for _, e := range entries {
		a := Array{Name: e.Name, Shape: e.Shape, Data: make([]float32, e.Len())}
		for i := range a.Data {
			next++
			a.Data[i] = next
		}
		list = append(list, a)
	}
	return list
}

// state reads arrays from a file of their own.
func state(t *testing.T, arrays []Array, key string) (*State, error) {
	t.Helper()
	b := encode(t, &Contents{Arrays: arrays})
	f, err := NewFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f.State(key)
}

// same fails unless the state's arrays are those wanted.
func same(t *testing.T, s *State, want []Array) {
	t.Helper()
	got, err := s.Arrays()
	if err != nil {
		t.Fatal(err)
	}
	if err := Match(Entries(want), s.Entries()).Err(); err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		i := slices.IndexFunc(got, func(a Array) bool { return a.Name == w.Name })
		if !slices.Equal(got[i].Shape, w.Shape) || !slices.Equal(got[i].Data, w.Data) {
			t.Errorf("%s %v differs from %v", w.Name, got[i].Shape, w.Shape)
		}
	}
}

func find(arrays []Array, name string) *Array {
	return &arrays[slices.IndexFunc(arrays, func(a Array) bool { return a.Name == name })]
}

func notes(t *testing.T, s *State, words ...string) {
	t.Helper()
	all := strings.Join(s.Notes, "\n")
	if len(s.Notes) != len(words) {
		t.Errorf("%d notes, want %d:\n%s", len(s.Notes), len(words), all)
	}
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("no note says %q:\n%s", w, all)
		}
	}
}

// TestNamesRoundTrip: what is written by another program's names is read back as it was.
func TestNamesRoundTrip(t *testing.T) {
	for _, c := range []struct {
		registers int
		scaled    bool
	}{{0, false}, {0, true}, {4, true}, {2, false}} {
		t.Run(fmt.Sprintf("registers=%d,scaled=%v", c.registers, c.scaled), func(t *testing.T) {
			want := backbone(6, 2, 2, 3, c.registers, c.scaled)
			arrays, err := HuggingFace(want)
			if err != nil {
				t.Fatal(err)
			}
			for _, prefix := range []string{"", "dinov2."} {
				renamed := slices.Clone(arrays)
				for i := range renamed {
					renamed[i].Name = prefix + renamed[i].Name
				}
				renamed = append(renamed, Array{Name: "classifier.weight", Shape: []int{2, 6}, Data: make([]float32, 12)})
				s, err := state(t, renamed, "teacher")
				if err != nil {
					t.Fatal(err)
				}
				if s.From != "Hugging Face" {
					t.Errorf("names of %s", s.From)
				}
				notes(t, s, "classifier.weight (2, 6)")
				if c.registers > 0 && !c.scaled { // factors of 1 are added
					for _, i := range []string{"0", "1"} {
						for _, scale := range []string{"ls1", "ls2"} {
							got := s.find("blocks." + i + "." + scale + ".gamma")
							if got == nil || !slices.Equal(got.Shape, []int{6}) {
								t.Fatalf("no factors %s of block %s", scale, i)
							}
						}
					}
					continue
				}
				same(t, s, want)
			}
		})
	}
	want := backbone(6, 2, 2, 3, 0, true)
	arrays, err := Timm(want)
	if err != nil {
		t.Fatal(err)
	}
	s, err := state(t, arrays, "")
	if err != nil {
		t.Fatal(err)
	}
	same(t, s, want)
}

// TestTimmRegisters: the class token takes its row of the position embedding with it, as timm has it, and the sum stays what it was.
func TestTimmRegisters(t *testing.T) {
	want := backbone(6, 1, 2, 3, 4, true)
	arrays, err := Timm(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := find(arrays, "pos_embed").Shape; !slices.Equal(got, []int{1, 9, 6}) {
		t.Errorf("pos_embed %v", got)
	}
	s, err := state(t, arrays, "")
	if err != nil {
		t.Fatal(err)
	}
	if s.From != "timm" {
		t.Errorf("names of %s", s.From)
	}
	notes(t, s, "pos_embed (1, 9, 6) has no row for the class token")
	class, pos := find(want, "cls_token"), find(want, "pos_embed")
	class.Data, pos.Data = slices.Clone(class.Data), slices.Clone(pos.Data)
	for i := range 6 {
		class.Data[i] += pos.Data[i]
		pos.Data[i] = 0
	}
	same(t, s, want)
}

// TestDeiT: the distillation token becomes a register with its row of the position embedding, and classifiers are left out.
func TestDeiT(t *testing.T) {
	want := backbone(6, 1, 2, 3, 1, false)
	register, pos := find(want, "register_tokens"), find(want, "pos_embed")
	file := slices.Clone(want)
	*find(file, "register_tokens") = Array{Name: "dist_token", Shape: []int{1, 1, 6}, Data: []float32{1, 2, 3, 4, 5, 6}}
	row := []float32{10, 20, 30, 40, 50, 60}
	*find(file, "pos_embed") = Array{Name: "pos_embed", Shape: []int{1, 11, 6}, Data: slices.Concat(pos.Data[:6], row, pos.Data[6:])}
	register.Data = []float32{11, 22, 33, 44, 55, 66}
	for _, name := range []string{"head.weight", "head_dist.weight", "head_dist.bias"} {
		file = append(file, Array{Name: name, Shape: []int{6}, Data: make([]float32, 6)})
	}
	s, err := state(t, file, "teacher")
	if err != nil {
		t.Fatal(err)
	}
	if s.From != "timm" {
		t.Errorf("names of %s", s.From)
	}
	notes(t, s, "becomes a register", "head.weight (6) is a classifier", "head_dist.weight (6), head_dist.bias (6): a classifier")
	same(t, s, want)
}

// TestDINOv2Names: chunks of blocks, and a mask token.
func TestDINOv2Names(t *testing.T) {
	want := backbone(6, 4, 2, 3, 2, true)
	file := slices.Clone(want)
	for i := range file {
		if rest, ok := strings.CutPrefix(file[i].Name, "blocks."); ok {
			number, rest, _ := strings.Cut(rest, ".")
			file[i].Name = fmt.Sprintf("teacher.backbone.blocks.%s.%s.%s", map[string]string{"0": "0", "1": "0", "2": "1", "3": "1"}[number], number, rest)
		} else {
			file[i].Name = "teacher.backbone." + file[i].Name
		}
	}
	file = append(file, Array{Name: "teacher.backbone.mask_token", Shape: []int{1, 6}, Data: make([]float32, 6)})
	s, err := state(t, file, "teacher")
	if err != nil {
		t.Fatal(err)
	}
	notes(t, s, "mask_token (1, 6)")
	same(t, s, want)
	if id := Identify(s.Entries()); id.Registers != 2 || !id.LayerScale || id.Arch() != "vit:dim=6,depth=4,heads=?,registers=2,layer_scale=1e-05" {
		t.Errorf("taken for %s", id.Arch())
	}
}

func TestQKVWithoutBias(t *testing.T) {
	want := backbone(6, 2, 2, 3, 0, false)
	file := slices.DeleteFunc(slices.Clone(want), func(a Array) bool { return strings.HasSuffix(a.Name, "qkv.bias") })
	for _, i := range []int{0, 1} {
		b := find(want, fmt.Sprintf("blocks.%d.attn.qkv.bias", i))
		b.Data = make([]float32, len(b.Data))
	}
	s, err := state(t, file, "")
	if err != nil {
		t.Fatal(err)
	}
	notes(t, s, "qkv of 2 blocks has no bias")
	same(t, s, want)
}

func TestStateRefuses(t *testing.T) {
	base := func() []Array { return backbone(6, 1, 2, 3, 0, false) }
	hf := func() []Array {
		arrays, err := HuggingFace(base())
		if err != nil {
			t.Fatal(err)
		}
		return arrays
	}
	for what, c := range map[string]struct {
		arrays []Array
		say    string
	}{
		"SwiGLU":        {append(base(), Array{Name: "blocks.0.mlp.w12.weight", Shape: []int{2, 6}, Data: make([]float32, 12)}), "SwiGLU"},
		"packed SwiGLU": {append(base(), Array{Name: "blocks.1.mlp.fc1.weight", Shape: []int{8, 2}, Data: make([]float32, 16)}, Array{Name: "blocks.1.mlp.fc2.weight", Shape: []int{2, 4}, Data: make([]float32, 8)}), "SwiGLU"},
		"dist_token":    {append(base(), Array{Name: "dist_token", Shape: []int{1, 1, 5}, Data: make([]float32, 5)}), "does not fit"},
		"no key":        {slices.DeleteFunc(hf(), func(a Array) bool { return strings.Contains(a.Name, ".key.weight") }), "query, key and value"},
		"odd qkv":       {append(base(), Array{Name: "blocks.1.attn.qkv.weight", Shape: []int{1, 0}, Data: []float32{}}), "(3·dim, dim)"},
		"twice":         {append(base(), Array{Name: "blocks.0.0.norm1.weight", Shape: []int{6}, Data: make([]float32, 6)}), "two arrays would be called blocks.0.norm1.weight"},
	} {
		if _, err := state(t, c.arrays, ""); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want %q", what, err, c.say)
		}
	}
	if _, err := HuggingFace([]Array{{Name: "rope.freqs", Shape: []int{1}, Data: []float32{1}}}); err == nil {
		t.Error("an array without a name in transformers is written")
	}
}

// FuzzState: whatever names and shapes a file has, reading its backbone ends in an error or in arrays of the shapes that it lists, of no more
// elements than the file explains.
func FuzzState(f *testing.F) {
	for _, arrays := range [][]Array{backbone(2, 1, 1, 2, 1, true), backbone(2, 1, 1, 2, 0, false)} {
		f.Add(encode(f, &Contents{Arrays: arrays}))
		for _, write := range []func([]Array) ([]Array, error){Timm, HuggingFace} {
			named, err := write(arrays)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(encode(f, &Contents{Arrays: named}))
		}
	}
	f.Add(foreign(`{"pos_embed":{"dtype":"F32","shape":[1,4,1],"data_offsets":[0,16]},"dist_token":{"dtype":"F32","shape":[1,1,1],"data_offsets":[16,20]}}`, make([]byte, 20)))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := NewFile(bytes.NewReader(b), int64(len(b)))
		if err != nil || bytes.HasPrefix(b, []byte("PK")) {
			return
		}
		s, err := file.State("teacher")
		if err != nil {
			return
		}
		arrays, err := s.Arrays()
		if err != nil {
			return
		}
		total := 0
		for i, a := range arrays {
			if e := s.Entries()[i]; a.Name != e.Name || len(a.Data) != e.Len() {
				t.Fatalf("%d elements of %s", len(a.Data), e)
			}
			total += len(a.Data)
		}
		if total > 2*len(b) {
			t.Fatalf("%d elements out of %d bytes", total, len(b))
		}
	})
}
