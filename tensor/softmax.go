package tensor

// SoftmaxForward computes the softmax of x over its last dimension. y may be x. A row that holds NaN or +Inf, or −Inf alone, gives NaN.
func SoftmaxForward(y, x *Tensor) {
	check(SameShape(y, x), "SoftmaxForward", "y and x of the same shape", y, x)
	if g := x.dev.gpu; g != nil {
		g.SoftmaxForward(y.at(x.typ), x.ptr, x.typ, x.Rows(), x.Cols())
		return
	}
	forRows(x, func(from, to int) {
		x.dev.kernels.SoftmaxForward(y.data[from:to], x.data[from:to], x.Cols(), 1)
	})
}

// CenteredSoftmaxForward computes the softmax of scale·(x − center) over the last dimension, for scale > 0: DINO's teacher. scale (1); center (K) is
// one row as long as x's last dimension. y may be x. Of every row it also writes the entropy of y (see EntropyForward), and it sets that element of
// used (K) to 1 where the row has its largest, the first of several; it leaves the others. Either may be nil: not wanted.
func CenteredSoftmaxForward(y, x, center, scale, entropy, used *Tensor) {
	n := x.Cols()
	check(SameShape(y, x) && center.Len() == n && (entropy == nil || entropy.Len() == x.Rows()) && (used == nil || used.Len() == n), "CenteredSoftmaxForward",
		"y (…,K), x (…,K), center (K), entropy (rows), used (K)", y, x, center, entropy, used)
	if g := x.dev.gpu; g != nil {
		g.CenteredSoftmaxForward(y.at(x.typ), x.ptr, center.f32(), scale.f32(), entropy.f32(), 0, used.f32(), x.Rows(), n, x.typ)
		return
	}
	a := scale.scalar()
	forRows(x, func(from, to int) {
		x.dev.kernels.CenteredSoftmaxForward(y.data[from:to], x.data[from:to], center.data, a)
	})
	if entropy != nil {
		EntropyForward(entropy, y)
	}
	if used != nil {
		largest := make([]int, x.Rows())
		ArgMaxRows(largest, y)
		for _, k := range largest {
			used.data[k] = 1
		}
	}
}

// SoftmaxBackward computes the gradient dx of the input from the gradient dy of the output y, or adds it to dx.
func SoftmaxBackward(dx, dy, y *Tensor, add bool) {
	check(SameShape(dx, y) && SameShape(dy, y), "SoftmaxBackward", "dx, dy and y of the same shape", dx, dy, y)
	if g := y.dev.gpu; g != nil {
		g.SoftmaxBackward(dx.at(y.typ), dy.at(y.typ), y.ptr, y.typ, y.Rows(), y.Cols(), add)
		return
	}
	forRows(y, func(from, to int) {
		y.dev.kernels.SoftmaxBackward(dx.data[from:to], dy.data[from:to], y.data[from:to], y.Cols(), add)
	})
}

// LogSoftmaxForward computes the logarithm of the softmax of x over its last dimension. y may be x.
func LogSoftmaxForward(y, x *Tensor) {
	check(SameShape(y, x), "LogSoftmaxForward", "y and x of the same shape", y, x)
	if g := x.dev.gpu; g != nil {
		g.LogSoftmaxForward(y.at(x.typ), x.ptr, x.typ, x.Rows(), x.Cols())
		return
	}
	forRows(x, func(from, to int) {
		x.dev.kernels.LogSoftmaxForward(y.data[from:to], x.data[from:to], x.Cols(), 1)
	})
}

// LogSoftmaxBackward computes the gradient dx of the input from the gradient dy of the output y, or adds it to dx.
func LogSoftmaxBackward(dx, dy, y *Tensor, add bool) {
	check(SameShape(dx, y) && SameShape(dy, y), "LogSoftmaxBackward", "dx, dy and y of the same shape", dx, dy, y)
	n := y.Cols()
	if g := y.dev.gpu; g != nil {
		g.LogSoftmaxBackward(dx.at(y.typ), dy.at(y.typ), y.ptr, y.typ, y.Rows(), n, add)
		return
	}
	forRows(y, func(from, to int) {
		for ; from < to; from += n {
			y.dev.kernels.LogSoftmaxBackward(dx.data[from:from+n], dy.data[from:from+n], y.data[from:from+n], add)
		}
	})
}

// forRows calls f for ranges [from, to) of elements of whole rows of x, on the device's threads.
func forRows(x *Tensor, f func(from, to int)) {
	n := x.Cols()
	if n == 0 {
		return
	}
	x.dev.runRows(x.Rows(), n, func(from, to int) { f(from*n, to*n) })
}
