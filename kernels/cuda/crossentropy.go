package cuda

// CrossEntropyForward computes loss (rows), float32, and logp, the log-softmax of logits (rows, n), which may be logits itself, for labels (rows), int32, from 0
// to n−1.
func (d *Device) CrossEntropyForward(loss, logp, logits Ptr, t Type, labels Ptr, smoothing float32, rows, n int) {
	d.launch("crossentropy", "crossentropy_forward_"+t.String(), Dim{X: rows}, rowThreads(n), 0, P(loss), P(logp), P(logits), P(labels), F(smoothing), I(n))
}

// CrossEntropyBackward computes dlogits = weight·dloss·(exp(logp) − target), or adds it to dlogits. dloss is one float32; 0 is 1.
func (d *Device) CrossEntropyBackward(dlogits, logp Ptr, t Type, labels Ptr, smoothing, weight float32, dloss Ptr, rows, n int, add bool) {
	d.launch("crossentropy", "crossentropy_backward_"+t.String(), Dim{X: rows}, rowThreads(n), 0,
		P(dlogits), P(logp), P(labels), F(smoothing), F(weight), P(dloss), I(n), Flag(add))
}
