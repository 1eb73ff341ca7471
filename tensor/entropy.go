package tensor

import "math"

// EntropyForward computes h[r] = −Σ_k p[r,k]·ln p[r,k], in nats, of rows of probabilities p (R, K); h (R).
func EntropyForward(h, p *Tensor) {
	check(h.Len() == p.Rows(), "EntropyForward", "h (R), p (R,K)", h, p)
	n := p.Cols()
	if g := p.dev.gpu; g != nil {
		g.EntropyForward(h.f32(), p.ptr, p.typ, p.Rows(), n)
		return
	}
	p.dev.runRows(p.Rows(), n, func(from, to int) {
		for r := from; r < to; r++ {
			var sum float64
			for _, v := range p.data[r*n : (r+1)*n] {
				if v > 0 { // p·ln p → 0; log(0) would make it NaN
					sum -= float64(v) * math.Log(float64(v))
				}
			}
			h.data[r] = float32(sum)
		}
	})
}
