package weights

import (
	"fmt"
	"slices"
	"strings"
)

// timm (and DeiT) call everything as the reference does, except for registers, whose models have no position embedding for the class token.

func (s *State) fromTimm() error {
	if r := s.find("reg_token"); r != nil {
		s.From, r.Name = "timm", "register_tokens"
	}
	if s.From == "DINO" && s.find("dist_token") != nil {
		s.From = "timm"
	}
	s.drop("a classifier: left out", func(name string) bool {
		return strings.HasPrefix(name, "head_dist.") || strings.HasPrefix(name, "pre_logits.")
	})
	return nil
}

// Timm gives the arrays of a backbone the names that timm's VisionTransformer has for them. With registers the first row of the position
// embedding goes into the class token, as timm's models of that kind have it (no_embed_class).
func Timm(backbone []Array) ([]Array, error) {
	list := slices.Clone(backbone)
	at := func(name string) *Array {
		i := slices.IndexFunc(list, func(a Array) bool { return a.Name == name })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	registers := at("register_tokens")
	if registers == nil {
		return list, nil
	}
	class, pos := at("cls_token"), at("pos_embed")
	if class == nil || pos == nil || len(pos.Shape) != 3 || pos.Shape[1] < 2 || len(class.Data) != pos.Shape[2] {
		return nil, fmt.Errorf("a backbone with registers and without cls_token and pos_embed that fit")
	}
	registers.Name = "reg_token"
	dim := pos.Shape[2]
	class.Data = slices.Clone(class.Data)
	for i := range class.Data {
		class.Data[i] += pos.Data[i]
	}
	pos.Shape, pos.Data = []int{1, pos.Shape[1] - 1, dim}, pos.Data[dim:]
	return list, nil
}
