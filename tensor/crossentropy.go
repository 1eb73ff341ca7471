package tensor

import "math"

// CrossEntropyForward computes loss[r] = −Σ_k t[r,k]·logp[r,k] of logits (R, C) and classes labels (R), and logp, their log-softmax, which may be
// logits itself. t is 1 for the label and 0 for the others, with smoothing s (Szegedy et al. 2016): (1−s)·t + s/C.
//
//	loss   (R)
//	logp   (R, C)
//	logits (R, C)
//
// It panics on a label outside 0..C−1.
func CrossEntropyForward(loss, logp, logits *Tensor, labels []int, smoothing float64) {
	n := logits.Cols()
	check(loss.Len() == logits.Rows() && len(labels) == logits.Rows() && SameShape(logp, logits), "CrossEntropyForward",
		"loss (R), logp (R,C), logits (R,C), R labels", loss, logp, logits)
	checkLabels("CrossEntropyForward", labels, n, logits)
	if g := logits.dev.gpu; g != nil {
		g.CrossEntropyForward(loss.f32(), logp.at(logits.typ), logits.ptr, logits.typ, logits.dev.indices(labels), float32(smoothing), len(labels), n)
		return
	}
	LogSoftmaxForward(logp, logits)
	rest := smoothing / float64(n)
	logp.dev.runRows(len(labels), n, func(from, to int) {
		for r := from; r < to; r++ {
			row := logp.data[r*n : (r+1)*n]
			sum := -(1 - smoothing) * float64(row[labels[r]])
			if smoothing > 0 { // else 0·−∞ of a class that is out of reach would make it NaN
				for _, v := range row {
					sum -= rest * float64(v)
				}
			}
			loss.data[r] = float32(sum)
		}
	})
}

// CrossEntropyBackward computes dlogits = weight·dloss·(exp(logp) − t), or adds it to dlogits: the gradient of weight·dloss·Σ loss. dloss (1);
// nil is 1.
func CrossEntropyBackward(dlogits, logp *Tensor, labels []int, smoothing, weight float64, dloss *Tensor, add bool) {
	n := logp.Cols()
	check(SameShape(dlogits, logp) && len(labels) == logp.Rows(), "CrossEntropyBackward", "dlogits (R,C), logp (R,C), R labels", dlogits, logp)
	checkLabels("CrossEntropyBackward", labels, n, logp)
	if g := logp.dev.gpu; g != nil {
		g.CrossEntropyBackward(dlogits.at(logp.typ), logp.ptr, logp.typ, logp.dev.indices(labels), float32(smoothing), float32(weight), dloss.f32(), len(labels), n, add)
		return
	}
	rest := smoothing / float64(n)
	weight *= float64(dloss.scalar())
	logp.dev.runRows(len(labels), n, func(from, to int) {
		for r := from; r < to; r++ {
			d := dlogits.data[r*n : (r+1)*n]
			clearUnless(add, d)
			for k, v := range logp.data[r*n : (r+1)*n] {
				t := rest
				if k == labels[r] {
					t += 1 - smoothing
				}
				d[k] += float32(weight * (math.Exp(float64(v)) - t))
			}
		}
	})
}

func checkLabels(op string, labels []int, classes int, x *Tensor) {
	for _, l := range labels {
		check(l >= 0 && l < classes, op, "labels from 0 to C−1", x)
	}
}
