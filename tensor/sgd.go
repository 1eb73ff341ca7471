package tensor

import "github.com/godino-ml/godino/kernels"

// SGD is one step of SGD with momentum on the parameter p with momentum buffer m and gradient g, as PyTorch's with dampening 0; see
// kernels.SGDCoefficients. A buffer of zeros before the first step gives PyTorch's first step.
func SGD(p, m, g *Tensor, c kernels.SGDCoefficients) {
	check(m.Len() == p.Len() && g.Len() == p.Len(), "SGD", "p, m and g of as many elements", p, m, g)
	p.dev.runElements(p.Len(), func(from, to int) {
		p.dev.kernels.SGD(p.data[from:to], m.data[from:to], g.data[from:to], c)
	})
}
