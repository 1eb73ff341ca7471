package tensor

import "github.com/godino-ml/godino/kernels"

// AdamWStep is what one step of AdamW is about for one parameter: the parameter P, its moments M and V, its gradient G and, unless nil, a
// moving average T of the parameter; see kernels.AdamWCoefficients.
type AdamWStep struct {
	P, M, V, G, T *Tensor
	kernels.AdamWCoefficients
}

// AdamW makes the steps of many parameters. They share the threads: most parameters are too small for more than one.
func AdamW(dev *Device, steps []AdamWStep) {
	for _, s := range steps {
		n := s.P.Len()
		check(s.M.Len() == n && s.V.Len() == n && s.G.Len() == n && (s.T == nil || s.T.Len() == n), "AdamW", "P, M, V, G and T of as many elements", s.P, s.M, s.V, s.G, s.T)
	}
	dev.runLists(len(steps), func(i int) int { return steps[i].P.Len() }, func(_, i, from, to int) {
		s := &steps[i]
		var t []float32
		if s.T != nil {
			t = s.T.data[from:to]
		}
		dev.kernels.AdamW(s.P.data[from:to], s.M.data[from:to], s.V.data[from:to], s.G.data[from:to], t, s.AdamWCoefficients)
	})
}
