package tensor

import "github.com/godino-ml/godino/kernels"

// AdamW is one step of AdamW on the parameter p with moments m and v and gradient g; see kernels.AdamWCoefficients.
func AdamW(p, m, v, g *Tensor, c kernels.AdamWCoefficients) {
	check(m.Len() == p.Len() && v.Len() == p.Len() && g.Len() == p.Len(), "AdamW", "p, m, v and g of as many elements", p, m, v, g)
	p.dev.runElements(p.Len(), func(from, to int) {
		p.dev.kernels.AdamW(p.data[from:to], m.data[from:to], v.data[from:to], g.data[from:to], c)
	})
}
