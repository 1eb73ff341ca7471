package kernels

import "math"

// AdamWCoefficients are the numbers of one AdamW step that are the same for every element: the bias corrections are folded in.
type AdamWCoefficients struct {
	Decay       float32 // 1 − lr·weight decay, multiplied to the parameter first (decoupled decay)
	Beta1       float32
	Beta2       float32
	Rest1       float32 // 1 − β1 and 1 − β2, rounded once: 1 − Beta2 would carry the rounding of Beta2, 1e-5 of the difference
	Rest2       float32
	StepSize    float32 // lr / (1 − β1^t)
	InvSqrtBias float32 // 1 / √(1 − β2^t)
	Eps         float32
	GradScale   float32 // multiplied to the gradient first: clipping
	Momentum    float32 // of the moving average
}

// adamW is one step of AdamW (Loshchilov, Hutter 2019) on parameters p with moments m and v and gradient g. With g' = GradScale·g[i]:
//
//	m[i] = Beta1·m[i] + Rest1·g'
//	v[i] = Beta2·v[i] + Rest2·g'²
//	p[i] = Decay·p[i] − StepSize·m[i] / (√v[i]·InvSqrtBias + Eps)
//
// and, while p[i] is at hand, ema(t, p, Momentum) for a moving average t of the parameters. An empty t is not wanted.
func adamW(p, m, v, g, t []float32, c AdamWCoefficients) {
	for i := range p {
		gi := c.GradScale * g[i]
		mi := c.Beta1*m[i] + c.Rest1*gi
		vi := c.Beta2*v[i] + c.Rest2*gi*gi
		m[i], v[i] = mi, vi
		p[i] = c.Decay*p[i] - c.StepSize*mi/(float32(math.Sqrt(float64(vi)))*c.InvSqrtBias+c.Eps)
	}
	if len(t) > 0 {
		ema(t, p, c.Momentum)
	}
}
