package dino

import (
	"fmt"
	"reflect"
	"strings"
)

// configNames are the JSON names of Config's fields, in their order.
func configNames() []string {
	t := reflect.TypeFor[Config]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

// DataInfo is what is known of the data before training.
type DataInfo struct {
	Images    int // how many
	ShortSide int // the typical (median) shorter side, pixels; 0 if unknown
}

// Reason is one decision of [AutoConfig]: which settings, by JSON name with their values, and why. A Warning is about the data.
type Reason struct {
	Settings string
	Why      string
	Warning  bool
}

func (r Reason) String() string {
	if r.Settings == "" {
		return r.Why
	}
	return r.Settings + ": " + r.Why
}

// AutoConfig chooses settings by the number and size of the images, and says why. What it does not decide is the reference's. The rules
// of size follow what other implementations of the method found to work on less data than ImageNet.
func AutoConfig(info DataInfo) (Config, []Reason) {
	c := Reference()
	var reasons []Reason
	because := func(why, format string, args ...any) {
		reasons = append(reasons, Reason{Settings: fmt.Sprintf(format, args...), Why: why})
	}

	if info.Images < 2000 {
		reasons = append(reasons, Reason{Warning: true, Why: fmt.Sprintf(
			"%d images are few to learn from without labels: expect features little better than raw pixels; 2,000 or more are advised", info.Images)})
	}
	n := fmt.Sprintf("%d images", info.Images)
	switch {
	case info.Images < 2000:
		c.Arch, c.OutDim, c.MomentumTeacher = "vit_tiny", 1024, 0.99
		because(n+": a small network, few prototypes, and a teacher that follows sooner", "arch vit_tiny, out_dim 1024, momentum_teacher 0.99")
	case info.Images < 20_000:
		c.Arch, c.OutDim, c.MomentumTeacher = "vit_tiny", 4096, 0.99
		because(n+": fewer than 20,000 suit a small network; fewer steps need a teacher that follows sooner", "arch vit_tiny, out_dim 4096, momentum_teacher 0.99")
	case info.Images < 100_000:
		c.OutDim, c.MomentumTeacher = 4096, 0.99
		because(n+": fewer prototypes than ImageNet needs, and a teacher that follows sooner", "arch vit_small, out_dim 4096, momentum_teacher 0.99")
	case info.Images < 1_000_000:
		c.OutDim = 16384
		because(n+": fewer prototypes than ImageNet needs", "arch vit_small, out_dim 16384, momentum_teacher 0.996")
	default:
		because(n+": the reference's settings for ImageNet", "arch vit_small, out_dim 65536, momentum_teacher 0.996")
	}

	if info.Images < 100_000 {
		c.UseBNInHead, c.FreezeLastLayer = true, 0
		because(n+": in a short run batch norm in the head tells apart features that are much alike at first (docs/results.md has what it gained)",
			"use_bn_in_head true, freeze_last_layer 0")
	}

	side := fmt.Sprintf("pictures of %d px", info.ShortSide)
	switch {
	case info.ShortSide <= 0: // unknown
	case info.ShortSide <= 40:
		c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize, c.Blur = 4, 32, 16, false
		because(side+": crops no larger than they are, small patches, and no blur, which would wipe them out", "patch_size 4, crops 2×32 + 8×16, blur off")
	case info.ShortSide <= 80:
		c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize, c.Blur = 8, 64, 32, false
		because(side+": crops no larger than they are, small patches, and no blur, which would wipe them out", "patch_size 8, crops 2×64 + 8×32, blur off")
	case info.ShortSide <= 160:
		c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize = 8, 96, 48
		because(side+": crops of their size, and patches of 8 px to have enough of them", "patch_size 8, crops 2×96 + 8×48")
	}

	if most := info.Images / 8; c.BatchSize > most && info.Images > 0 {
		c.BatchSize = max(most, 1)
		because(n+": at least eight steps an epoch", "batch_size_per_gpu %d", c.BatchSize)
	}
	return c, reasons
}
