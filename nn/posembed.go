package nn

import (
	"sync"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/tensor"
)

// posEmbed is the position embedding of a square grid of patches, resized to those of other images. It may be used by several passes at once.
type posEmbed struct {
	param  Param // (1, grid²+1, D), the class token's first
	grid   int
	offset float64

	antialias bool

	mu   sync.Mutex
	maps map[[2]int]*tensor.PosMap // by rows and columns
}

// forward is the embedding for images of h×w pixels, rows×cols patches: (1, rows·cols+1, D), and whether the tape has made it.
//
// The reference resizes unless the image is square and has as many patches as the stored grid. So a 224×228 image at patch 16 has the stored
// 14×14 patches and is resized all the same, which the offset (tensor.NewPosMap) makes visible.
func (p *posEmbed) forward(t *autograd.Tape, h, w, rows, cols int) (y *autograd.Var, made bool) {
	if h == w && rows*cols == p.grid*p.grid {
		return p.param.Var, false
	}
	p.mu.Lock()
	m := p.maps[[2]int{rows, cols}]
	if m == nil {
		if p.antialias {
			m = tensor.NewAntialiasPosMap(p.grid, rows, cols, p.offset)
		} else {
			m = tensor.NewPosMap(p.grid, rows, cols, p.offset)
		}
		if p.maps == nil {
			p.maps = map[[2]int]*tensor.PosMap{}
		}
		p.maps[[2]int{rows, cols}] = m
	}
	p.mu.Unlock()
	return t.InterpolatePos(p.param.Var, m), true
}
