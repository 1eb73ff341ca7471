package weights

import (
	"fmt"
	"strings"
	"testing"
)

func vit(dim, depth, patch, grid int) []Entry {
	list := []Entry{
		{"cls_token", F32, []int{1, 1, dim}}, {"pos_embed", F32, []int{1, grid*grid + 1, dim}},
		{"patch_embed.proj.weight", F32, []int{dim, 3, patch, patch}}, {"patch_embed.proj.bias", F32, []int{dim}},
	}
	for i := range depth {
		for name, shape := range map[string][]int{
			"norm1.weight": {dim}, "norm1.bias": {dim}, "attn.qkv.weight": {3 * dim, dim}, "attn.qkv.bias": {3 * dim},
			"attn.proj.weight": {dim, dim}, "attn.proj.bias": {dim}, "norm2.weight": {dim}, "norm2.bias": {dim},
			"mlp.fc1.weight": {4 * dim, dim}, "mlp.fc1.bias": {4 * dim}, "mlp.fc2.weight": {dim, 4 * dim}, "mlp.fc2.bias": {dim},
		} {
			list = append(list, Entry{fmt.Sprintf("blocks.%d.%s", i, name), F32, shape})
		}
	}
	return append(list, Entry{"norm.weight", F32, []int{dim}}, Entry{"norm.bias", F32, []int{dim}})
}

func TestMatch(t *testing.T) {
	tiny := vit(192, 12, 16, 14)
	if err := Match(tiny, vit(192, 12, 16, 14)).Err(); err != nil {
		t.Errorf("the same model: %v", err)
	}
	for _, c := range []struct {
		what string
		have []Entry
		say  []string
	}{
		{"another width", vit(384, 12, 16, 14), []string{"0 of 150 tensors match vit_tiny/16; they look like vit_small/16: use --arch vit_small --patch_size 16",
			"150 of another shape", "and 138 more"}},
		{"another patch", vit(192, 12, 8, 28), []string{"148 of 150", "vit_tiny/8", "--patch_size 8"}},
		{"another depth", vit(192, 4, 16, 14), []string{"54 of 150", "use --arch vit:dim=192,depth=4,heads=3 --patch_size 16", "96 missing"}},
		{"another grid", vit(192, 12, 16, 6), []string{"149 of 150", "6×6 patches (images of 96 px)", "14×14 patches (images of 224 px)"}},
		{"one missing", tiny[1:], []string{"149 of 150", "1 missing:\n  cls_token (1, 1, 192)"}},
		{"one extra", append(vit(192, 12, 16, 14), Entry{"fc.weight", F32, []int{1000, 192}}), []string{"150 of 150", "1 extra:\n  fc.weight (1000, 192)"}},
		{"something else", []Entry{{"conv1.weight", F32, []int{64, 3, 7, 7}}}, []string{"0 of 150", "does not look like a Vision Transformer"}},
	} {
		err := Match(tiny, c.have).Err()
		if err == nil {
			t.Errorf("%s: accepted", c.what)
			continue
		}
		for _, s := range c.say {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: no %q in:\n%v", c.what, s, err)
			}
		}
	}
}

func TestStateDictOfSafetensors(t *testing.T) {
	path := t.TempDir() + "/w.safetensors"
	c := sample()
	c.Raws = append(c.Raws, Int64s("teacher.backbone.num_batches_tracked", nil, []int64{1})) // not a weight
	if err := Save(path, c); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	backbone, err := f.StateDict("teacher")
	if err != nil || len(backbone) != 2 || backbone[0].Name != "cls_token" {
		t.Errorf("backbone %v, %v", backbone, err)
	}
	head, err := f.HeadStateDict("teacher")
	if err != nil || len(head) != 1 || head[0].Name != "last_layer.weight_g" || head[0].Data[1] != 4 {
		t.Errorf("head %v, %v", head, err)
	}
	entries, err := f.StateEntries("teacher")
	if err != nil || len(entries) != 2 || entries[1].Name != "empty" {
		t.Errorf("entries %v, %v", entries, err)
	}
	if _, err := f.StateDict("student"); err == nil || !strings.Contains(err.Error(), "--checkpoint_key") {
		t.Errorf("a missing key: %v", err)
	}
}
