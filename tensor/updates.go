package tensor

import (
	"slices"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
)

// Updates are parameters that an optimizer changes on a GPU all in one launch, with their moving averages and the copies that products read. The CPU's
// way is AdamW, SGD, LARS and EMA.
//
// What is decided on the CPU (Set, SetAdamW, SetSGD) is apart from what is launched (Clip, AdamW, SGD), so that launches can be recorded.
type Updates struct {
	dev          *Device
	list         []Update
	table        *cuda.Parameters
	copies       []cuda.Ptr // in bf16, of P and T of each, as the table has them
	coefficients gpu
	bytes        []byte
	trust        *Tensor // of LARS
	none         *Tensor // a skip that is none
}

// Update is one parameter P of Updates: moments M and V, gradient G, moving average T. Those that it has not are nil: a frozen parameter has P and T
// alone, SGD no V.
type Update struct{ P, M, V, G, T *Tensor }

// NewUpdates makes Updates of no parameters.
func NewUpdates(dev *Device) *Updates { return &Updates{dev: dev, none: New(dev, 1)} }

// Set says which parameters there are and brings their copies in bf16 up to date. It tells whether what was launched before, and recorded, is of no use
// any more.
func (u *Updates) Set(list []Update) (changed bool) {
	copies := make([]cuda.Ptr, 0, 2*len(list))
	for _, p := range list {
		n := p.P.Len()
		for _, t := range [...]*Tensor{p.P, p.M, p.V, p.G, p.T} {
			check(t == nil || t.Len() == n, "Updates.Set", "P, M, V, G and T of as many elements", p.P, p.M, p.V, p.G, p.T)
		}
		copies = append(copies, p.P.copied(), p.T.copied())
	}
	if u.table != nil && slices.Equal(u.list, list) && slices.Equal(u.copies, copies) {
		return false
	}
	u.list, u.copies = slices.Clone(list), copies
	table := make([]cuda.Parameter, len(list))
	for i, p := range list {
		table[i] = cuda.Parameter{N: p.P.Len(), P: p.P.f32(), M: p.M.f32(), V: p.V.f32(), G: p.G.f32(), T: p.T.f32(), P16: copies[2*i], T16: copies[2*i+1]}
	}
	// The old table stays: a recording may read it.
	u.table = u.dev.gpu.NewParameters(table)
	u.trust = New(u.dev, len(list))
	return true
}

// copied is the address of t's copy in bf16, brought up to date; 0 if there is none.
func (t *Tensor) copied() cuda.Ptr {
	if t == nil || t.mem.half == nil {
		return 0
	}
	return t.half()
}

// Clip measures the gradients: norms (one a parameter), and total (1), the norm of all together; scales (one a parameter), what the first optimizer
// multiplies each with so that its norm is at most most, 0 for no limit; and skip (1), which is of zero bits if total and loss (1, or nil) are finite.
func (u *Updates) Clip(norms, scales, total, skip, loss *Tensor, most float32) {
	n := len(u.list)
	check(norms.Len() == n && scales.Len() == n && total.Len() == 1 && skip.Len() == 1 && (loss == nil || loss.Len() == 1), "Updates.Clip",
		"norms and scales of as many elements as there are parameters, total, skip and loss (1)", norms, scales, total, skip, loss)
	u.dev.gpu.Clip(norms.f32(), scales.f32(), total.f32(), skip.f32(), loss.f32(), u.table, most)
}

// AdamWUpdate are the coefficients of one parameter's next step of AdamW. One that is not Active takes no part in it, but its average follows.
type AdamWUpdate struct {
	kernels.AdamWCoefficients // GradScale is Clip's
	Active                    bool
}

// SetAdamW sets the coefficients of every parameter.
func (u *Updates) SetAdamW(list []AdamWUpdate) {
	u.bytes = u.bytes[:0]
	for _, c := range list {
		u.bytes = (&cuda.AdamWCoefficients{Decay: c.Decay, Beta1: c.Beta1, Beta2: c.Beta2, Rest1: c.Rest1, Rest2: c.Rest2, StepSize: c.StepSize,
			InvSqrtBias: c.InvSqrtBias, Eps: c.Eps, Momentum: c.Momentum, Active: c.Active}).Append(u.bytes)
	}
	u.send(len(list))
}

// SGDUpdate are the coefficients of one parameter's next step of SGD or, with an Eta, LARS.
type SGDUpdate struct {
	kernels.SGDCoefficients         // GradScale is Clip's, Trust is computed
	Eta                     float32 // of LARSTrust; 0 for a trust of 1
	Average                 float32 // momentum of the moving average
	Active                  bool
}

// SetSGD sets the coefficients of every parameter.
func (u *Updates) SetSGD(list []SGDUpdate) {
	u.bytes = u.bytes[:0]
	for _, c := range list {
		u.bytes = (&cuda.SGDCoefficients{LR: c.LR, Momentum: c.Momentum, Decay: c.Decay, Eta: c.Eta, Average: c.Average, Active: c.Active}).Append(u.bytes)
	}
	u.send(len(list))
}

// send brings the coefficients to the GPU.
func (u *Updates) send(n int) {
	check(n == len(u.list), "Updates", "coefficients of every parameter")
	if u.coefficients.mem == nil || u.coefficients.mem.bytes != len(u.bytes) {
		u.coefficients = u.dev.allocate(len(u.bytes))
	}
	u.dev.gpu.Upload(u.coefficients.ptr, u.bytes)
}

// AdamW makes the step, unless skip (1) has a bit that is not zero; a nil skip has none. scales are Clip's.
func (u *Updates) AdamW(scales, skip *Tensor) {
	u.dev.gpu.AdamW(u.table, u.coefficients.ptr, scales.f32(), u.skip(skip))
	u.written()
}

// SGD makes the step as AdamW does.
func (u *Updates) SGD(scales, skip *Tensor) {
	u.dev.gpu.SGD(u.table, u.coefficients.ptr, scales.f32(), 0, u.skip(skip))
	u.written()
}

// LARS is SGD with trust ratios.
func (u *Updates) LARS(scales, skip *Tensor) {
	u.dev.gpu.LARSTrust(u.trust.f32(), u.table, u.coefficients.ptr, scales.f32())
	u.dev.gpu.SGD(u.table, u.coefficients.ptr, scales.f32(), u.trust.f32(), u.skip(skip))
	u.written()
}

// written says so of what has a copy in bf16 that the table does not know: one that was made since Set, as by the first pass.
func (u *Updates) written() {
	for i, p := range u.list {
		if u.copies[2*i] == 0 {
			p.P.written()
		}
		if u.copies[2*i+1] == 0 && p.T != nil {
			p.T.written()
		}
	}
}

func (u *Updates) skip(skip *Tensor) cuda.Ptr {
	if skip == nil {
		skip = u.none
	}
	return skip.f32()
}
