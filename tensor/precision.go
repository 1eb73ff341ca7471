package tensor

import (
	"fmt"

	"github.com/godino-ml/godino/kernels"
)

// Precision is the format of the numbers that a device multiplies in linear layers and attention. On a CPU tensors are float32 whatever it is, and
// so are sums and every other operation: the logits of prototypes too, whose step bf16 makes no faster. On a GPU it is also the format of
// activations and their gradients in memory, and every operation computes in float32 between reading and writing them.
type Precision int

const (
	// Float32 multiplies the elements as they are.
	Float32 Precision = iota
	// BF16 rounds them to bf16 first, float32 with 8 bits of significand: twice as fast on CPUs that have the instructions.
	BF16
	// TF32 rounds them to TF32, float32 with 11 bits of significand, on a GPU; in memory they are float32.
	TF32
)

var precisionNames = []string{Float32: "float32", BF16: "bf16", TF32: "tf32"}

func (p Precision) String() string { return precisionNames[p] }

// ParsePrecision reads a name as String writes it.
func ParsePrecision(name string) (Precision, error) {
	for p, n := range precisionNames {
		if n == name {
			return Precision(p), nil
		}
	}
	return 0, fmt.Errorf("precision is %q: it must be float32 or bf16, or tf32 on a GPU", name)
}

// Precision is that of the device's layers.
func (d *Device) Precision() Precision { return d.precision }

// Ceiling measures the most that one core's multiply-adds of the device's precision can do now, in GFLOP/s; see kernels.GemmKernel.Ceiling.
func (d *Device) Ceiling() float64 {
	if d.precision == BF16 {
		return d.kernels.GemmBF16.Ceiling()
	}
	return d.kernels.Ceiling()
}

// WithPrecision is a device of the same kernels and threads and of that precision. It refuses one that the kernels do not have, and says why.
func (d *Device) WithPrecision(p Precision) (*Device, error) {
	if p == d.precision {
		return d, nil
	}
	if d.gpu != nil {
		return &Device{gpu: d.gpu, trash: d.trash, kernels: d.kernels, pool: d.pool, precision: p}, nil
	}
	if p == TF32 {
		return nil, fmt.Errorf("precision tf32 is one of GPUs: choose float32 or bf16")
	}
	if p == BF16 && d.kernels.GemmBF16 == nil {
		return nil, fmt.Errorf("precision bf16 with %s", kernels.WhyNoBF16(d.kernels))
	}
	return &Device{kernels: d.kernels, pool: d.pool, precision: p}, nil
}
