package dino

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// FinetuneConfig is every setting of fine-tuning: a backbone and a linear layer on its class token, trained together with labels. Start from
// [DefaultFinetune] and change what should differ.
type FinetuneConfig struct {
	// Network.
	Arch              string  `json:"arch"`
	PatchSize         int     `json:"patch_size"`
	ImageSize         int     `json:"image_size"`         // pixels of a crop, and of whole pictures that are judged
	PosSize           int     `json:"global_crops_size"`  // pixels that the position embedding is stored for
	InterpolateOffset float64 `json:"interpolate_offset"` // see Config
	DropPathRate      float64 `json:"drop_path_rate"`
	FromScratch       bool    `json:"from_scratch"` // fresh weights instead of given ones

	// Optimisation: AdamW, the learning rate linearly from 0 to LR and along a cosine to MinLR.
	LR             float64 `json:"lr"` // for 256 images a step: scaled by BatchSize / 256
	MinLR          float64 `json:"min_lr"`
	WarmupEpochs   float64 `json:"warmup_epochs"`
	WeightDecay    float64 `json:"weight_decay"`
	LayerDecay     float64 `json:"layer_decay"`     // the learning rate of a block is that of the block after it times this; 1 is the same for all
	LabelSmoothing float64 `json:"label_smoothing"` // share of the target that is spread over all classes
	ClipGrad       float64 `json:"clip_grad"`       // largest norm of each tensor's gradient; 0 is off
	BatchSize      int     `json:"batch_size_per_gpu"`
	Epochs         int     `json:"epochs"`

	// Images.
	CropsScale    [2]float64 `json:"crops_scale"` // share of a picture's area that a crop has
	Flip          float64    `json:"flip"`        // probability of a crop's mirror image
	ColorJitter   float64    `json:"color_jitter"`
	LabelFraction float64    `json:"label_fraction"` // share of each class that is trained on

	// The run.
	Precision string  `json:"precision"`
	Seed      uint64  `json:"seed"`
	ValFreq   int     `json:"val_freq"` // epochs between scores; the last epoch has one always
	MaxBad    float64 `json:"max_bad"`
}

// finetuneWithoutEffect are the settings, by JSON name, that change nothing about the weights: a resumed run may change them.
var finetuneWithoutEffect = []string{"val_freq", "max_bad"}

// DefaultFinetune is how trained weights are fine-tuned when nothing else is said: as of BEiT and MAE (Bao et al. 2021; He et al. 2021), with
// fewer epochs.
func DefaultFinetune() FinetuneConfig {
	return FinetuneConfig{
		Arch: "vit_small", PatchSize: 16, ImageSize: 224, PosSize: 224, InterpolateOffset: 0.1, DropPathRate: 0.1,
		LR: 1e-3, MinLR: 1e-6, WarmupEpochs: 5, WeightDecay: 0.05, LayerDecay: 0.75, LabelSmoothing: 0.1, ClipGrad: 3, BatchSize: 64, Epochs: 50,
		CropsScale: [2]float64{0.08, 1}, Flip: 0.5, LabelFraction: 1,
		Precision: tensor.Float32.String(), ValFreq: 1, MaxBad: 0.01,
	}
}

// ViT is the backbone's configuration.
func (c *FinetuneConfig) ViT() (nn.ViTConfig, error) {
	g := Config{Arch: c.Arch, PatchSize: c.PatchSize, GlobalCropsSize: c.PosSize, DropPathRate: c.DropPathRate, InterpolateOffset: c.InterpolateOffset}
	return g.ViT()
}

// Crop is the crop that training sees.
func (c *FinetuneConfig) Crop() augment.ResizedCrop {
	r := augment.ResizedCropAt(c.ImageSize)
	r.Scale, r.Flip, r.Jitter = c.CropsScale, c.Flip, c.ColorJitter
	return r
}

// transform is how whole pictures are shown.
func (c *FinetuneConfig) transform() augment.Eval {
	return (&Config{GlobalCropsSize: c.ImageSize}).EvalTransform()
}

// StepsPerEpoch is how many steps an epoch of that many images has; the last one may be smaller than the others.
func (c *FinetuneConfig) StepsPerEpoch(images int) int {
	return (images + c.BatchSize - 1) / max(1, c.BatchSize)
}

// Validate says everything that is wrong with the configuration, or returns nil.
func (c *FinetuneConfig) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	number := func(name string, v, low, high float64) { // NaN fails
		check(v >= low && v <= high, "%s is %g: it must be from %g to %g", name, v, low, high)
	}
	whole := func(name string, v, low, high int) {
		check(v >= low && v <= high, "%s is %d: it must be from %d to %d", name, v, low, high)
	}
	whole("patch_size", c.PatchSize, 1, 1024)
	whole("image_size", c.ImageSize, 1, 4096)
	check(c.ImageSize >= c.PatchSize, "image_size %d is smaller than patch_size %d", c.ImageSize, c.PatchSize)
	if c.PatchSize > 0 {
		if _, err := c.ViT(); err != nil {
			all = append(all, err)
		}
	}
	number("interpolate_offset", c.InterpolateOffset, 0, 0.9)
	number("drop_path_rate", c.DropPathRate, 0, 0.99)
	number("lr", c.LR, 0, 1e3)
	number("min_lr", c.MinLR, 0, 1e3)
	number("weight_decay", c.WeightDecay, 0, 1e3)
	check(c.LayerDecay > 0 && c.LayerDecay <= 1, "layer_decay is %g: it must be above 0, up to 1", c.LayerDecay)
	number("label_smoothing", c.LabelSmoothing, 0, 0.99)
	number("clip_grad", c.ClipGrad, 0, math.MaxFloat32)
	whole("batch_size_per_gpu", c.BatchSize, 1, 1<<16)
	whole("epochs", c.Epochs, 1, 1<<20)
	check(c.WarmupEpochs >= 0 && c.WarmupEpochs <= float64(c.Epochs),
		"warmup_epochs is %g with epochs %d: the learning rate must finish its warm-up within the run", c.WarmupEpochs, c.Epochs)
	check(c.CropsScale[0] > 0 && c.CropsScale[0] <= c.CropsScale[1] && c.CropsScale[1] <= 1,
		"crops_scale is %g %g: it must be two shares of the image's area, smaller first, above 0 and up to 1", c.CropsScale[0], c.CropsScale[1])
	number("flip", c.Flip, 0, 1)
	number("color_jitter", c.ColorJitter, 0, 1)
	check(c.LabelFraction > 0 && c.LabelFraction <= 1, "label_fraction is %g: it must be above 0, up to 1", c.LabelFraction)
	if _, err := tensor.ParsePrecision(c.Precision); err != nil {
		all = append(all, err)
	}
	whole("val_freq", c.ValFreq, 1, 1<<20)
	number("max_bad", c.MaxBad, 0, 1)
	return errors.Join(all...)
}

// Differences lists the settings in which the two configurations would train other weights, as "lr: 0.001, now 0.01".
func (c *FinetuneConfig) Differences(now *FinetuneConfig) []string {
	a, b := settingsByName(c), settingsByName(now)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if string(a[name]) != string(b[name]) && !slices.Contains(finetuneWithoutEffect, name) {
			list = append(list, fmt.Sprintf("%s: %s, now %s", name, a[name], b[name]))
		}
	}
	return list
}

func settingsByName(c *FinetuneConfig) map[string]json.RawMessage {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // numbers, strings and booleans
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		panic(err)
	}
	return values
}
