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
)

// FeatureOptions says how features are computed. The zero value is usable, but stops at the first image that cannot be read (MaxBad). The
// result depends on Tokens alone.
type FeatureOptions struct {
	Tokens   Tokens             // "" means ClassToken
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
	c := backbone.Config()
	size := transform.Size()
	if size < c.PatchSize {
		return nil, fmt.Errorf("pictures of %d px are smaller than the backbone's patches of %d px", size, c.PatchSize)
	}
	dim := c.Dim
	patches := (size / c.PatchSize) * (size / c.PatchSize)
	switch o.Tokens {
	case "", ClassToken, MeanToken:
	case PatchTokens:
		dim *= patches
	case ClassAndGeM:
		dim *= 2
	default:
		return nil, fmt.Errorf("tokens %q: there are cls, mean, patch and copy", o.Tokens)
	}
	tape := autograd.NewEvalTape(tensor.NewArena(dev))
	f := &FeatureSet{Features: eval.Features{Dim: dim, Data: make([]float32, 0, ds.Len()*dim)}}
	err := EvalBatches(ctx, ds, transform, o.EvalOptions, func(b EvalBatch) error {
		defer tape.Reset()
		n := len(b.Indices)
		x := autograd.NewConst(tensor.FromSlice(dev, b.Pixels, n, 3, size, size))
		if o.Tokens == "" || o.Tokens == ClassToken {
			f.Data = append(f.Data, backbone.Forward(tape, x, nil).Value.Data()...)
		} else {
			tokens := backbone.Tokens(tape, x, nil).Value.Data() // (n, 1+N, D)
			for i := range n {
				class := tokens[i*(1+patches)*c.Dim:][:c.Dim]
				of := tokens[(i*(1+patches)+1)*c.Dim : (i+1)*(1+patches)*c.Dim] // without the class token
				switch o.Tokens {
				case PatchTokens:
					f.Data = append(f.Data, of...)
				case ClassAndGeM:
					f.Data = append(append(f.Data, class...), eval.GeM(of, c.Dim)...)
				default:
					f.Data = append(f.Data, meanRow(of, c.Dim)...)
				}
			}
		}
		f.add(ds, b.Indices)
		if o.Progress != nil {
			o.Progress(b.Indices[n-1]+1, ds.Len())
		}
		return nil
	})
	return f, err
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
