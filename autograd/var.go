package autograd

import "github.com/godino-ml/godino/tensor"

// Var is a tensor on its way through a pass.
type Var struct {
	Value *tensor.Tensor
	// Grad is the gradient of the loss. Those that reach a parameter are added up until ZeroGrad; from then on it is nil until the next one. For an
	// input (NewInput) it is there after Backward until the tape's Reset. For the result of an operation it exists within Backward alone.
	Grad *tensor.Tensor

	needsGrad bool
	param     bool
	wide      bool           // the result of an operation that is float32 whatever the activations are
	kept      bool           // a backward reads Value
	done      bool           // see Tape.Done
	again     func()         // see Tape.recomputes
	room      room           // of the memory of Value and Grad
	shape     []int          // of the result of an operation, whose Value may be gone; nil for others
	cleared   *tensor.Tensor // the memory of a parameter's Grad since ZeroGrad
	loan      *loan          // nil unless Grad is lent by the arena of a tape
}

// room says that a Var has used of all samples: the memory that it and its like get is for all of them. The zero room is for no more than is used.
type room struct{ used, all int }

// loan counts the Vars that hold the same lent gradient: several may read it, but who adds to it needs it alone.
type loan struct{ holders int }

// NewParam makes a Var that outlives passes, with a gradient of zeros.
func NewParam(value *tensor.Tensor) *Var {
	v := &Var{Value: value, param: true}
	v.Unfreeze()
	return v
}

// NewConst makes a Var that needs no gradient.
func NewConst(value *tensor.Tensor) *Var { return &Var{Value: value} }

// NewInput makes a Var whose gradient is wanted although no operation produced it.
func NewInput(value *tensor.Tensor) *Var { return &Var{Value: value, needsGrad: true} }

// Shape is the Value's shape, which outlives it; it must not be modified.
func (v *Var) Shape() []int {
	if v.shape != nil {
		return v.shape
	}
	return v.Value.Shape()
}

// NeedsGrad says whether gradients reach the Var.
func (v *Var) NeedsGrad() bool { return v.needsGrad }

// ZeroGrad forgets a parameter's gradient: Grad is nil until the next gradient reaches it, which overwrites the memory of the last one. So
// nothing has to be cleared, and what no gradient reaches is left alone by optimizers.
func (v *Var) ZeroGrad() {
	if v.param && v.Grad != nil {
		v.Grad, v.cleared = nil, v.Grad
	}
}

// GradMemory is the memory that a parameter's gradients are written to, the same until it is frozen: Grad, or what Grad was before ZeroGrad. It is nil for
// one that is frozen.
func (v *Var) GradMemory() *tensor.Tensor {
	if v.Grad == nil {
		return v.cleared
	}
	return v.Grad
}

// Freeze makes the Var a constant for the passes that follow; a parameter gives up its gradient's memory, as a teacher's parameters do for
// good. Unfreeze undoes it.
func (v *Var) Freeze() {
	v.needsGrad = false
	v.Grad, v.cleared = nil, nil
}

// Unfreeze lets gradients reach the Var again. A parameter gets a gradient of zeros if it has none.
func (v *Var) Unfreeze() {
	v.needsGrad = true
	if v.param && v.Grad == nil && v.cleared == nil {
		v.Grad = tensor.New(v.Value.Device(), v.Value.Shape()...)
	}
}

// float32 says that the Var is float32 whatever the activations are.
func (v *Var) float32() bool {
	return v.wide || v.shape == nil && v.Value.IsFloat32()
}

// tensor is the Var's value, nil for a nil Var.
func (v *Var) tensor() *tensor.Tensor {
	if v == nil {
		return nil
	}
	return v.Value
}
