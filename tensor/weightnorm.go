package tensor

// WeightNormForward computes w[i] = g[i]·v[i]/‖v[i]‖ for every row i (Salimans, Kingma 2016). w, v (K, D); g (K, 1); norm (K) gets ‖v[i]‖ for
// the backward and may be nil.
func WeightNormForward(w, norm, v, g *Tensor) {
	rows, n := v.Rows(), v.Cols()
	check(SameShape(w, v) && g.Len() == rows && (norm == nil || norm.Len() == rows), "WeightNormForward", "w (K,D), norm (K), v (K,D), g (K,1)", w, norm, v, g)
	v.dev.runRows(rows, n, func(from, to int) {
		for r := from; r < to; r++ {
			l := v.dev.kernels.WeightNormForward(w.data[r*n:(r+1)*n], v.data[r*n:(r+1)*n], g.data[r])
			if norm != nil {
				norm.data[r] = l
			}
		}
	})
}

// WeightNormBackward adds to dv and dg the gradients of v and g from the gradient dw of w. Either may be nil: not wanted.
func WeightNormBackward(dv, dg, dw, v, g, norm *Tensor) {
	rows, n := v.Rows(), v.Cols()
	check(SameShape(dw, v) && g.Len() == rows && norm.Len() == rows && (dv == nil || SameShape(dv, v)) && (dg == nil || dg.Len() == rows),
		"WeightNormBackward", "dv (K,D), dg (K,1), dw (K,D), v (K,D), g (K,1), norm (K)", dv, dg, dw, v, g, norm)
	v.dev.runRows(rows, n, func(from, to int) {
		for r := from; r < to; r++ {
			var dvRow []float32
			if dv != nil {
				dvRow = dv.data[r*n : (r+1)*n]
			}
			d := v.dev.kernels.WeightNormBackward(dvRow, dw.data[r*n:(r+1)*n], v.data[r*n:(r+1)*n], g.data[r], norm.data[r])
			if dg != nil {
				dg.data[r] += d
			}
		}
	})
}
