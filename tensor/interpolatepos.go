package tensor

import (
	"math"

	"github.com/godino-ml/godino/kernels/cuda"
)

// PosMap is the linear map that resizes a square grid of position embeddings to another grid: every output is a weighted sum of inputs near it.
// It is fixed by the two sizes, so it is made once and used by every pass; it is read only.
type PosMap struct {
	Grid, Rows, Cols int     // from Grid×Grid to Rows×Cols
	forward          rowSums // by output position
	backward         rowSums // by input position: the transpose
}

// rowSums are weighted sums of rows, those of a sparse matrix: that of row r has the terms start[r] <= k < start[r+1].
type rowSums struct {
	start, index []int32
	weight       []float32

	starts, indices resident[int32] // on GPUs
	weights         resident[float32]
}

// at is the sums in the memory of d, a GPU.
func (s *rowSums) at(d *Device) cuda.RowSums {
	return cuda.RowSums{Start: s.starts.at(d, s.start), Index: s.indices.at(d, s.index), Weight: s.weights.at(d, s.weight)}
}

// addTo adds sum r of rows of x to row.
func (s *rowSums) addTo(row []float32, r int, x *Tensor) {
	d := len(row)
	for k := s.start[r]; k < s.start[r+1]; k++ {
		x.dev.kernels.AddScaled(row, x.data[int(s.index[k])*d:][:d], s.weight[k])
	}
}

// NewPosMap makes the map of a bicubic resize without antialias, as PyTorch's interpolate(mode="bicubic") with scale factors
// (rows+offset)/grid and (cols+offset)/grid: half-pixel centres, borders clamped, the cubic of Keys with a = −0.75.
//
// The reference implementation of DINO has offset 0.1, put there against a rounding error of the output size (its issue 8). The offset also
// enters the place of every sample, src = (dst + ½)·grid/(rows+offset) − ½, so released weights are only matched with it; offset 0 is the
// plain resize.
func NewPosMap(grid, rows, cols int, offset float64) *PosMap {
	if grid <= 0 || rows <= 0 || cols <= 0 || float64(min(rows, cols))+offset <= 0 {
		panic(&ShapeError{Op: "NewPosMap", Shapes: [][]int{{grid, grid}, {rows, cols}}, Want: "positive sizes"})
	}
	return newPosMap(grid, rows, cols, cubicTaps(grid, rows, offset), cubicTaps(grid, cols, offset))
}

// NewAntialiasPosMap is NewPosMap with antialias, as PyTorch's interpolate(mode="bicubic", antialias=True): the cubic has a = −0.5, is widened
// when the grid shrinks, and ends at the borders, where its weights are scaled to sum to 1. DINOv2's models with registers have offset 0 and
// this.
func NewAntialiasPosMap(grid, rows, cols int, offset float64) *PosMap {
	if grid <= 0 || rows <= 0 || cols <= 0 || float64(min(rows, cols))+offset <= 0 {
		panic(&ShapeError{Op: "NewAntialiasPosMap", Shapes: [][]int{{grid, grid}, {rows, cols}}, Want: "positive sizes"})
	}
	return newPosMap(grid, rows, cols, antialiasTaps(grid, rows, offset), antialiasTaps(grid, cols, offset))
}

func newPosMap(grid, rows, cols int, ys, xs []axisTaps) *PosMap {
	m := &PosMap{Grid: grid, Rows: rows, Cols: cols}
	forward, backward := make([]taps, 1+rows*cols), make([]taps, 1+grid*grid)
	// Row 0 is the class token's, which is copied.
	forward[0].add(0, 1)
	backward[0].add(0, 1)
	for i, y := range ys {
		for j, x := range xs {
			for u := range y.index {
				for v := range x.index {
					out, in := 1+i*cols+j, 1+y.index[u]*grid+x.index[v]
					w := float32(y.weight[u] * x.weight[v])
					forward[out].add(in, w)
					backward[in].add(out, w)
				}
			}
		}
	}
	m.forward.set(forward)
	m.backward.set(backward)
	return m
}

// taps are the terms of one weighted sum.
type taps struct {
	index  []int32
	weight []float32
}

func (t *taps) add(index int, weight float32) {
	t.index = append(t.index, int32(index))
	t.weight = append(t.weight, weight)
}

func (s *rowSums) set(list []taps) {
	s.start = []int32{0}
	for _, t := range list {
		s.index, s.weight = append(s.index, t.index...), append(s.weight, t.weight...)
		s.start = append(s.start, int32(len(s.index)))
	}
}

type axisTaps struct {
	index  []int
	weight []float64
}

func (t *axisTaps) add(index int, weight float64) {
	t.index = append(t.index, index)
	t.weight = append(t.weight, weight)
}

// cubic is the convolution kernel of Keys (1981) at distance x ≥ 0.
func cubic(x, a float64) float64 {
	switch {
	case x <= 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((a*x-5*a)*x+8*a)*x - 4*a
	}
	return 0
}

// cubicTaps are the four samples of each output along one axis.
func cubicTaps(grid, size int, offset float64) []axisTaps {
	const a = -0.75
	taps := make([]axisTaps, size)
	for i := range taps {
		src := (float64(i)+0.5)*float64(grid)/(float64(size)+offset) - 0.5
		floor := math.Floor(src)
		t := src - floor
		for k, x := range [4]float64{1 + t, t, 1 - t, 2 - t} {
			taps[i].add(min(max(int(floor)-1+k, 0), grid-1), cubic(x, a))
		}
	}
	return taps
}

// antialiasTaps are the samples of each output along one axis within the widened cubic.
func antialiasTaps(grid, size int, offset float64) []axisTaps {
	const a = -0.5
	scale := float64(grid) / (float64(size) + offset)
	wide := max(scale, 1)
	taps := make([]axisTaps, size)
	for i := range taps {
		center, total := scale*(float64(i)+0.5), 0.0
		for k := max(int(center-2*wide+0.5), 0); k < min(int(center+2*wide+0.5), grid); k++ {
			w := cubic(math.Abs(float64(k)-center+0.5)/wide, a)
			taps[i].add(k, w)
			total += w
		}
		for k := range taps[i].weight {
			taps[i].weight[k] /= total
		}
	}
	return taps
}

// InterpolatePosForward resizes a position embedding: y (1, Rows·Cols+1, D) from pos (1, Grid²+1, D). The first row, the class token's, is
// copied.
func InterpolatePosForward(y, pos *Tensor, m *PosMap) {
	checkInterpolatePos("InterpolatePosForward", y, pos, m)
	rows, d := y.Rows(), y.Cols()
	if g := y.dev.gpu; g != nil {
		g.InterpolatePos(y.f32(), pos.f32(), m.forward.at(y.dev), rows, d, false)
		return
	}
	y.dev.Run(rows, func(r, _ int) {
		row := y.data[r*d:][:d]
		clear(row)
		m.forward.addTo(row, r, pos)
	})
}

// InterpolatePosBackward adds to dpos (1, Grid²+1, D) the gradient of InterpolatePosForward for dy (1, Rows·Cols+1, D).
func InterpolatePosBackward(dpos, dy *Tensor, m *PosMap) {
	if dpos == nil {
		return
	}
	checkInterpolatePos("InterpolatePosBackward", dy, dpos, m)
	rows, d := dpos.Rows(), dy.Cols()
	if g := dy.dev.gpu; g != nil {
		g.InterpolatePos(dpos.f32(), dy.f32(), m.backward.at(dy.dev), rows, d, true)
		return
	}
	// A chunk is an input position, which gathers from the outputs it went to: no two chunks write the same row.
	dy.dev.Run(rows, func(r, _ int) { m.backward.addTo(dpos.data[r*d:][:d], r, dy) })
}

func checkInterpolatePos(op string, y, pos *Tensor, m *PosMap) {
	check(y.Rows() == m.Rows*m.Cols+1 && pos.Rows() == m.Grid*m.Grid+1 && y.Cols() == pos.Cols(), op,
		"y (1, rows·cols+1, D), pos (1, grid²+1, D) of the map's sizes", y, pos)
}
