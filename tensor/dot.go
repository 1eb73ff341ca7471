package tensor

import "github.com/godino-ml/godino/kernels/cuda"

// SumSquares is Σ x[i]²: chunks in float32 lanes, added in order in float64.
func SumSquares(x *Tensor) float64 {
	if g := x.dev.gpu; g != nil {
		return x.dev.number(func(s cuda.Ptr) { g.SumSquares(s, x.ptr, x.typ, x.n) })
	}
	return sumChunks(x, func(from, to int) float32 { return x.dev.kernels.SumSquares(x.data[from:to]) })
}

// SumSquaresOf writes SumSquares of every tensor of a list to sums, 0 for nil. They share the threads.
func SumSquaresOf(dev *Device, sums []float64, xs []*Tensor) {
	if len(sums) != len(xs) {
		panic(&ShapeError{Op: "SumSquaresOf", Shapes: [][]int{{len(sums)}, {len(xs)}}, Want: "as many sums as tensors"})
	}
	size := func(i int) int {
		if xs[i] == nil {
			return 0
		}
		return xs[i].Len()
	}
	if dev.gpu != nil {
		for i, x := range xs {
			sums[i] = 0
			if x != nil {
				sums[i] = SumSquares(x)
			}
		}
		return
	}
	chunks := 0
	for i := range xs {
		chunks += chunksOf(size(i))
	}
	partial := dev.scratch(chunks)
	dev.runLists(len(xs), size, func(chunk, i, from, to int) { partial[chunk] = dev.kernels.SumSquares(xs[i].data[from:to]) })
	rest := partial
	for i := range xs {
		sums[i] = 0
		n := chunksOf(size(i))
		for _, p := range rest[:n] {
			sums[i] += float64(p)
		}
		rest = rest[n:]
	}
	dev.release(partial)
}

// Dot is Σ x[i]·y[i], summed as SumSquares.
func Dot(x, y *Tensor) float64 {
	check(x.Len() == y.Len(), "Dot", "as many elements", x, y)
	if g := x.dev.gpu; g != nil {
		return x.dev.number(func(s cuda.Ptr) { g.Dot(s, x.ptr, y.at(x.typ), x.typ, x.n) })
	}
	return sumChunks(x, func(from, to int) float32 { return x.dev.kernels.Dot(x.data[from:to], y.data[from:to]) })
}

// Sum is Σ x[i], summed as SumSquares.
func Sum(x *Tensor) float64 {
	if g := x.dev.gpu; g != nil {
		return x.dev.number(func(s cuda.Ptr) { g.Sum(s, x.ptr, x.typ, 1, x.n) })
	}
	return sumChunks(x, func(from, to int) float32 { return x.dev.kernels.Sum(x.data[from:to]) })
}

// SumTo computes y = a·Σ x[i], added in order in float64: a loss from those of the rows. y (1), x of any shape.
func SumTo(y, x *Tensor, a float64) {
	check(y.Len() == 1, "SumTo", "y (1)", y, x)
	if g := x.dev.gpu; g != nil {
		y.written()
		g.Sum(y.f32(), x.ptr, x.typ, float32(a), x.n)
		return
	}
	var sum float64
	for _, v := range x.data {
		sum += float64(v)
	}
	y.data[0] = float32(a * sum)
}

// number is what f writes to the one float32 that it is given; it waits for the GPU.
func (d *Device) number(f func(s cuda.Ptr)) float64 {
	s := &Tensor{dev: d, n: 1, gpu: d.allocate(4)}
	f(s.ptr)
	return float64(s.Floats()[0])
}

// sumChunks adds f of every chunk of x, in order, in float64.
func sumChunks(x *Tensor, f func(from, to int) float32) float64 {
	partial := x.dev.scratch(chunksOf(x.Len()))
	x.dev.runElements(x.Len(), func(from, to int) { partial[from/chunkElements] = f(from, to) })
	var sum float64
	for _, p := range partial {
		sum += float64(p)
	}
	x.dev.release(partial)
	return sum
}
