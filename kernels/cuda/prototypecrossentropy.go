package cuda

// PrototypeCrossEntropy is the cross-entropy with soft targets of rows of logits: of R rows of N logits and T rows of N targets; both bf16, both
// float32, or bf16 with targets of float32. Row r is compared with the targets index[start[r]] … index[start[r+1]−1], which may be none; Start (R+1) and
// Index are int32.
type PrototypeCrossEntropy struct {
	R, T, N              int
	Type, TypeTarget     Type // of Logits and Target
	Logits, Target       Ptr
	Start, Index         Ptr
	Scale                float32 // above 0, multiplied to the logits
	Loss, LSE, TargetSum Ptr     // float32 (R), (R), (T); see Forward
}

// PrototypeCrossEntropyForward computes of every target its sum TargetSum, and of every row, with y = Scale·logits, the logarithm LSE of Σ exp y and
//
//	Loss = −Σ_i Σ_k target[i,k]·(y[k] − LSE)
func (d *Device) PrototypeCrossEntropyForward(c *PrototypeCrossEntropy) {
	d.launch("prototypecrossentropy", "prototypecrossentropy_targets_"+c.TypeTarget.String(), Dim{X: c.T}, rowThreads(c.N), 0,
		P(c.TargetSum), P(c.Target), I(c.N))
	d.launch("prototypecrossentropy", "prototypecrossentropy_forward_"+c.types(), Dim{X: c.R}, rowThreads(min(c.N, 2048)), 0,
		P(c.Loss), P(c.LSE), P(c.Logits), P(c.Target), P(c.TargetSum), P(c.Start), P(c.Index), I(c.N), F(c.Scale))
}

// PrototypeCrossEntropyBackward computes the gradient of weight·dloss·Σ Loss by the logits, from the LSE and TargetSum of the forward. dlogits may be the logits; dloss
// is one float32, or 0: 1.
func (d *Device) PrototypeCrossEntropyBackward(c *PrototypeCrossEntropy, dlogits, dloss Ptr, weight float32) {
	block := rowThreads(min(c.N, 2048))
	d.launch("prototypecrossentropy", "prototypecrossentropy_backward_"+c.types(), Dim{X: ceilDiv(c.N, 8*block.X), Y: c.R}, block, 0,
		P(dlogits), P(c.Logits), P(c.Target), P(c.LSE), P(c.TargetSum), P(c.Start), P(c.Index), P(dloss), I(c.N), F(c.Scale), F(weight))
}

// types is the suffix of the kernels.
func (c *PrototypeCrossEntropy) types() string { return c.Type.String() + "_" + c.TypeTarget.String() }
