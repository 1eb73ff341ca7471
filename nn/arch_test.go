package nn

import (
	"strings"
	"testing"
)

func TestParseArch(t *testing.T) {
	for arch, want := range map[string]ViTConfig{
		"vit_tiny":                   {Dim: 192, Depth: 12, Heads: 3, MLPRatio: 4},
		"vit_small":                  {Dim: 384, Depth: 12, Heads: 6, MLPRatio: 4},
		"vit_base":                   {Dim: 768, Depth: 12, Heads: 12, MLPRatio: 4},
		"vit:dim=96,depth=4,heads=3": {Dim: 96, Depth: 4, Heads: 3, MLPRatio: 4},
		"vit:heads=2, dim=64,mlp_ratio=2.5,depth=1": {Dim: 64, Depth: 1, Heads: 2, MLPRatio: 2.5},
	} {
		got, err := ParseArch(arch, 8, 64)
		if err != nil {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		if got.Dim != want.Dim || got.Depth != want.Depth || got.Heads != want.Heads || got.MLPRatio != want.MLPRatio ||
			got.PatchSize != 8 || got.ImageSize != 64 || got.LayerNormEps != 1e-6 || *got.InterpolateOffset != 0.1 {
			t.Errorf("%s: %+v, want %+v", arch, got, want)
		}
	}
}

func TestParseArchErrors(t *testing.T) {
	for _, c := range []struct {
		arch         string
		patch, image int
		want         string // in the message
	}{
		{"resnet50", 16, 224, "vit_small"},
		{"", 16, 224, "vit_small"},
		{"vit:", 16, 224, "dim="},
		{"vit:dim=96,depth=4", 16, 224, "heads= is missing"},
		{"vit:dim=96,depth=4,heads=5", 16, 224, "divisor"},
		{"vit:dim=96,depth=4,heads=3,width=2", 16, 224, "width=2"},
		{"vit:dim=96,dim=96,depth=4,heads=3", 16, 224, "twice"},
		{"vit:dim=x,depth=4,heads=3", 16, 224, `dim="x"`},
		{"vit:dim=-96,depth=4,heads=3", 16, 224, "dim -96"},
		{"vit:dim=96,depth=0,heads=3", 16, 224, "depth 0"},
		{"vit:dim=96,depth=4,heads=0", 16, 224, "heads 0"},
		{"vit:dim=99999999999,depth=4,heads=3", 16, 224, "dim"},
		{"vit:dim=96,depth=4,heads=3,mlp_ratio=NaN", 16, 224, "mlp_ratio"},
		{"vit:dim=96,depth=4,heads=3,mlp_ratio=1e-9", 16, 224, "mlp_ratio"},
		{"vit_tiny", 0, 224, "patch size 0"},
		{"vit_tiny", 16, 8, "image size 8"},
	} {
		_, err := ParseArch(c.arch, c.patch, c.image)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, patch %d, image %d: error %v, want one with %q", c.arch, c.patch, c.image, err, c.want)
		}
	}
}
