package weights

import (
	"fmt"
	"slices"
	"strings"
)

// names of the transformers library beside the reference's. A block's start with encoder.layer.N. and blocks.N.
var (
	huggingFaceNames = [][2]string{
		{"embeddings.cls_token", "cls_token"},
		{"embeddings.mask_token", "mask_token"},
		{"embeddings.register_tokens", "register_tokens"},
		{"embeddings.distillation_token", "dist_token"},
		{"embeddings.position_embeddings", "pos_embed"},
		{"embeddings.patch_embeddings.projection.", "patch_embed.proj."},
		{"layernorm.", "norm."},
	}
	huggingFaceBlock = [][2]string{ // of all
		{"attention.attention.query.", "attn.q."},
		{"attention.attention.key.", "attn.k."},
		{"attention.attention.value.", "attn.v."},
		{"attention.output.dense.", "attn.proj."},
	}
	huggingFaceViT = [][2]string{ // of ViTModel and DeiTModel
		{"layernorm_before.", "norm1."},
		{"layernorm_after.", "norm2."},
		{"intermediate.dense.", "mlp.fc1."},
		{"output.dense.", "mlp.fc2."},
	}
	huggingFaceDINOv2 = [][2]string{ // of Dinov2Model and Dinov2WithRegistersModel
		{"norm1.", "norm1."},
		{"norm2.", "norm2."},
		{"mlp.", "mlp."},
		{"layer_scale1.lambda1", "ls1.gamma"},
		{"layer_scale2.lambda1", "ls2.gamma"},
	}
)

const huggingFaceLayer = "encoder.layer."

// isHuggingFace says whether a name is that of a backbone of transformers, and what comes before it: "vit." in a classifier.
func isHuggingFace(name string) (prefix string, ok bool) {
	prefix, ok = strings.CutSuffix(name, "embeddings.patch_embeddings.projection.weight")
	return prefix, ok && (prefix == "" || strings.HasSuffix(prefix, ".") && strings.Count(prefix, ".") == 1)
}

func (s *State) fromHuggingFace() error {
	prefix, found := "", false
	for _, d := range s.arrays {
		if p, ok := isHuggingFace(d.Name); ok {
			prefix, found = p, true
		}
	}
	if !found {
		return nil
	}
	s.From = "Hugging Face"
	s.drop("left out: this is the backbone alone", func(name string) bool {
		name = strings.TrimPrefix(name, prefix)
		for _, part := range []string{"pooler.", "classifier.", "cls_classifier.", "distillation_classifier."} {
			if strings.HasPrefix(name, part) {
				return true
			}
		}
		return false
	})
	for i, d := range s.arrays {
		name := strings.TrimPrefix(d.Name, prefix)
		tables, before := [][][2]string{huggingFaceNames}, ""
		if rest, ok := strings.CutPrefix(name, huggingFaceLayer); ok {
			number, inside, ok := strings.Cut(rest, ".")
			if !ok || !isNumber(number) {
				continue
			}
			name, before = inside, "blocks."+number+"."
			tables = [][][2]string{huggingFaceBlock, huggingFaceViT, huggingFaceDINOv2}
		}
		if to, ok := renamed(name, tables, 0, 1); ok {
			s.arrays[i].Name = before + to
		}
	}
	return s.joinQKV()
}

// renamed replaces the beginning of a name by that in the tables' other column.
func renamed(name string, tables [][][2]string, from, to int) (string, bool) {
	for _, table := range tables {
		for _, pair := range table {
			if rest, ok := strings.CutPrefix(name, pair[from]); ok && (rest == "" || strings.HasSuffix(pair[from], ".")) {
				return pair[to] + rest, true
			}
		}
	}
	return "", false
}

// joinQKV makes one array of the three of queries, keys and values.
func (s *State) joinQKV() error {
	byName := make(map[string]derived, len(s.arrays))
	for _, d := range s.arrays {
		byName[d.Name] = d
	}
	joined := map[string]bool{}
	var list []derived
	for _, d := range s.arrays {
		prefix, kind, ok := strings.Cut(d.Name, ".attn.q.")
		if !ok {
			list = append(list, d)
			continue
		}
		all := d
		all.Name, all.from = prefix+".attn.qkv."+kind, nil
		for _, letter := range []string{"q", "k", "v"} {
			part, ok := byName[prefix+".attn."+letter+"."+kind]
			if !ok || len(part.Shape) == 0 || !slices.Equal(part.Shape, d.Shape) {
				return fmt.Errorf("block %s: query, key and value are not three arrays of one shape (%s)", strings.TrimPrefix(prefix, "blocks."), kind)
			}
			joined[part.Name] = true
			all.from = append(all.from, part.from...)
		}
		all.Shape = slices.Clone(d.Shape)
		all.Shape[0] *= 3
		list = append(list, all)
	}
	s.arrays = slices.DeleteFunc(list, func(d derived) bool { return joined[d.Name] })
	return nil
}

// HuggingFace gives the arrays of a backbone the names that transformers has for them: those of ViTModel, or with registers or LayerScale those
// of Dinov2Model and Dinov2WithRegistersModel, which always have LayerScale: factors of 1 are added where there are none.
func HuggingFace(backbone []Array) ([]Array, error) {
	has := func(name string) bool {
		return slices.ContainsFunc(backbone, func(a Array) bool { return a.Name == name })
	}
	scaled := has("blocks.0.ls1.gamma")
	variant := huggingFaceViT
	if scaled || has("register_tokens") {
		variant = huggingFaceDINOv2
	}
	var list []Array
	for _, a := range backbone {
		name, before, tables := a.Name, "", [][][2]string{huggingFaceNames}
		if rest, ok := strings.CutPrefix(a.Name, "blocks."); ok {
			number, inside, _ := strings.Cut(rest, ".")
			name, before = inside, huggingFaceLayer+number+"."
			tables = [][][2]string{huggingFaceBlock, variant}
		}
		if kind, ok := strings.CutPrefix(name, "attn.qkv."); ok {
			for i, part := range []string{"query", "key", "value"} {
				shape := slices.Clone(a.Shape)
				shape[0] /= 3
				n := len(a.Data) / 3
				list = append(list, Array{Name: before + "attention.attention." + part + "." + kind, Shape: shape, Data: a.Data[i*n : (i+1)*n]})
			}
			continue
		}
		to, ok := renamed(name, tables, 1, 0)
		if !ok {
			return nil, fmt.Errorf("%s has no name in transformers", a.Name)
		}
		list = append(list, Array{Name: before + to, Shape: a.Shape, Data: a.Data})
		if kind, ok := strings.CutPrefix(name, "norm1.weight"); ok && kind == "" && !scaled && has("register_tokens") {
			for _, scale := range []string{"layer_scale1.lambda1", "layer_scale2.lambda1"} {
				list = append(list, Array{Name: before + scale, Shape: a.Shape, Data: slices.Repeat([]float32{1}, len(a.Data))})
			}
		}
	}
	return list, nil
}
