package dino

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime/debug"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// Pictures gives f the pictures 0, …, n−1 in order, loaded by as many goroutines as workers, a few ahead. A picture that cannot be loaded
// comes with its error. Pictures stops with f's error or ctx's.
func Pictures(ctx context.Context, n, workers int, load func(i int) (*dataset.RGB, error), f func(i int, img *dataset.RGB, err error) error) error {
	type loaded struct {
		i   int
		img *dataset.RGB
		err error
	}
	at := 0
	next := func() (*loaded, int, bool) {
		if at == n {
			return nil, 0, false
		}
		at++
		return &loaded{i: at - 1}, 1, true
	}
	fill := func(_ *sampler, l *loaded, _ int) {
		defer func() {
			if p := recover(); p != nil {
				l.err = fmt.Errorf("loading picture %d: panic: %v\n%s", l.i, p, debug.Stack())
			}
		}()
		l.img, l.err = load(l.i)
	}
	workers = max(workers, 1)
	p := startPipeline(ctx, workers, workers+1, next, fill)
	defer p.running.Wait()
	defer p.stop()
	for {
		l, err := p.take(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(l.i, l.img, l.err); err != nil {
			return err
		}
	}
}

// Encoder runs a backbone on pictures of any size, one at a time. It belongs to one goroutine.
type Encoder struct {
	backbone *nn.VisionTransformer
	dev      *tensor.Device
	tape     *autograd.Tape
	pixels   []float32
}

// NewEncoder makes an encoder.
func NewEncoder(dev *tensor.Device, backbone *nn.VisionTransformer) *Encoder {
	return &Encoder{backbone: backbone, dev: dev, tape: autograd.NewEvalTape(tensor.NewArena(dev))}
}

// encoderMemory is what pictures of many sizes may leave behind in the arena, in bytes.
const encoderMemory = 1 << 30

// done ends the pass of a picture.
func (e *Encoder) done() {
	e.tape.Reset()
	if e.tape.Arena().Bytes() > encoderMemory {
		e.tape.Arena().Release()
	}
}

// load is a picture as planes (3, H, W) of (v/255 − mean)/std.
func (e *Encoder) load(img *dataset.RGB, mean, std [3]float32) {
	e.pixels = resized(e.pixels, 3*img.W*img.H)
	augment.Normalize(e.pixels, img, mean, std)
}

// PyramidScales are the sizes that the reference's multi-scale features are the mean of.
var PyramidScales = []float64{1, 1 / math.Sqrt2, 0.5}

// Pyramid is the mean of the class token over a picture at the given scales (bilinear, as PyTorch's interpolate with a scale factor), of
// length 1 where there are several scales. A scale at which no whole patch is left does not count. nil if there is none.
func (e *Encoder) Pyramid(img *dataset.RGB, scales []float64) []float32 {
	defer e.done()
	c := e.backbone.Config()
	sum := make([]float32, c.Dim)
	used := 0
	e.load(img, augment.ImageNetMean, augment.ImageNetStd)
	for _, scale := range scales {
		h, w := int(float64(img.H)*scale), int(float64(img.W)*scale)
		if h < c.PatchSize || w < c.PatchSize {
			continue
		}
		pixels := e.pixels
		if scale != 1 {
			pixels = make([]float32, 3*h*w)
			augment.Bilinear(pixels, e.pixels, 3, img.H, img.W, h, w, scale)
		}
		x := autograd.NewConst(e.tape.Arena().Of(pixels, 1, 3, h, w))
		for j, v := range e.backbone.Forward(e.tape, x, nil).Value.Floats() {
			sum[j] += v
		}
		used++
	}
	if used == 0 {
		return nil
	}
	if len(scales) > 1 {
		normalizeRows(sum, c.Dim)
	}
	return sum
}

// Patches are the patch tokens of a picture, L2-normalised: (rows·cols, D).
func (e *Encoder) Patches(img *dataset.RGB, mean, std [3]float32) (features []float32, rows, cols int) {
	defer e.done()
	c := e.backbone.Config()
	e.load(img, mean, std)
	x := autograd.NewConst(e.tape.Arena().Of(e.pixels, 1, 3, img.H, img.W))
	tokens := e.backbone.Tokens(e.tape, x, nil).Value.Floats() // (1, 1+N, D)
	features = append([]float32(nil), tokens[c.Dim:]...)
	normalizeRows(features, c.Dim)
	return features, img.H / c.PatchSize, img.W / c.PatchSize
}

// Attention is what the class token looks at in the last block: a row of patches for each head.
func (e *Encoder) Attention(img *dataset.RGB) [][]float32 {
	defer e.done()
	e.load(img, augment.ImageNetMean, augment.ImageNetStd)
	x := autograd.NewConst(e.tape.Arena().Of(e.pixels, 1, 3, img.H, img.W))
	weights := e.backbone.LastSelfAttention(e.tape, x) // (1, heads, tokens, tokens)
	heads, tokens := weights.Dim(1), weights.Dim(3)
	rows, all := make([][]float32, heads), weights.Floats()
	for h := range rows {
		first := all[h*tokens*tokens:][:tokens] // of the class token
		rows[h] = append([]float32(nil), first[1:]...)
	}
	return rows
}

// normalizeRows divides rows of dim numbers by their length; a row of zeros stays.
func normalizeRows(x []float32, dim int) {
	for at := 0; at < len(x); at += dim {
		row := x[at : at+dim]
		var sum float64
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		if sum == 0 {
			continue
		}
		scale := float32(1 / math.Sqrt(sum))
		for j := range row {
			row[j] *= scale
		}
	}
}

// PyramidOptions says how pictures for retrieval are prepared.
type PyramidOptions struct {
	Scales   []float64 // nil means 1 alone
	Workers  int
	Progress func(done, of int)
	OnBad    func(i int, err error) // a picture that has no feature
}

// PyramidFeatures are the features of n pictures, one at a time, each at its own size. Index says which pictures they are of: those that
// cannot be loaded, or are smaller than a patch, have none.
func PyramidFeatures(ctx context.Context, dev *tensor.Device, backbone *nn.VisionTransformer, n int, load func(i int) (*dataset.RGB, error), o PyramidOptions) (*FeatureSet, error) {
	if o.Scales == nil {
		o.Scales = PyramidScales[:1]
	}
	e := NewEncoder(dev, backbone)
	f := &FeatureSet{Features: eval.Features{Dim: backbone.Config().Dim}}
	err := Pictures(ctx, n, o.Workers, load, func(i int, img *dataset.RGB, err error) error {
		var feature []float32
		if err == nil {
			feature = e.Pyramid(img, o.Scales)
			if err := dev.Err(); err != nil {
				return err
			}
			if feature == nil {
				err = fmt.Errorf("picture %d: %d×%d pixels are less than a patch of %d", i, img.W, img.H, backbone.Config().PatchSize)
			}
		}
		if err != nil {
			if o.OnBad != nil {
				o.OnBad(i, err)
			}
		} else {
			f.Data = append(f.Data, feature...)
			f.Index = append(f.Index, i)
		}
		if o.Progress != nil {
			o.Progress(i+1, n)
		}
		return nil
	})
	return f, err
}
