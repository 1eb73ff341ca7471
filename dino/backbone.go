package dino

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/interchange"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// Backbone is a trained Vision Transformer out of a file, and what is known of its training.
type Backbone struct {
	*nn.VisionTransformer
	Name  string         // as vit_small/16
	Side  int            // pixels of the square images that it was trained on
	State *weights.State // what the file was
	Notes []string       // what was left out, changed or assumed, a line each
}

// BackboneOptions say what a file does not. The zero BackboneOptions suit checkpoints of this package and published models.
type BackboneOptions struct {
	Key       string // which network of a checkpoint: teacher, which "" is too, or student
	Arch      string // as nn.ParseArch takes it; "" is what the file says, or what its shapes tell
	PatchSize int    // pixels; 0 is the file's
}

// ArchError is an option that does not name an architecture.
type ArchError struct{ Err error }

func (e *ArchError) Error() string { return e.Err.Error() }
func (e *ArchError) Unwrap() error { return e.Err }

// LoadBackbone reads a backbone: of a checkpoint of this package, a .pth or safetensors of DINO, DINOv2, DeiT or timm, or a folder of transformers or timm.
// It is taken whole or not at all: no weight is ever left at random. Errors are *ArchError where an option is wrong, else *CheckpointError.
func LoadBackbone(dev *tensor.Device, path string, o BackboneOptions) (*Backbone, error) {
	path = WeightsPath(path)
	b, err := loadBackbone(dev, path, o)
	var arch *ArchError
	if err != nil && !errors.As(err, &arch) {
		err = &CheckpointError{Path: path, Err: err}
	}
	return b, err
}

func loadBackbone(dev *tensor.Device, path string, o BackboneOptions) (*Backbone, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if o.Key == "" {
		o.Key = "teacher"
	}
	state, err := f.State(o.Key)
	if err != nil {
		return nil, err
	}
	config, notes, err := BackboneConfig(f, state, o)
	if err != nil {
		return nil, err
	}
	// Before the model is made: a shape of a hostile file may ask for more memory than there is.
	if err := MatchBackbone(config, state).Err(); err != nil {
		return nil, err
	}
	m := nn.NewVisionTransformer(dev, config, 0)
	arrays, err := state.Arrays()
	if err != nil {
		return nil, err
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
	return &Backbone{VisionTransformer: m, Name: id.String(), Side: config.ImageSize, State: state, Notes: append(state.Notes, notes...)}, nil
}

// EvalTransform is how pictures are prepared for the backbone at that many pixels a side; 0 is the side that it was trained on.
func (b *Backbone) EvalTransform(size int) augment.Eval {
	if size == 0 {
		size = b.Side
	}
	c := Config{GlobalCropsSize: size}
	return c.EvalTransform()
}

// WeightsPath is the file of weights that a path means: of a folder as transformers and timm write them, the one inside.
func WeightsPath(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return filepath.Join(path, "model.safetensors")
	}
	return path
}

// MatchBackbone compares the arrays of a file with those of a model of that configuration.
func MatchBackbone(c nn.ViTConfig, state *weights.State) *weights.MatchReport {
	var list []weights.Entry
	for _, p := range c.ParamShapes() {
		list = append(list, weights.Entry{Name: p.Name, Dtype: weights.F32, Shape: p.Shape})
	}
	return weights.Match(list, state.Entries())
}

// BackboneConfig is the configuration of the backbone in a file: what the options say, else the configuration that our own checkpoints carry, else that of the program
// whose names the file has, else what names and shapes of the tensors tell. notes say what was assumed.
func BackboneConfig(f *weights.File, state *weights.State, o BackboneOptions) (config nn.ViTConfig, notes []string, err error) {
	id := weights.Identify(state.Entries())
	if !id.Known() {
		return config, nil, fmt.Errorf("%s: this is no Vision Transformer of the DINO family: it lacks patch_embed.proj.weight or blocks", f.Path)
	}
	arch, patch := id.Arch(), id.Patch
	trained := Config{InterpolateOffset: Reference().InterpolateOffset} // a .pth has the reference's arguments, which do not name it
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
			return config, nil, err
		}
		if theirs = said; c.Heads > 0 {
			arch = c.Arch()
		}
		if c.InterpolateOffset != nil {
			trained.InterpolateOffset = *c.InterpolateOffset
		}
	}
	if o.Arch == "" && !ours && !theirs && id.Heads == 0 {
		return config, nil, fmt.Errorf("%s: the file does not say how many heads its attention has: name them, as in --arch vit:dim=%d,depth=%d,heads=4",
			f.Path, id.Dim, id.Depth)
	}
	if o.Arch == "" && !ours && !theirs && strings.HasPrefix(arch, "vit:") { // the named ones all have 64 dimensions a head
		notes = append(notes, fmt.Sprintf("the file does not say how many heads its attention has: taken as one for 64 dimensions (%s); name them with --arch if that is wrong", arch))
	}
	if o.Arch != "" {
		arch = o.Arch
	}
	if o.PatchSize != 0 {
		patch = o.PatchSize
	}
	// The position embedding is stored for square images of this many patches a side.
	grid := int(math.Round(math.Sqrt(float64(id.Tokens - 1))))
	if id.Tokens < 2 || grid*grid != id.Tokens-1 {
		return config, nil, fmt.Errorf("%s: a position embedding of %d tokens is not that of a square image", f.Path, id.Tokens)
	}
	config, err = nn.ParseArch(arch, patch, grid*patch)
	if err != nil {
		if o.Arch != "" || o.PatchSize != 0 {
			return config, nil, &ArchError{err}
		}
		return config, nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	config.InterpolateOffset = &trained.InterpolateOffset
	return config, notes, nil
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
