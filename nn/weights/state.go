package weights

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// State is a backbone inside a file, under the reference's names whatever the file calls its arrays: the reference's own and DINOv2's, timm's
// (DeiT's too), or Hugging Face's.
type State struct {
	From  string   // whose names the file has: "DINO", "timm" or "Hugging Face"
	Notes []string // what was left out or changed, a line each

	file   *File
	arrays []derived
}

// derived is an array of a State and what of the file it is made of.
type derived struct {
	Entry
	from []*stored                         // joined along the first dimension, unless make says otherwise
	make func(parts [][]float32) []float32 // nil: joined
}

// State finds the backbone of a model. In a checkpoint it is the arrays under key ("teacher", "student"); in a bare state dict key does not
// matter. Heads are left out.
func (f *File) State(key string) (*State, error) {
	chosen, err := f.choose(key, false)
	if err != nil {
		return nil, err
	}
	s := &State{From: "DINO", file: f}
	for _, c := range chosen {
		s.arrays = append(s.arrays, derived{Entry: Entry{Name: c.name, Dtype: c.from.Dtype, Shape: c.from.Shape}, from: []*stored{c.from}})
	}
	for _, step := range []func() error{s.fromHuggingFace, s.fromDINOv2, s.fromTimm, s.distilled, s.positions, s.biases, s.gated, s.unique} {
		if err := step(); err != nil {
			return nil, f.wrap(err)
		}
	}
	heads, err := f.choose(key, true)
	if err != nil {
		return nil, err
	}
	for _, h := range heads { // a projection head has layers below head.
		if h.name == "weight" {
			s.note("head.weight %s is a classifier: left out", shapeString(h.from.Shape))
		}
	}
	return s, nil
}

// Entries lists the arrays.
func (s *State) Entries() []Entry {
	list := make([]Entry, len(s.arrays))
	for i, a := range s.arrays {
		list[i] = a.Entry
	}
	return list
}

// Arrays reads the arrays.
func (s *State) Arrays() ([]Array, error) {
	list := make([]Array, len(s.arrays))
	for i, d := range s.arrays {
		parts := make([][]float32, len(d.from))
		for k, from := range d.from {
			a, err := s.file.Array(from.Name)
			if err != nil {
				return nil, err
			}
			parts[k] = a.Data
		}
		list[i] = Array{Name: d.Name, Shape: d.Shape}
		switch {
		case d.make != nil:
			list[i].Data = d.make(parts)
		case len(parts) == 1:
			list[i].Data = parts[0]
		default:
			list[i].Data = slices.Concat(parts...)
		}
	}
	return list, nil
}

func (s *State) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

func (s *State) find(name string) *derived {
	i := slices.IndexFunc(s.arrays, func(d derived) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return &s.arrays[i]
}

// index is the place of each array by name.
func (s *State) index() map[string]int {
	at := make(map[string]int, len(s.arrays))
	for i, d := range s.arrays {
		at[d.Name] = i
	}
	return at
}

// drop leaves arrays out and says why.
func (s *State) drop(why string, which func(name string) bool) {
	var names []string
	s.arrays = slices.DeleteFunc(s.arrays, func(d derived) bool {
		if !which(d.Name) {
			return false
		}
		names = append(names, d.Entry.String())
		return true
	})
	const shown = 3
	if n := len(names); n > shown {
		names = append(names[:shown], fmt.Sprintf("%d more", n-shown))
	}
	if len(names) > 0 {
		s.note("%s: %s", strings.Join(names, ", "), why)
	}
}

// fromDINOv2 takes the blocks out of chunks, blocks.CHUNK.BLOCK, in which DINOv2's training keeps them.
func (s *State) fromDINOv2() error {
	for i, d := range s.arrays {
		parts := strings.SplitN(d.Name, ".", 4)
		if len(parts) == 4 && parts[0] == "blocks" && isNumber(parts[1]) && isNumber(parts[2]) {
			s.arrays[i].Name = "blocks." + parts[2] + "." + parts[3]
		}
	}
	s.drop("masks patches in training alone: left out", func(name string) bool { return name == "mask_token" })
	return nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// distilled makes DeiT's distillation token what it is to the backbone: a register, with the row of the position embedding that is added to it.
func (s *State) distilled() error {
	token, pos := s.find("dist_token"), s.find("pos_embed")
	if token == nil {
		return nil
	}
	if pos == nil || len(pos.Shape) != 3 || pos.Shape[0] != 1 || pos.Shape[1] < 3 || !slices.Equal(token.Shape, []int{1, 1, pos.Shape[2]}) || s.find("register_tokens") != nil {
		return fmt.Errorf("dist_token %s does not fit the position embedding", shapeString(token.Shape))
	}
	dim := pos.Shape[2]
	s.note("dist_token %s, DeiT's distillation token, becomes a register: the class token's features stay what they are", shapeString(token.Shape))
	token.Name, token.from = "register_tokens", []*stored{token.from[0], pos.from[0]}
	token.make = func(parts [][]float32) []float32 {
		sum := slices.Clone(parts[0])
		for i := range sum {
			sum[i] += parts[1][dim+i]
		}
		return sum
	}
	pos.Shape = []int{1, pos.Shape[1] - 1, dim}
	pos.make = func(parts [][]float32) []float32 { return slices.Concat(parts[0][:dim], parts[0][2*dim:]) }
	return nil
}

// positions gives a position embedding of patches alone, as timm's models with registers have, a row of zeros for the class token.
func (s *State) positions() error {
	pos := s.find("pos_embed")
	if pos == nil || len(pos.Shape) != 3 || pos.Shape[0] != 1 || pos.make != nil {
		return nil
	}
	n, dim := pos.Shape[1], pos.Shape[2]
	side := int(math.Round(math.Sqrt(float64(n))))
	if n < 1 || side*side != n {
		return nil
	}
	s.note("pos_embed %s has no row for the class token: it gets one of zeros", shapeString(pos.Shape))
	pos.Shape = []int{1, n + 1, dim}
	pos.make = func(parts [][]float32) []float32 { return slices.Concat(make([]float32, dim), parts[0]) }
	return nil
}

// biases gives a qkv without bias one of zeros.
func (s *State) biases() error {
	count, at := 0, s.index()
	for _, d := range slices.Clone(s.arrays) {
		prefix, ok := strings.CutSuffix(d.Name, ".attn.qkv.weight")
		if _, has := at[prefix+".attn.qkv.bias"]; !ok || has {
			continue
		}
		if len(d.Shape) != 2 || d.Shape[1] == 0 || d.Shape[0] != 3*d.Shape[1] { // so that the file has more than what is asked for here
			return fmt.Errorf("%s is no (3·dim, dim)", d.Entry)
		}
		n := d.Shape[0]
		s.arrays = append(s.arrays, derived{Entry: Entry{Name: prefix + ".attn.qkv.bias", Dtype: F32, Shape: []int{n}},
			make: func([][]float32) []float32 { return make([]float32, n) }})
		count++
	}
	if count > 0 {
		s.note("qkv of %d blocks has no bias: it gets one of zeros", count)
	}
	return nil
}

// gated refuses MLPs that are not two layers with a GELU.
func (s *State) gated() error {
	at := s.index()
	for _, d := range s.arrays {
		packed := false
		if prefix, ok := strings.CutSuffix(d.Name, ".mlp.fc1.weight"); ok {
			i, ok := at[prefix+".mlp.fc2.weight"]
			out := s.arrays[i]
			packed = ok && len(out.Shape) == 2 && len(d.Shape) == 2 && d.Shape[0] > 0 && d.Shape[0] == 2*out.Shape[1]
		}
		if packed || strings.Contains(d.Name, ".mlp.w12.") || strings.Contains(d.Name, ".mlp.weights_in.") || strings.Contains(d.Name, ".mlp.fc1_g.") {
			return fmt.Errorf("%s: this model's MLPs are gated (SwiGLU), as DINOv2's ViT-g has them; the models here have a GELU between two layers, "+
				"as DINOv2's ViT-S, B and L", d.Entry)
		}
	}
	return nil
}

// unique refuses two arrays that end up with one name.
func (s *State) unique() error {
	seen := map[string]bool{}
	for _, d := range s.arrays {
		if seen[d.Name] {
			return fmt.Errorf("two arrays would be called %s", d.Name)
		}
		seen[d.Name] = true
	}
	return nil
}
