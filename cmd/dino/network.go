package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/interchange"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// networkFlags say which trained network a command uses.
type networkFlags struct {
	PretrainedWeights string `required:"" placeholder:"FILE" group:"Network" help:"Weights: a checkpoint of train; a .pth or safetensors of DINO, DINOv2, DeiT, timm; a folder of transformers or timm."`
	CheckpointKey     string `default:"teacher" group:"Network" placeholder:"KEY" help:"Which network of a checkpoint: ${default}, or student."`
	Arch              string `group:"Network" placeholder:"NAME" help:"Backbone; read from the file where it says so: vit_tiny, vit_small, vit_base, vit:dim=96,depth=4,heads=3; options after a colon, as in vit_small:registers=4,layer_scale=1e-5."`
	PatchSize         int    `group:"Network" placeholder:"PX" help:"Side of a patch; read from the file if not given."`
	Device            string `default:"auto" group:"Machine" help:"cpu, cuda, or auto."`
}

// network is a trained backbone and what is known of its training.
type network struct {
	*nn.VisionTransformer
	dev  *tensor.Device
	name string // as vit_small/16
	side int    // pixels of the images that it was trained on

	state *weights.State // what the file was
}

// load reads the backbone. It is taken whole or not at all: no weight is ever left at random.
func (n *networkFlags) load(dev *tensor.Device, log *slog.Logger) (*network, error) {
	path := weightsPath(n.PretrainedWeights)
	f, err := weights.Open(path)
	if err != nil {
		return nil, checkpointError(err)
	}
	defer f.Close()
	state, err := f.State(n.CheckpointKey)
	if err != nil {
		return nil, checkpointError(err)
	}
	for _, note := range state.Notes {
		log.Info(note, "file", path)
	}
	config, err := n.shape(f, state, log)
	if err != nil {
		return nil, err
	}
	// Before the model is made: a shape of a hostile file may ask for more memory than there is.
	if err := weights.Match(entriesOf(config), state.Entries()).Err(); err != nil {
		return nil, checkpointError(fmt.Errorf("%s: %w", path, err))
	}
	m := nn.NewVisionTransformer(dev, config, 0)
	arrays, err := state.Arrays()
	if err != nil {
		return nil, checkpointError(err)
	}
	data := make(map[string][]float32, len(arrays))
	for _, a := range arrays {
		data[a.Name] = a.Data
	}
	for _, p := range m.Params() {
		p.Value.SetFloats(data[p.Name])
	}
	id := weights.Identify(state.Entries())
	id.Heads = config.Heads // which the shapes do not tell
	return &network{VisionTransformer: m, dev: dev, name: id.String(), side: config.ImageSize, state: state}, nil
}

// weightsPath is the file of weights that a path means: of a folder as transformers and timm write them, the one inside.
func weightsPath(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return filepath.Join(path, "model.safetensors")
	}
	return path
}

// entriesOf are the arrays that a model of that configuration has.
func entriesOf(c nn.ViTConfig) []weights.Entry {
	var list []weights.Entry
	for _, p := range c.ParamShapes() {
		list = append(list, weights.Entry{Name: p.Name, Dtype: weights.F32, Shape: p.Shape})
	}
	return list
}

// shape is the backbone's configuration: what the flags say, else the configuration that our own checkpoints carry, else that of the program
// whose names the file has, else what names and shapes of the tensors tell.
func (n *networkFlags) shape(f *weights.File, state *weights.State, log *slog.Logger) (nn.ViTConfig, error) {
	id := weights.Identify(state.Entries())
	if !id.Known() {
		return nn.ViTConfig{}, checkpointError(fmt.Errorf("%s: this is no Vision Transformer of the DINO family: it lacks patch_embed.proj.weight or blocks", f.Path))
	}
	arch, patch := id.Arch(), id.Patch
	trained := dino.Config{InterpolateOffset: dino.Reference().InterpolateOffset} // a .pth has the reference's arguments, which do not name it
	ours := json.Unmarshal([]byte(f.Metadata["args"]), &trained) == nil && trained.Arch != ""
	if ours {
		if _, err := nn.ParseArch(trained.Arch, patch, patch); err == nil {
			arch = trained.Arch
		} else {
			ours = false // a name of another program's, such as deit_small: the shapes say what it is
		}
	}
	theirs := false // another program's configuration says how many heads
	if !ours {
		c, said, err := foreignShape(f.Path, state, id)
		if err != nil {
			return nn.ViTConfig{}, checkpointError(err)
		}
		if theirs = said; c.Heads > 0 {
			arch = c.Arch()
		}
		if c.InterpolateOffset != nil {
			trained.InterpolateOffset = *c.InterpolateOffset
		}
	}
	if n.Arch == "" && !ours && !theirs && id.Heads == 0 {
		return nn.ViTConfig{}, checkpointError(fmt.Errorf("%s: the file does not say how many heads its attention has: name them, as in --arch vit:dim=%d,depth=%d,heads=4",
			f.Path, id.Dim, id.Depth))
	}
	if n.Arch == "" && !ours && !theirs && strings.HasPrefix(arch, "vit:") { // the named ones all have 64 dimensions a head
		log.Warn("the file does not say how many heads its attention has: taken as one for 64 dimensions; name them with --arch if that is wrong",
			"file", f.Path, "arch", arch)
	}
	if n.Arch != "" {
		arch = n.Arch
	}
	if n.PatchSize != 0 {
		patch = n.PatchSize
	}
	// The position embedding is stored for square images of this many patches a side.
	grid := int(math.Round(math.Sqrt(float64(id.Tokens - 1))))
	if id.Tokens < 2 || grid*grid != id.Tokens-1 {
		return nn.ViTConfig{}, checkpointError(fmt.Errorf("%s: a position embedding of %d tokens is not that of a square image", f.Path, id.Tokens))
	}
	config, err := nn.ParseArch(arch, patch, grid*patch)
	if err != nil {
		if n.Arch != "" || n.PatchSize != 0 {
			return config, usageError("%w", err)
		}
		return config, checkpointError(fmt.Errorf("%s: %w", f.Path, err))
	}
	config.InterpolateOffset = &trained.InterpolateOffset
	return config, nil
}

// foreignShape is the configuration of another program's model. Heads (0 if nothing tells) and LayerNorm epsilon are those of a config.json
// beside the file, and said is whether it names the heads; without one they are what that program's models have. It also knows how the
// program resizes the position embedding.
func foreignShape(path string, state *weights.State, id weights.Identity) (c nn.ViTConfig, said bool, err error) {
	c = nn.ViTConfig{Dim: id.Dim, Depth: id.Depth, Heads: id.Heads, MLPRatio: float64(id.Hidden) / float64(max(1, id.Dim)), Registers: id.Registers}
	if id.LayerScale {
		c.LayerScale = 1e-5 // where training starts; what the factors are now, the file says
	}
	plain := 0.0
	config, err := interchange.ReadConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		if state.From == "Hugging Face" {
			c.InterpolateOffset = &plain
			if !id.LayerScale {
				c.LayerNormEps = 1e-12 // ViTConfig's default
			}
		}
		if id.Registers > 0 { // DINOv2's, which have no offset
			c.InterpolateOffset, c.InterpolateAntialias = &plain, true
		}
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	c.InterpolateOffset = &plain
	c.LayerNormEps, c.InterpolateAntialias = config.LayerNormEps, config.Antialias
	if config.Heads > 0 {
		c.Heads = config.Heads
	}
	return c, config.Heads > 0, nil
}

// transform is how images are prepared for the network: at size pixels, or the size it was trained on.
func (n *network) transform(size int) augment.Eval {
	if size == 0 {
		size = n.side
	}
	c := dino.Config{GlobalCropsSize: size}
	return c.EvalTransform()
}

// device is where the work is done. Only the CPU can be asked for until the program has kernels for more.
func device(name string) (*tensor.Device, error) {
	switch name {
	case "cpu", "auto":
		return tensor.CPU(), nil
	case "cuda":
		if err := cuda.Available(); err != nil {
			return nil, usageError("--device cuda: %w: use --device cpu", err)
		}
		return tensor.CPU(), nil
	}
	return nil, usageError("--device %q: choose cpu, cuda or auto", name)
}

// inPrecision is the device with layers of that precision.
func inPrecision(dev *tensor.Device, name string) (*tensor.Device, error) {
	p, err := tensor.ParsePrecision(name)
	if err != nil {
		return nil, usageError("--precision: %w", err)
	}
	if dev, err = dev.WithPrecision(p); err != nil {
		return nil, usageError("--precision: %w", err)
	}
	return dev, nil
}

// makeDir creates the folder that a command writes into.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return fmt.Errorf("--output_dir: %w", err)
	}
	return nil
}
