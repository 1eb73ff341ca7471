package tensor

// SumSquares is Σ x[i]²: chunks in float32 lanes, added in order in float64.
func SumSquares(x *Tensor) float64 {
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
	return sumChunks(x, func(from, to int) float32 { return x.dev.kernels.Dot(x.data[from:to], y.data[from:to]) })
}

// Sum is Σ x[i], summed as SumSquares.
func Sum(x *Tensor) float64 {
	return sumChunks(x, func(from, to int) float32 { return x.dev.kernels.Sum(x.data[from:to]) })
}

// SumTo computes y = a·Σ x[i], added in order in float64: a loss from those of the rows. y (1), x of any shape.
func SumTo(y, x *Tensor, a float64) {
	check(y.Len() == 1, "SumTo", "y (1)", y, x)
	if x.dev.gpu != nil {
		panic(noKernel())
	}
	var sum float64
	for _, v := range x.data {
		sum += float64(v)
	}
	y.data[0] = float32(a * sum)
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
