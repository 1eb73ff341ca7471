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
		"vit_tiny:registers=4,layer_scale=1e-5":     {Dim: 192, Depth: 12, Heads: 3, MLPRatio: 4, Registers: 4, LayerScale: 1e-5},
		"vit:dim=8,depth=1,heads=2,antialias=1":     {Dim: 8, Depth: 1, Heads: 2, MLPRatio: 4, InterpolateAntialias: true},
		"vit_small:heads=12":                        {Dim: 384, Depth: 12, Heads: 12, MLPRatio: 4},
	} {
		got, err := ParseArch(arch, 8, 64)
		if err != nil {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		if got.Dim != want.Dim || got.Depth != want.Depth || got.Heads != want.Heads || got.MLPRatio != want.MLPRatio ||
			got.PatchSize != 8 || got.ImageSize != 64 || got.LayerNormEps != 1e-6 ||
			got.Registers != want.Registers || got.LayerScale != want.LayerScale || got.InterpolateAntialias != want.InterpolateAntialias || *got.InterpolateOffset != 0.1 {
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
		{"vit_tiny:", 16, 224, "none of dim="},
		{"vit_tiny:registers=-1", 16, 224, "registers -1"},
		{"vit_tiny:registers=99999", 16, 224, "registers 99999"},
		{"vit_tiny:layer_scale=-1", 16, 224, "layer scale"},
		{"vit_tiny:layer_scale=NaN", 16, 224, "layer scale"},
		{"vit_tiny:layer_norm_eps=1e-60", 16, 224, "layer norm eps"},
		{"vit_tiny:antialias=maybe", 16, 224, "antialias"},
		{"vit_tiny", 0, 224, "patch size 0"},
		{"vit_tiny", 16, 8, "image size 8"},
	} {
		_, err := ParseArch(c.arch, c.patch, c.image)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, patch %d, image %d: error %v, want one with %q", c.arch, c.patch, c.image, err, c.want)
		}
	}
}

// TestArchRoundTrip: the name of a configuration makes it again.
func TestArchRoundTrip(t *testing.T) {
	for _, arch := range []string{"vit_tiny", "vit_base:registers=4,layer_scale=1e-05", "vit:dim=96,depth=4,heads=3", "vit_small:heads=12",
		"vit:dim=49,depth=1,heads=7,mlp_ratio=2.0408163265306123,layer_norm_eps=1e-12,antialias=1"} {
		c, err := ParseArch(arch, 8, 64)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseArch(c.Arch(), 8, 64)
		if err != nil {
			t.Errorf("%s: its name %s: %v", arch, c.Arch(), err)
			continue
		}
		if c.InterpolateOffset, again.InterpolateOffset = nil, nil; again != c {
			t.Errorf("%s: its name %s makes %+v, want %+v", arch, c.Arch(), again, c)
		}
		if strings.Contains(arch, "dim=49") && c.hidden() != 100 {
			t.Errorf("%s has %d hidden dimensions, want 100", arch, c.hidden())
		}
	}
}
