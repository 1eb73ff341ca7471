package kernels

// SGDCoefficients are the numbers of one step of SGD with momentum, or of LARS, that are the same for every element.
type SGDCoefficients struct {
	LR        float32
	Momentum  float32
	Decay     float32 // weight decay, added to the gradient (coupled)
	GradScale float32 // multiplied to the gradient first: clipping
	Trust     float32 // multiplied to gradient and decay together: 1 for SGD, the trust ratio for LARS
}

// sgd is one step of SGD with momentum on parameters p with momentum buffer m and gradient g:
//
//	m[i]  = Momentum·m[i] + Trust·(GradScale·g[i] + Decay·p[i])
//	p[i] −= LR·m[i]
func sgd(p, m, g []float32, c SGDCoefficients) {
	for i := range p {
		m[i] = c.Momentum*m[i] + c.Trust*(c.GradScale*g[i]+c.Decay*p[i])
		p[i] -= c.LR * m[i]
	}
}
