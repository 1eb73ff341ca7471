package eval

import (
	"fmt"
	"math"

	"github.com/godino-ml/godino/tensor"
)

// Propagation carries labels from frames of a video to the next one by the likeness of their patches (Jabri et al., arXiv:2006.14613, as
// DINO's evaluation has it): each patch of the new frame takes the mean label of the TopK patches most similar to it among all context frames,
// weighted by exp(cosine/Temperature). Patches more than Radius rows or columns away are not looked at; 0 looks everywhere.
type Propagation struct {
	Radius      int
	TopK        int
	Temperature float64
}

// PatchFrame is a frame of a video as a grid of patches.
type PatchFrame struct {
	Features []float32 // (N, D), L2-normalised
	Labels   []float32 // (N, C), how much of each patch is each class
}

// Propagate returns the labels (N, C) of the frame with the given features, N = rows·cols. Of several patches as similar as the TopK-th all
// count, as in the reference.
func (p Propagation) Propagate(dev *tensor.Device, features []float32, rows, cols int, context []PatchFrame) ([]float32, error) {
	dev = dev.Host() // features are in the program's memory
	n := rows * cols
	if n < 1 || len(features) == 0 || len(features)%n != 0 || len(context) == 0 {
		return nil, fmt.Errorf("propagation from %d frames to %d numbers on a grid of %d×%d patches", len(context), len(features), rows, cols)
	}
	if p.TopK < 1 || p.Radius < 0 || !(p.Temperature > 0) {
		return nil, fmt.Errorf("propagation with the %d nearest within %d at temperature %v", p.TopK, p.Radius, p.Temperature)
	}
	d, classes := len(features)/n, len(context[0].Labels)/n
	for i, f := range context {
		if len(f.Features) != n*d || len(f.Labels) != n*classes || classes == 0 {
			return nil, fmt.Errorf("context frame %d: %d features and %d labels for %d patches", i, len(f.Features), len(f.Labels), n)
		}
	}
	radius := p.Radius
	if radius == 0 {
		radius = max(rows, cols)
	}
	// Similarities of some rows of the new frame to the rows in reach of all context frames: 16 MB at most, unless a single row needs more.
	const most = 4 << 20
	step := max(1, min(rows, most/(cols*len(context)*cols*min(2*radius+1, rows))))
	reach := min(rows, step+2*radius)
	similarity := make([]float32, step*cols*len(context)*reach*cols)
	labels := make([]float32, n*classes)
	for top := 0; top < rows; top += step {
		bottom := min(top+step, rows)
		first, last := max(0, top-radius), min(rows, bottom+radius)
		sources := (last - first) * cols
		stride := sources * len(context)
		for i, f := range context {
			dev.Gemm(false, true, (bottom-top)*cols, sources, d, 1, features[top*cols*d:], d, f.Features[first*cols*d:], d, 0, similarity[i*sources:], stride)
		}
		dev.Run(bottom-top, func(chunk, _ int) {
			row := top + chunk
			nearest := make([]float32, p.TopK)
			for col := range cols {
				s := similarity[(chunk*cols+col)*stride:][:stride]
				w := window{max(0, row-radius) - first, min(rows, row+radius+1) - first, max(0, col-radius), min(cols, col+radius+1), cols, sources}
				p.mix(labels[(row*cols+col)*classes:][:classes], s, context, w, first*cols, nearest)
			}
		})
	}
	return labels, nil
}

// window is the patches in reach of one: rows top…bottom−1 and columns left…right−1 of the sources, cols a row.
type window struct{ top, bottom, left, right, cols, sources int }

// mix writes the weighted mean label of the patches most similar to one. similarity is (frames, sources); source 0 is patch offset of a frame.
func (p Propagation) mix(label []float32, similarity []float32, context []PatchFrame, w window, offset int, nearest []float32) {
	kept := nearest[:0] // the largest similarities, falling
	for i := range context {
		for y := w.top; y < w.bottom; y++ {
			for _, s := range similarity[i*w.sources+y*w.cols:][w.left:w.right] {
				if len(kept) == cap(nearest) {
					if !(s > kept[len(kept)-1]) {
						continue
					}
					kept = kept[:len(kept)-1]
				}
				at := len(kept)
				kept = append(kept, s)
				for ; at > 0 && kept[at-1] < s; at-- {
					kept[at] = kept[at-1]
				}
				kept[at] = s
			}
		}
	}
	least, most := kept[len(kept)-1], kept[0]
	var total float64
	sum := make([]float64, len(label))
	for i, f := range context {
		for y := w.top; y < w.bottom; y++ {
			for x, s := range similarity[i*w.sources+y*w.cols:][w.left:w.right] {
				if !(s >= least) {
					continue
				}
				weight := math.Exp(float64(s-most) / p.Temperature)
				total += weight
				for c, v := range f.Labels[(offset+y*w.cols+w.left+x)*len(label):][:len(label)] {
					sum[c] += weight * float64(v)
				}
			}
		}
	}
	for c, v := range sum {
		label[c] = float32(v / total)
	}
}
