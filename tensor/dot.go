package tensor

// SumSquares is Σ x[i]²: chunks in float32 lanes, added in order in float64.
func SumSquares(x *Tensor) float64 {
	return sumChunks(x, func(from, to int) float32 { return x.dev.kernels.SumSquares(x.data[from:to]) })
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

// sumChunks adds f of every chunk of x, in order, in float64.
func sumChunks(x *Tensor, f func(from, to int) float32) float64 {
	chunks := (x.Len() + chunkElements - 1) / chunkElements
	partial := x.dev.scratch(chunks)
	x.dev.runElements(x.Len(), func(from, to int) { partial[from/chunkElements] = f(from, to) })
	var sum float64
	for _, p := range partial {
		sum += float64(p)
	}
	x.dev.release(partial)
	return sum
}
