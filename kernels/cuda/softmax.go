package cuda

// SoftmaxForward computes y = exp(x) / Σ exp(x) for rows (rows, n) of type t. y may be x. A row that holds NaN or +Inf, or −Inf alone, gives NaN.
func (d *Device) SoftmaxForward(y, x Ptr, t Type, rows, n int) {
	d.launch("softmax", "softmax_forward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(y), P(x), I(n))
}

// SoftmaxBackward computes dx from the gradient dy of the result y of SoftmaxForward, or adds it to dx.
func (d *Device) SoftmaxBackward(dx, dy, y Ptr, t Type, rows, n int, add bool) {
	d.launch("softmax", "softmax_backward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(dx), P(dy), P(y), I(n), Flag(add))
}

// LogSoftmaxForward computes y = x − log Σ exp(x), as SoftmaxForward.
func (d *Device) LogSoftmaxForward(y, x Ptr, t Type, rows, n int) {
	d.launch("softmax", "logsoftmax_forward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(y), P(x), I(n))
}

// LogSoftmaxBackward computes dx from the gradient dy of the result y of LogSoftmaxForward, or adds it to dx.
func (d *Device) LogSoftmaxBackward(dx, dy, y Ptr, t Type, rows, n int, add bool) {
	d.launch("softmax", "logsoftmax_backward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(dx), P(dy), P(y), I(n), Flag(add))
}
