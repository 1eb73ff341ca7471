package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/godino-ml/godino/dino"
)

// settingFlags are the flags of train that set a field of dino.Config. Their JSON names are those of the fields; a flag that was not given
// is nil and leaves its field alone.
type settingFlags struct {
	Arch              *string  `json:"arch,omitempty" group:"Network" placeholder:"NAME" help:"Backbone: vit_tiny, vit_small, vit_base, or vit:dim=96,depth=4,heads=3[,mlp_ratio=4]."`
	PatchSize         *int     `json:"patch_size,omitempty" group:"Network" placeholder:"PX" help:"Side of a patch in pixels."`
	DropPathRate      *float64 `json:"drop_path_rate,omitempty" group:"Network" placeholder:"P" help:"Share of samples that skip the last block's branches; rises from 0 at the first block."`
	InterpolateOffset *float64 `json:"interpolate_offset,omitempty" group:"Network" placeholder:"X" help:"Added to the grid when position embeddings are resized: 0.1 as the reference, or 0."`
	OutDim            *int     `json:"out_dim,omitempty" group:"Network" placeholder:"K" help:"Outputs of the head (prototypes)."`
	HeadHiddenDim     *int     `json:"head_hidden_dim,omitempty" group:"Network" placeholder:"N" help:"Width of the head's hidden layers."`
	HeadBottleneckDim *int     `json:"head_bottleneck_dim,omitempty" group:"Network" placeholder:"N" help:"Width of the head before its last layer."`
	HeadLayers        *int     `json:"head_nlayers,omitempty" name:"head_nlayers" group:"Network" placeholder:"N" help:"Linear layers of the head before its last one."`
	UseBNInHead       *bool    `json:"use_bn_in_head,omitempty" name:"use_bn_in_head" group:"Network" help:"Batch norm in the head."`
	NormLastLayer     *bool    `json:"norm_last_layer,omitempty" group:"Network" help:"Keep the last layer's weights normalised: steadier; false is often better for small networks."`

	MomentumTeacher         *float64 `json:"momentum_teacher,omitempty" group:"Teacher" placeholder:"M" help:"Momentum of the teacher at the start; it follows a cosine to 1."`
	WarmupTeacherTemp       *float64 `json:"warmup_teacher_temp,omitempty" group:"Teacher" placeholder:"T" help:"Temperature of the teacher at the start. Lower it if the loss stays at ln K."`
	TeacherTemp             *float64 `json:"teacher_temp,omitempty" group:"Teacher" placeholder:"T" help:"Temperature of the teacher after its warm-up."`
	WarmupTeacherTempEpochs *int     `json:"warmup_teacher_temp_epochs,omitempty" group:"Teacher" placeholder:"N" help:"Epochs of that warm-up."`

	Optimizer       *string  `json:"optimizer,omitempty" group:"Optimisation" placeholder:"NAME" help:"adamw, sgd or lars."`
	LR              *float64 `json:"lr,omitempty" name:"lr" group:"Optimisation" placeholder:"X" help:"Learning rate for 256 images a step; scaled by images a step / 256."`
	MinLR           *float64 `json:"min_lr,omitempty" name:"min_lr" group:"Optimisation" placeholder:"X" help:"Learning rate at the end, not scaled."`
	WarmupEpochs    *float64 `json:"warmup_epochs,omitempty" group:"Optimisation" placeholder:"N" help:"Epochs, or a fraction of one, in which the learning rate rises from 0."`
	WeightDecay     *float64 `json:"weight_decay,omitempty" group:"Optimisation" placeholder:"X" help:"Weight decay at the start."`
	WeightDecayEnd  *float64 `json:"weight_decay_end,omitempty" group:"Optimisation" placeholder:"X" help:"Weight decay at the end."`
	ClipGrad        *float64 `json:"clip_grad,omitempty" group:"Optimisation" placeholder:"X" help:"Largest norm of a tensor's gradient; 0 does not clip."`
	BatchSize       *int     `json:"batch_size_per_gpu,omitempty" name:"batch_size_per_gpu" aliases:"batch_size" group:"Optimisation" placeholder:"N" help:"Images of one pass."`
	Accum           *int     `json:"accum,omitempty" group:"Optimisation" placeholder:"N" help:"Passes whose gradients make one step: a larger batch in the same memory."`
	Epochs          *int     `json:"epochs,omitempty" group:"Optimisation" placeholder:"N" help:"How often every image is seen."`
	FreezeLastLayer *int     `json:"freeze_last_layer,omitempty" group:"Optimisation" placeholder:"N" help:"Epochs in which the head's last layer is not trained."`

	GlobalCropsSize  *int      `json:"global_crops_size,omitempty" group:"Crops" placeholder:"PX" help:"Side of the two large crops."`
	GlobalCropsScale *interval `json:"global_crops_scale,omitempty" group:"Crops" placeholder:"A B" help:"Their share of the image's area, from A to B."`
	LocalCropsNumber *int      `json:"local_crops_number,omitempty" group:"Crops" placeholder:"N" help:"How many small crops."`
	LocalCropsSize   *int      `json:"local_crops_size,omitempty" group:"Crops" placeholder:"PX" help:"Their side."`
	LocalCropsScale  *interval `json:"local_crops_scale,omitempty" group:"Crops" placeholder:"A B" help:"Their share of the image's area."`
	Blur             *bool     `json:"blur,omitempty" group:"Crops" help:"Blur some crops; too strong for crops of 32 px."`
	ColorJitter      *float64  `json:"color_jitter,omitempty" group:"Crops" placeholder:"P" help:"Share of crops whose brightness, contrast, saturation and hue are changed."`
	Grayscale        *float64  `json:"grayscale,omitempty" group:"Crops" placeholder:"P" help:"Share of crops that lose their colour."`
	Solarize         *float64  `json:"solarize,omitempty" group:"Crops" placeholder:"P" help:"Share of second large crops that are solarised."`

	Precision   *string  `json:"precision,omitempty" group:"Machine" placeholder:"NAME" help:"Numbers that the layers multiply: bf16, what GPUs start from, and faster on CPUs that have it (dino doctor says); float32; tf32, on GPUs."`
	Seed        *uint64  `json:"seed,omitempty" group:"Run" placeholder:"N" help:"Seed of every random choice."`
	SaveCkpFreq *int     `json:"saveckp_freq,omitempty" name:"saveckp_freq" group:"Run" placeholder:"N" help:"Epochs between checkpoints that are kept; the latest always is."`
	KNNFreq     *int     `json:"knn_freq,omitempty" name:"knn_freq" group:"Run" placeholder:"N" help:"Epochs between k-NN scores; 0 never scores."`
	MaxBad      *float64 `json:"max_bad,omitempty" group:"Data" placeholder:"SHARE" help:"Stop when more than this share of the images cannot be read."`
}

// apply sets the fields of c whose flags were given.
func (f *settingFlags) apply(c *dino.Config) error {
	text, err := json.Marshal(f)
	if err != nil {
		var v *json.UnsupportedValueError
		if errors.As(err, &v) {
			return fmt.Errorf("a setting is %s: it must be a finite number (given: %s)", v.Str, strings.Join(f.given(), ", "))
		}
		return err
	}
	return json.Unmarshal(text, c)
}

// given lists the flags that were given, as a person would write them.
func (f *settingFlags) given() []string {
	var list []string
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			continue
		}
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		list = append(list, fmt.Sprintf("%s %v", name, v.Field(i).Elem().Interface()))
	}
	return list
}

// readConfig sets the fields of c that a JSON file names, such as the config.json that train writes beside its checkpoints.
func readConfig(path string, c *dino.Config) error {
	f, err := os.Open(path)
	if err != nil {
		return usageError("--config: %w", err)
	}
	defer f.Close()
	const most = 1 << 20
	d := json.NewDecoder(io.LimitReader(f, most))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return usageError("--config %s: %w (its names are those of the flags: `dino train --help`)", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return usageError("--config %s: something follows the JSON object", path)
	}
	return nil
}
