package dino

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// Config is every setting of a training run. Its JSON names are the reference's flag names where the reference has the flag. Start from
// [Reference] or [AutoConfig] and change what should differ: the zero Config is not valid.
type Config struct {
	// Backbone and head.
	Arch              string  `json:"arch"`               // vit_tiny, vit_small, vit_base, or vit:dim=96,depth=4,heads=3
	PatchSize         int     `json:"patch_size"`         // pixels
	DropPathRate      float64 `json:"drop_path_rate"`     // of the student's last block; rises linearly from 0 at the first
	InterpolateOffset float64 `json:"interpolate_offset"` // added to the grid when position embeddings are resized: 0.1 as the reference, or 0
	OutDim            int     `json:"out_dim"`            // K
	HeadHiddenDim     int     `json:"head_hidden_dim"`
	HeadBottleneckDim int     `json:"head_bottleneck_dim"`
	HeadLayers        int     `json:"head_nlayers"`    // linear layers before the last one
	UseBNInHead       bool    `json:"use_bn_in_head"`  // batch norm after the hidden layers
	NormLastLayer     bool    `json:"norm_last_layer"` // keep weight_g at 1: steadier, often a little worse for small ViTs

	// Teacher.
	MomentumTeacher         float64 `json:"momentum_teacher"`           // at the start; follows a cosine to 1
	WarmupTeacherTemp       float64 `json:"warmup_teacher_temp"`        // temperature at the start
	TeacherTemp             float64 `json:"teacher_temp"`               // and after its warm-up
	WarmupTeacherTempEpochs int     `json:"warmup_teacher_temp_epochs"` // epochs

	// Optimisation.
	Optimizer       string  `json:"optimizer"`          // adamw, sgd or lars
	LR              float64 `json:"lr"`                 // for 256 images a step: scaled by images a step / 256
	MinLR           float64 `json:"min_lr"`             // at the end, not scaled
	WarmupEpochs    float64 `json:"warmup_epochs"`      // of the learning rate, from 0; may be a fraction
	WeightDecay     float64 `json:"weight_decay"`       // at the start
	WeightDecayEnd  float64 `json:"weight_decay_end"`   // at the end, by a cosine
	ClipGrad        float64 `json:"clip_grad"`          // largest norm of each tensor's gradient; 0 is off
	BatchSize       int     `json:"batch_size_per_gpu"` // images of one pass
	Accum           int     `json:"accum"`              // passes whose gradients make one step
	Epochs          int     `json:"epochs"`
	FreezeLastLayer int     `json:"freeze_last_layer"` // epochs for which the last layer is not trained

	// Crops.
	GlobalCropsSize  int        `json:"global_crops_size"`  // pixels
	GlobalCropsScale [2]float64 `json:"global_crops_scale"` // share of the image's area
	LocalCropsNumber int        `json:"local_crops_number"`
	LocalCropsSize   int        `json:"local_crops_size"`
	LocalCropsScale  [2]float64 `json:"local_crops_scale"`
	Blur             bool       `json:"blur"`         // Gaussian blur, in pixels of the crop: too strong for crops of 32 px
	ColorJitter      float64    `json:"color_jitter"` // probability of a crop's
	Grayscale        float64    `json:"grayscale"`    // probability of a crop's
	Solarize         float64    `json:"solarize"`     // probability of the second large crop's

	// The run.
	Precision   string  `json:"precision"` // of the layers' products: float32, tf32 on GPUs, or bf16 on GPUs and on CPUs that have it
	Seed        uint64  `json:"seed"`
	SaveCkpFreq int     `json:"saveckp_freq"` // epochs between checkpoints that are kept
	KNNFreq     int     `json:"knn_freq"`     // epochs between k-NN evaluations; 0 is never
	MaxBad      float64 `json:"max_bad"`      // share of images that may be unreadable before the run stops
}

// withoutEffect are the settings, by JSON name, that change nothing about the weights: a resumed run may change them; and the precision, so that a run can go
// on on a device that has not the same: the weights are rounded otherwise from there on.
var withoutEffect = []string{"saveckp_freq", "knn_freq", "max_bad", "precision"}

// Reference is the configuration of the published reference implementation (facebookresearch/dino at 7c446df) when no flag is given.
func Reference() Config {
	return Config{
		Arch: "vit_small", PatchSize: 16, DropPathRate: 0.1, InterpolateOffset: 0.1,
		OutDim: 65536, HeadHiddenDim: 2048, HeadBottleneckDim: 256, HeadLayers: 3, UseBNInHead: false, NormLastLayer: true,
		MomentumTeacher: 0.996, WarmupTeacherTemp: 0.04, TeacherTemp: 0.04, WarmupTeacherTempEpochs: 0,
		Optimizer: "adamw", LR: 5e-4, MinLR: 1e-6, WarmupEpochs: 10, WeightDecay: 0.04, WeightDecayEnd: 0.4, ClipGrad: 3,
		BatchSize: 64, Accum: 1, Epochs: 100, FreezeLastLayer: 1,
		GlobalCropsSize: 224, GlobalCropsScale: [2]float64{0.4, 1},
		LocalCropsNumber: 8, LocalCropsSize: 96, LocalCropsScale: [2]float64{0.05, 0.4},
		Blur: true, ColorJitter: 0.8, Grayscale: 0.2, Solarize: 0.2,
		Precision: tensor.Float32.String(), Seed: 0, SaveCkpFreq: 20, KNNFreq: 1, MaxBad: 0.01,
	}
}

// Views is V, the number of crops of an image.
func (c *Config) Views() int { return 2 + c.LocalCropsNumber }

// ImagesPerStep is how many images one optimizer step sees.
func (c *Config) ImagesPerStep() int { return c.BatchSize * c.Accum }

// StepsPerEpoch is how many steps an epoch of that many images has: the last images that fill no step are dropped, other ones each epoch.
func (c *Config) StepsPerEpoch(images int) int { return images / max(1, c.ImagesPerStep()) }

// ViT is the backbone's configuration. Its error is that of a bad Arch.
func (c *Config) ViT() (nn.ViTConfig, error) {
	offset := c.InterpolateOffset
	v, err := nn.ParseArch(c.Arch, c.PatchSize, c.GlobalCropsSize)
	if err != nil {
		return nn.ViTConfig{}, err
	}
	v.DropPathRate = c.DropPathRate
	v.InterpolateOffset = &offset
	return v, nil
}

// Crops are the crops that training sees.
func (c *Config) Crops() augment.MultiCrop {
	m := augment.Reference()
	m.GlobalSize, m.GlobalScale = c.GlobalCropsSize, c.GlobalCropsScale
	m.LocalSize, m.LocalScale, m.LocalNumber = c.LocalCropsSize, c.LocalCropsScale, c.LocalCropsNumber
	if !c.Blur {
		m = m.NoBlur()
	}
	m.Jitter, m.Gray, m.Solarize[1] = c.ColorJitter, c.Grayscale, c.Solarize
	return m
}

// EvalTransform is how pictures are shown to the backbone for evaluation: as the reference does, 256 → 224 or in that proportion; small
// pictures, which are framed already, whole.
func (c *Config) EvalTransform() augment.Eval {
	if c.GlobalCropsSize <= 64 {
		return augment.Whole(c.GlobalCropsSize)
	}
	return augment.EvalAt(c.GlobalCropsSize)
}

// Head is the projection head's configuration for a backbone of that dimension.
func (c *Config) Head(dim int) HeadConfig {
	return HeadConfig{InDim: dim, OutDim: c.OutDim, HiddenDim: c.HeadHiddenDim, BottleneckDim: c.HeadBottleneckDim,
		Layers: c.HeadLayers, UseBN: c.UseBNInHead, NormLastLayer: c.NormLastLayer}
}

// Validate says everything that is wrong with the configuration, one line each, or returns nil.
func (c *Config) Validate() error {
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
	whole("global_crops_size", c.GlobalCropsSize, 1, 4096)
	whole("local_crops_number", c.LocalCropsNumber, 0, 100)
	if c.PatchSize > 0 {
		check(c.GlobalCropsSize >= c.PatchSize, "global_crops_size %d is smaller than patch_size %d", c.GlobalCropsSize, c.PatchSize)
		if c.LocalCropsNumber > 0 {
			whole("local_crops_size", c.LocalCropsSize, 1, 4096)
			check(c.LocalCropsSize >= c.PatchSize, "local_crops_size %d is smaller than patch_size %d", c.LocalCropsSize, c.PatchSize)
		}
		if _, err := c.ViT(); err != nil {
			all = append(all, err)
		}
	}
	number("drop_path_rate", c.DropPathRate, 0, 0.99)
	number("interpolate_offset", c.InterpolateOffset, 0, 0.9)
	whole("out_dim", c.OutDim, 2, 1<<24)
	whole("head_hidden_dim", c.HeadHiddenDim, 1, 1<<16)
	whole("head_bottleneck_dim", c.HeadBottleneckDim, 1, 1<<16)
	whole("head_nlayers", c.HeadLayers, 1, 16)
	number("momentum_teacher", c.MomentumTeacher, 0, 1)
	check(c.WarmupTeacherTemp > 0 && c.TeacherTemp > 0 && c.WarmupTeacherTemp <= 10 && c.TeacherTemp <= 10,
		"warmup_teacher_temp %g and teacher_temp %g must be above 0 (usual: 0.04 to 0.07)", c.WarmupTeacherTemp, c.TeacherTemp)
	check(slices.Contains([]string{"adamw", "sgd", "lars"}, c.Optimizer), "optimizer is %q: it must be adamw, sgd or lars", c.Optimizer)
	number("lr", c.LR, 0, 1e3)
	number("min_lr", c.MinLR, 0, 1e3)
	number("weight_decay", c.WeightDecay, 0, 1e3)
	number("weight_decay_end", c.WeightDecayEnd, 0, 1e3)
	number("clip_grad", c.ClipGrad, 0, math.MaxFloat32)
	whole("batch_size_per_gpu", c.BatchSize, 1, 1<<16)
	whole("accum", c.Accum, 1, 1<<16)
	whole("epochs", c.Epochs, 1, 1<<20)
	check(c.FreezeLastLayer >= 0, "freeze_last_layer is %d: it must not be negative", c.FreezeLastLayer)
	check(c.WarmupEpochs >= 0 && c.WarmupEpochs <= float64(c.Epochs),
		"warmup_epochs is %g with epochs %d: the learning rate must finish its warm-up within the run", c.WarmupEpochs, c.Epochs)
	check(c.WarmupTeacherTempEpochs >= 0 && c.WarmupTeacherTempEpochs <= c.Epochs,
		"warmup_teacher_temp_epochs is %d with epochs %d: the temperature must finish its warm-up within the run", c.WarmupTeacherTempEpochs, c.Epochs)
	for _, s := range []struct {
		name  string
		scale [2]float64
	}{{"global_crops_scale", c.GlobalCropsScale}, {"local_crops_scale", c.LocalCropsScale}} {
		check(s.scale[0] > 0 && s.scale[0] <= s.scale[1] && s.scale[1] <= 1,
			"%s is %g %g: it must be two shares of the image's area, smaller first, above 0 and up to 1", s.name, s.scale[0], s.scale[1])
	}
	number("color_jitter", c.ColorJitter, 0, 1)
	number("grayscale", c.Grayscale, 0, 1)
	number("solarize", c.Solarize, 0, 1)
	if _, err := tensor.ParsePrecision(c.Precision); err != nil {
		all = append(all, err)
	}
	check(c.SaveCkpFreq >= 0, "saveckp_freq is %d: it must not be negative (0 keeps the latest checkpoint alone)", c.SaveCkpFreq)
	check(c.KNNFreq >= 0, "knn_freq is %d: it must not be negative (0 is never)", c.KNNFreq)
	number("max_bad", c.MaxBad, 0, 1)
	return errors.Join(all...)
}

// Differences lists the settings in which the two configurations would train other weights, as "lr: 0.0005, now 0.001".
func (c *Config) Differences(now *Config) []string {
	a, b := c.fields(), now.fields()
	var list []string
	for i := range a {
		if a[i] != b[i] && !slices.Contains(withoutEffect, a[i].name) {
			list = append(list, fmt.Sprintf("%s: %s, now %s", a[i].name, a[i].value, b[i].value))
		}
	}
	return list
}

type field struct{ name, value string }

// fields are the settings by JSON name, in the order of the struct.
func (c *Config) fields() []field {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // numbers, strings and booleans
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		panic(err)
	}
	list := make([]field, 0, len(values))
	for _, name := range configNames() {
		list = append(list, field{name, string(values[name])})
	}
	return list
}
