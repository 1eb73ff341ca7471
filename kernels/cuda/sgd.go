package cuda

// SGDCoefficients are the numbers of one step of SGD, or of LARS, for one parameter: those of package kernels but for the gradient's scale and the trust ratio,
// which LARSTrust computes where Eta is above 0 and which is 1 elsewhere; and the moving average's momentum. A parameter that is not Active takes no part in
// the step; its average follows it all the same.
type SGDCoefficients struct {
	LR, Momentum, Decay, Eta, Average float32
	Active                            bool
}

// SGDCoefficientsSize is what Append appends, in bytes.
const SGDCoefficientsSize = 24

// Append appends the numbers as the kernels read them.
func (c *SGDCoefficients) Append(b []byte) []byte {
	return appendCoefficients(b, c.Active, c.LR, c.Momentum, c.Decay, c.Eta, c.Average)
}

// SGD makes one step of all parameters, as AdamW does. trust (one float32 a parameter) may be 0: all are 1.
func (d *Device) SGD(p *Parameters, coefficients, scales, trust, skip Ptr) {
	d.launch("sgd", "sgd", p.grid(), Dim{X: 256}, 0, P(p.list), P(p.chunks), P(coefficients), P(scales), P(trust), P(skip))
}

// LARSTrust computes the trust ratio eta·‖p‖/‖scale·g + decay·p‖ of every parameter.
func (d *Device) LARSTrust(trust Ptr, p *Parameters, coefficients, scales Ptr) {
	sums := d.workspace(8 * p.blocks)
	d.launch("sgd", "lars_sums", p.grid(), Dim{X: 256}, 0, P(sums), P(p.list), P(p.chunks), P(coefficients), P(scales))
	d.launch("sgd", "lars_trust", warps(p.Count), Dim{X: 256}, 0, P(trust), P(sums), P(p.list), P(coefficients), I(p.Count))
}
