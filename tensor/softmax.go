package tensor

// SoftmaxForward computes the softmax of x over its last dimension. y may be x. A row that holds NaN or +Inf, or −Inf alone, gives NaN.
func SoftmaxForward(y, x *Tensor) {
	check(SameShape(y, x), "SoftmaxForward", "y and x of the same shape", y, x)
	forRows(x, func(from, to int) {
		x.dev.kernels.SoftmaxForward(y.data[from:to], x.data[from:to], x.Cols(), 1)
	})
}

// CenteredSoftmaxForward computes the softmax of scale·(x − center) over the last dimension, for scale > 0: DINO's teacher. scale (1); center (K) is
// one row as long as x's last dimension. y may be x.
func CenteredSoftmaxForward(y, x, center, scale *Tensor) {
	check(SameShape(y, x) && center.Len() == x.Cols(), "CenteredSoftmaxForward", "y (…,K), x (…,K), center (K)", y, x, center)
	a := scale.scalar()
	forRows(x, func(from, to int) {
		x.dev.kernels.CenteredSoftmaxForward(y.data[from:to], x.data[from:to], center.data, a)
	})
}

// SoftmaxBackward computes the gradient dx of the input from the gradient dy of the output y, or adds it to dx.
func SoftmaxBackward(dx, dy, y *Tensor, add bool) {
	check(SameShape(dx, y) && SameShape(dy, y), "SoftmaxBackward", "dx, dy and y of the same shape", dx, dy, y)
	forRows(y, func(from, to int) {
		y.dev.kernels.SoftmaxBackward(dx.data[from:to], dy.data[from:to], y.data[from:to], y.Cols(), add)
	})
}

// LogSoftmaxForward computes the logarithm of the softmax of x over its last dimension. y may be x.
func LogSoftmaxForward(y, x *Tensor) {
	check(SameShape(y, x), "LogSoftmaxForward", "y and x of the same shape", y, x)
	forRows(x, func(from, to int) {
		x.dev.kernels.LogSoftmaxForward(y.data[from:to], x.data[from:to], x.Cols(), 1)
	})
}

// LogSoftmaxBackward computes the gradient dx of the input from the gradient dy of the output y, or adds it to dx.
func LogSoftmaxBackward(dx, dy, y *Tensor, add bool) {
	check(SameShape(dx, y) && SameShape(dy, y), "LogSoftmaxBackward", "dx, dy and y of the same shape", dx, dy, y)
	n := y.Cols()
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
