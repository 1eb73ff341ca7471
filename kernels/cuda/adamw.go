package cuda

import (
	"encoding/binary"
	"math"
)

// AdamWCoefficients are the numbers of one step for one parameter: those of package kernels but for the gradient's scale. A parameter that is not Active takes
// no part in the step; its average follows it all the same.
type AdamWCoefficients struct {
	Decay, Beta1, Beta2, Rest1, Rest2, StepSize, InvSqrtBias, Eps, Momentum float32
	Active                                                                  bool
}

// AdamWCoefficientsSize is what Append appends, in bytes.
const AdamWCoefficientsSize = 40

// Append appends the numbers as the kernel reads them.
func (c *AdamWCoefficients) Append(b []byte) []byte {
	return appendCoefficients(b, c.Active, c.Decay, c.Beta1, c.Beta2, c.Rest1, c.Rest2, c.StepSize, c.InvSqrtBias, c.Eps, c.Momentum)
}

func appendCoefficients(b []byte, active bool, numbers ...float32) []byte {
	for _, x := range numbers {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return binary.LittleEndian.AppendUint32(b, uint32(Flag(active).bits))
}

// AdamW makes one step of all parameters, brings their averages up to date and writes the bf16 copies of both. On the GPU lie coefficients of every parameter,
// the scales of the gradients of those that are active (see Clip) and skip, a uint32: nothing happens unless it is 0.
func (d *Device) AdamW(p *Parameters, coefficients, scales, skip Ptr) {
	d.launch("adamw", "adamw", p.grid(), Dim{X: 256}, 0, P(p.list), P(p.chunks), P(coefficients), P(scales), P(skip))
}

// grid is a block a chunk.
func (p *Parameters) grid() Dim { return Dim{X: p.blocks} }
