package tensor

import (
	"math"

	"github.com/godino-ml/godino/kernels"
)

// LARSTrust is the trust ratio of LARS (You, Gitman, Ginsburg 2017) for one parameter: eta·‖p‖/‖gradScale·g + decay·p‖, or 1 if either norm
// is 0. A step of LARS is SGD with that Trust.
func LARSTrust(p, g *Tensor, gradScale, decay, eta float32) float32 {
	check(g.Len() == p.Len(), "LARSTrust", "p and g of as many elements", p, g)
	update := sumChunks(p, func(from, to int) float32 {
		var s float64
		g := g.data[from:to]
		for i, v := range p.data[from:to] {
			u := gradScale*g[i] + decay*v
			s += float64(u) * float64(u)
		}
		return float32(s)
	})
	pp := SumSquares(p)
	if pp == 0 || update == 0 {
		return 1
	}
	return float32(float64(eta) * math.Sqrt(pp) / math.Sqrt(update))
}

// LARS is one step of LARS on the parameter p with momentum buffer m and gradient g: SGD whose Trust, which c need not set, is LARSTrust.
func LARS(p, m, g *Tensor, c kernels.SGDCoefficients, eta float32) {
	c.Trust = LARSTrust(p, g, c.GradScale, c.Decay, eta)
	SGD(p, m, g, c)
}
