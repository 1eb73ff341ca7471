package dino

import (
	"context"
	"fmt"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// Tokens says which output of the backbone is an image's feature.
type Tokens string

const (
	ClassToken  Tokens = "cls"   // the class token: D numbers
	MeanToken   Tokens = "mean"  // the mean of the patch tokens: D numbers
	PatchTokens Tokens = "patch" // all patch tokens, row by row: N·D numbers
	ClassAndGeM Tokens = "copy"  // the class token, then the patch tokens pooled by eval.GeM: 2·D numbers, for copy detection

	// ClassAndMean is the class tokens, then the mean of the last block's patch tokens: (n+1)·D numbers for n Blocks.
	ClassAndMean Tokens = "cls+mean"
)

// FeatureOptions says how features are computed. The zero value is usable, but stops at the first image that cannot be read (MaxBad). The
// result depends on Tokens and Blocks alone.
type FeatureOptions struct {
	Tokens Tokens // "" means ClassToken
	// Blocks takes the class tokens of the last so many blocks, each through the last norm, the earliest block first; 0 means 1. It goes with
	// ClassToken and ClassAndMean.
	Blocks   int
	Progress func(done, of int) // called after every batch, with the images that are done
	EvalOptions
}

// FeatureSet are the features of a dataset's images, in its order, without those that could not be read.
type FeatureSet struct {
	eval.Features       // Labels are the dataset's, −1 for none
	Index         []int // of each row: the number of its image
}

// Features computes what backbone makes of every image of ds. It stops with ctx's error when ctx ends.
func Features(ctx context.Context, dev *tensor.Device, backbone *nn.VisionTransformer, ds *dataset.Dataset, transform augment.Eval, o FeatureOptions) (*FeatureSet, error) {
	dim, err := o.featureDim(backbone.Config(), transform.Size())
	if err != nil {
		return nil, err
	}
	f := &FeatureSet{Features: eval.Features{Dim: dim, Data: make([]float32, 0, ds.Len()*dim)}}
	err = EachFeature(ctx, dev, backbone, ds, transform, o, func(indices []int, rows []float32) error {
		f.Data = append(f.Data, rows...)
		f.add(ds, indices)
		return nil
	})
	return f, err
}

// EachFeature is Features for sets that memory does not hold, and for work that is kept as it comes: it gives f the images' numbers and
// features (n, D) of a batch at a time, in order. Both are valid until f returns. f's error stops it.
func EachFeature(ctx context.Context, dev *tensor.Device, backbone *nn.VisionTransformer, ds *dataset.Dataset, transform augment.Eval, o FeatureOptions, f func(indices []int, rows []float32) error) error {
	size := transform.Size()
	if _, err := o.featureDim(backbone.Config(), size); err != nil {
		return err
	}
	tape := autograd.NewEvalTape(tensor.NewArena(dev))
	defer tape.Arena().Release()
	var rows []float32
	return EvalBatches(ctx, ds, transform, o.EvalOptions, func(b EvalBatch) error {
		n := len(b.Indices)
		rows = o.appendFeatures(rows[:0], tape, backbone, tape.Arena().Of(b.Pixels, n, 3, size, size))
		if err := dev.Err(); err != nil {
			return err
		}
		if err := f(b.Indices, rows); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(b.Indices[n-1]+1, ds.Len())
		}
		return nil
	})
}

// featureDim is how many numbers the feature of a picture of size×size has.
func (o *FeatureOptions) featureDim(c nn.ViTConfig, size int) (int, error) {
	if size < c.PatchSize {
		return 0, fmt.Errorf("pictures of %d px are smaller than the backbone's patches of %d px", size, c.PatchSize)
	}
	return o.dim(c, (size/c.PatchSize)*(size/c.PatchSize))
}

// dim is how many numbers the feature of a picture of that many patches has.
func (o *FeatureOptions) dim(c nn.ViTConfig, patches int) (int, error) {
	blocks := max(o.Blocks, 1)
	if o.Blocks < 0 || blocks > c.Depth {
		return 0, fmt.Errorf("features of the last %d blocks: the backbone has %d", o.Blocks, c.Depth)
	}
	switch o.Tokens {
	case "", ClassToken:
		return blocks * c.Dim, nil
	case ClassAndMean:
		return (blocks + 1) * c.Dim, nil
	}
	if blocks > 1 {
		return 0, fmt.Errorf("tokens %q are of the last block alone, not of %d", o.Tokens, blocks)
	}
	switch o.Tokens {
	case MeanToken:
		return c.Dim, nil
	case PatchTokens:
		return patches * c.Dim, nil
	case ClassAndGeM:
		return 2 * c.Dim, nil
	}
	return 0, fmt.Errorf("tokens %q: there are cls, mean, patch, cls+mean and copy", o.Tokens)
}

// appendFeatures appends to dst what backbone makes of images x (n, 3, S, S), on a tape that records nothing.
func (o *FeatureOptions) appendFeatures(dst []float32, tape *autograd.Tape, backbone *nn.VisionTransformer, x *tensor.Tensor) []float32 {
	defer tape.Reset()
	in := autograd.NewConst(x)
	blocks := max(o.Blocks, 1)
	if blocks == 1 && (o.Tokens == "" || o.Tokens == ClassToken) {
		return append(dst, backbone.Forward(tape, in, nil).Value.Floats()...)
	}
	layers := make([]*autograd.Var, 1) // of tokens (n, 1+N, D)
	if blocks == 1 {
		layers[0] = backbone.Tokens(tape, in, nil)
	} else {
		layers = backbone.IntermediateLayers(tape, in, blocks)
	}
	s := layers[0].Shape()
	n, tokens, dim := s[0], s[1], s[2]
	floats := make([][]float32, len(layers))
	for i, layer := range layers {
		floats[i] = layer.Value.Floats()
	}
	for i := range n {
		class := func(layer []float32) []float32 { return layer[i*tokens*dim:][:dim] }
		patches := floats[blocks-1][(i*tokens+1)*dim : (i+1)*tokens*dim]
		if o.Tokens != MeanToken && o.Tokens != PatchTokens {
			for _, layer := range floats {
				dst = append(dst, class(layer)...)
			}
		}
		switch o.Tokens {
		case PatchTokens:
			dst = append(dst, patches...)
		case ClassAndGeM:
			dst = append(dst, eval.GeM(patches, dim)...)
		case MeanToken, ClassAndMean:
			dst = append(dst, meanRow(patches, dim)...)
		}
	}
	return dst
}

// PixelFeatures are the raw pixels of every image at size×size, without any network: what a feature has to be better than.
func PixelFeatures(ctx context.Context, ds *dataset.Dataset, size int, o EvalOptions) (*FeatureSet, error) {
	pixels, indices, err := Pixels(ctx, ds, augment.Square(size), o)
	if err != nil {
		return nil, err
	}
	f := &FeatureSet{Features: eval.Features{Dim: 3 * size * size, Data: pixels}}
	f.add(ds, indices)
	return f, nil
}

// add notes which images the last rows are of.
func (f *FeatureSet) add(ds *dataset.Dataset, indices []int) {
	f.Index = append(f.Index, indices...)
	for _, i := range indices {
		f.Labels = append(f.Labels, ds.Label(i))
	}
}

// meanRow is the mean of rows of dim numbers.
func meanRow(rows []float32, dim int) []float32 {
	mean := make([]float32, dim)
	for j := range mean {
		var sum float64
		for at := j; at < len(rows); at += dim {
			sum += float64(rows[at])
		}
		mean[j] = float32(sum / float64(len(rows)/dim))
	}
	return mean
}
