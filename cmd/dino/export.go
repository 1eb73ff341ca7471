package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/interchange"
	"github.com/godino-ml/godino/nn/weights"
)

type exportCommand struct {
	networkFlags
	Out       string `required:"" placeholder:"PATH" group:"Run" help:"File to write; for timm and huggingface a folder."`
	Format    string `placeholder:"NAME" group:"Run" help:"onnx, safetensors, timm or huggingface; told by the ending of --out if it is .onnx or .safetensors."`
	ImageSize string `placeholder:"PX|HxW" group:"Data" help:"With onnx: size of the images that the model will see, such as 224 or 480x640; as trained if not given."`
	Attention bool   `group:"Run" help:"With onnx: also an output for what the class token of the last block looks at."`
}

func (*exportCommand) Help() string {
	return `Examples:
  dino export --pretrained_weights runs/photos/checkpoint.safetensors --out photos.onnx --image_size 224 --attention
  dino export --pretrained_weights runs/photos/checkpoint.safetensors --out photos-timm --format timm
  dino export --pretrained_weights runs/photos/checkpoint.safetensors --out photos-hf --format huggingface

onnx: one file for images of one size in batches of any number; outputs cls (batch, D) and patch_tokens (batch, patches, D). safetensors: the
backbone alone, by the reference's names. timm and huggingface: a folder that timm.create_model("local-dir:DIR", pretrained=True) and
AutoModel.from_pretrained("DIR") open. What the other program will do otherwise is printed.`
}

func (c *exportCommand) Run(t *terminal) error {
	format, err := c.format()
	if err != nil {
		return err
	}
	height, width, err := parseSize(c.ImageSize)
	if err != nil {
		return err
	}
	if format != "onnx" && (c.ImageSize != "" || c.Attention) {
		return usageError("--image_size and --attention are for onnx: %s holds the model for images of any size", format)
	}
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	n, err := c.load(dev, t.log)
	if err != nil {
		return err
	}
	if height == 0 {
		height, width = n.Side, n.Side
	}
	notes, err := n.export(format, c.Out, interchange.ONNXOptions{Height: height, Width: width, Attention: c.Attention})
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	fmt.Fprintf(t.out, "%s: %s of %s, %s parameters\n", c.Out, format, n.Name, count(n.Config().NumParams()))
	if format == "onnx" {
		patch, d := n.Config().PatchSize, n.Config().Dim
		patches := (height / patch) * (width / patch)
		fmt.Fprintf(t.out, "input   images (batch, 3, %d, %d): RGB from 0 to 1, less the mean and over the deviation in the file's metadata\n", height, width)
		fmt.Fprintf(t.out, "output  cls (batch, %d), patch_tokens (batch, %d, %d)", d, patches, d)
		if c.Attention {
			fmt.Fprintf(t.out, ", attention (batch, %d, %d)", n.Config().Heads, patches)
		}
		fmt.Fprintln(t.out)
	}
	for _, note := range notes {
		fmt.Fprintf(t.out, "note: %s\n", note)
	}
	return nil
}

func (c *exportCommand) format() (string, error) {
	format := strings.ToLower(c.Format)
	if format == "" {
		format = strings.TrimPrefix(strings.ToLower(filepath.Ext(c.Out)), ".")
	}
	switch format {
	case "hf":
		format = "huggingface"
	case "onnx", "safetensors", "timm", "huggingface":
	default:
		return "", usageError("--out %s does not say the format: choose --format onnx, safetensors, timm or huggingface", c.Out)
	}
	if info, err := os.Stat(c.Out); err == nil {
		folder := format == "timm" || format == "huggingface"
		if info.IsDir() != folder || !folder && !info.Mode().IsRegular() {
			return "", usageError("--out %s: %s is written to a %s, and this is something else", c.Out, format, map[bool]string{true: "folder", false: "file"}[folder])
		}
		if folder {
			// The configuration that train keeps beside its checkpoints has the same name.
			if runs, _ := filepath.Glob(filepath.Join(c.Out, "checkpoint*.safetensors")); len(runs) > 0 {
				return "", usageError("--out %s holds a run of train: choose a folder of its own", c.Out)
			}
		}
	}
	return format, nil
}

// parseSize reads 224 or 480x640, rows first.
func parseSize(text string) (height, width int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	const most = 1 << 14
	h, w, two := strings.Cut(strings.ToLower(text), "x")
	if !two {
		w = h
	}
	if _, err := fmt.Sscanf(h+" "+w+";", "%d %d;", &height, &width); err != nil || height < 1 || width < 1 || height > most || width > most {
		return 0, 0, usageError("--image_size %q: choose a size such as 224, or height x width such as 480x640, of at most %d", text, most)
	}
	return height, width, nil
}

// export writes the network in a format; its notes are what the other program will do otherwise.
func (n *network) export(format, out string, o interchange.ONNXOptions) (notes []string, err error) {
	e := n.EvalTransform(0)
	picture := interchange.Picture{Resize: e.Resize, Size: e.Crop, Mean: e.Mean, Std: e.Std}
	switch format {
	case "timm":
		return interchange.SaveTimm(out, n.VisionTransformer, picture, metadata(n.Config()))
	case "huggingface":
		c := n.Config()
		if c.Registers > 0 && c.LayerScale == 0 {
			c.LayerScale = 1 // transformers' models with registers have it
		}
		return interchange.SaveHuggingFace(out, n.VisionTransformer, picture, metadata(c))
	case "safetensors":
		return nil, n.save(out, n.Config())
	}
	o.Metadata = metadata(n.Config())
	o.Metadata["mean"], o.Metadata["std"] = numbers(e.Mean), numbers(e.Std)
	return nil, weights.AtomicWrite(out, func(w io.Writer) error { return interchange.WriteONNX(w, n.VisionTransformer, o) })
}

func numbers(v [3]float32) string { return fmt.Sprintf("%g,%g,%g", v[0], v[1], v[2]) }

// metadata says what the weights do not of a model of that configuration, by the names that a checkpoint of train has for it.
func metadata(c nn.ViTConfig) map[string]string {
	args, err := json.Marshal(map[string]any{"arch": c.Arch(), "patch_size": c.PatchSize, "global_crops_size": c.ImageSize, "interpolate_offset": *c.InterpolateOffset})
	if err != nil {
		panic(err) // of numbers and a name
	}
	return map[string]string{"args": string(args)}
}

// save writes the backbone as safetensors, by the reference's names, as one of configuration c.
func (n *network) save(path string, c nn.ViTConfig) error {
	contents := &weights.Contents{Metadata: metadata(c)}
	for _, p := range n.Params() {
		contents.Arrays = append(contents.Arrays, weights.Array{Name: p.Name, Shape: p.Value.Shape(), Data: p.Value.Floats()})
	}
	return weights.Save(path, contents)
}

type importCommand struct {
	File          string   `arg:"" help:"Weights of another program: a .pth or safetensors file, or a folder of transformers or timm."`
	Out           string   `required:"" placeholder:"F.safetensors" group:"Run" help:"File to write."`
	CheckpointKey string   `default:"teacher" group:"Network" placeholder:"KEY" help:"Which network of a checkpoint: teacher or student."`
	Arch          string   `group:"Network" placeholder:"NAME" help:"Backbone; read from the file where it says so."`
	Offset        *float64 `name:"interpolate_offset" group:"Network" placeholder:"X" help:"Added to the grid when the position embedding is resized; as the other program does unless given."`
}

func (*importCommand) Help() string {
	return `Examples:
  dino import dinov2_vits14_reg4_pretrain.pth --out dinov2_vits14_reg4.safetensors
  dino import deit_small_distilled_patch16_224-649709d9.pth --out deit.safetensors
  dino import facebook-dino-vitb16 --out dino_vitb16.safetensors

Reads the backbones of DINO, DINOv2 (ViT-S, B and L, with or without registers), DeiT and timm, and of transformers' ViTModel, DeiTModel,
Dinov2Model and Dinov2WithRegistersModel, and writes them by the reference's names, with what the shapes do not tell: heads, the LayerNorm
epsilon, how the position embedding is resized. Other commands read the same files directly; what import writes says all of that itself.
What is left out is printed; a file is taken whole or refused.`
}

func (c *importCommand) Run(t *terminal) error {
	if ending := strings.ToLower(filepath.Ext(c.Out)); ending != ".safetensors" {
		return usageError("--out %s: import writes .safetensors", c.Out)
	}
	if a, err := os.Stat(dino.WeightsPath(c.File)); err == nil {
		if b, err := os.Stat(c.Out); err == nil && os.SameFile(a, b) {
			return usageError("--out %s is the file that is read", c.Out)
		}
	}
	if c.Offset != nil && !(*c.Offset >= 0 && *c.Offset < 1) {
		return usageError("--interpolate_offset %g: choose 0 to below 1", *c.Offset)
	}
	dev, err := device("cpu")
	if err != nil {
		return err
	}
	n, err := (&networkFlags{PretrainedWeights: c.File, CheckpointKey: c.CheckpointKey, Arch: c.Arch}).load(dev, t.log)
	if err != nil {
		return err
	}
	config := n.Config()
	if c.Offset != nil {
		config.InterpolateOffset = c.Offset
	}
	if err := n.save(c.Out, config); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	fmt.Fprintf(t.out, "%s: names of %s; %s/%d, %s parameters\n", c.File, n.State.From, config.Arch(), config.PatchSize, count(config.NumParams()))
	for _, note := range n.Notes {
		fmt.Fprintf(t.out, "  %s\n", note)
	}
	side := config.ImageSize / config.PatchSize
	how := "bicubic"
	if config.InterpolateAntialias {
		how += " with antialias"
	}
	fmt.Fprintf(t.out, "  position embedding of %d×%d patches, images of %d px; for others it is resized: %s, offset %g\n", side, side, config.ImageSize, how, *config.InterpolateOffset)
	fmt.Fprintf(t.out, "wrote %s: use it with --pretrained_weights, or train on from it with --init\n", c.Out)
	return nil
}
