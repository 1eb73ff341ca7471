package kernels

// Table is one kernel for every operation. Its entries are never nil, but for those in bf16: a table starts as a copy of Reference, and lines are overridden by
// what a CPU does faster. What an entry computes is written at the reference function of the same name.
type Table struct {
	Name string // reference, avx2 or avx512

	Gemm     GemmKernel  // gemm.go
	GemmBF16 *GemmKernel // gemmbf16.go; nil where the CPU has no instructions for it

	// Attention: one head a call.
	AttentionForward  func(y []float32, ldy int, lse []float32, h AttentionHead, work []float32)                           // attention.go
	AttentionBackward func(dq, dk, dv, dy, y []float32, ldy int, lse []float32, h AttentionHead, add bool, work []float32) // attention.go
	AttentionWeights  func(p []float32, h AttentionHead, work []float32)                                                   // attention.go

	// Attention with products in bf16: nil where GemmBF16 is.
	AttentionForwardBF16  func(y []float32, ldy int, lse []float32, h AttentionHead, work []float32)                           // attentionbf16.go
	AttentionBackwardBF16 func(dq, dk, dv, dy, y []float32, ldy int, lse []float32, h AttentionHead, add bool, work []float32) // attentionbf16.go

	// Rows and elements: one row, several of softmax and layer norm, or any number of elements, a call. Backwards with add add to dx, others overwrite it;
	// those without a choice add.
	GELUForward              func(y, x []float32)                                                            // gelu.go
	GELUBackward             func(dx, dy, x []float32, add bool)                                             // gelu.go
	GELUAndDerivative        func(y, dydx, x []float32)                                                      // gelu.go
	ExpShift                 func(y, x []float32, scale, shift float32)                                      // exp.go
	LogSumExp                func(lse, x []float32, scale float32)                                           // softmax.go
	SoftmaxForward           func(y, x []float32, n int, scale float32)                                      // softmax.go
	CenteredSoftmaxForward   func(y, x, center []float32, scale float32)                                     // softmax.go
	SoftmaxBackward          func(dx, dy, y []float32, n int, add bool)                                      // softmax.go
	LogSoftmaxForward        func(y, x []float32, n int, scale float32)                                      // softmax.go
	LogSoftmaxBackward       func(dx, dy, y []float32, add bool)                                             // softmax.go
	LayerNormForward         func(y, x, weight, bias, mean, rstd []float32, eps float32)                     // layernorm.go
	LayerNormBackward        func(dx, dweight, dbias, dy, x, weight, mean, rstd []float32, add bool)         // layernorm.go
	L2NormalizeForward       func(y, x []float32, eps float32) (norm float32)                                // l2normalize.go
	L2NormalizeBackward      func(dx, dy, y []float32, norm float32, add bool)                               // l2normalize.go
	WeightNormForward        func(w, v []float32, g float32) (norm float32)                                  // weightnorm.go
	WeightNormBackward       func(dv, dw, v []float32, g, norm float32) (dg float32)                         // weightnorm.go
	Add                      func(y, x []float32)                                                            // add.go
	AddScaled                func(y, x []float32, a float32)                                                 // add.go
	AddScaledTo              func(y, x, b []float32, a float32)                                              // add.go
	AddProduct               func(y, a, b []float32)                                                         // add.go
	Mul                      func(y, x []float32)                                                            // add.go
	Scale                    func(y []float32, a float32)                                                    // add.go
	Dot                      func(x, y []float32) float32                                                    // dot.go
	Sum                      func(x []float32) float32                                                       // dot.go
	SumSquares               func(x []float32) float32                                                       // dot.go
	AdamW                    func(p, m, v, g, t []float32, c AdamWCoefficients)                              // adamw.go
	SGD                      func(p, m, g []float32, c SGDCoefficients)                                      // sgd.go
	EMA                      func(t, s []float32, momentum float32)                                          // ema.go
	SoftCrossEntropyForward  func(logits, target []float32, scale, logSumExp float32) float32                // softcrossentropy.go
	SoftCrossEntropyBackward func(dlogits, logits, target []float32, scale, logSumExp, targetSum, w float32) // softcrossentropy.go

	// Pictures: planes or rows of bytes. These agree with Reference in every bit.
	TransposeBytes   func(dst []byte, ldd int, src []byte, lds, rows, cols int) // transposebytes.go
	Resample         func(dst, src []byte, stride int, weights []int32)         // resample.go
	BoxBlur          func(dst, src []byte, stride int, weights []int32)         // boxblur.go
	Luma             func(dst, r, g, b []byte)                                  // luma.go
	LumaSum          func(r, g, b []byte) int                                   // luma.go
	BlendGrey        func(x []byte, grey byte, factor float32)                  // blend.go
	Saturation       func(r, g, b []byte, factor float32)                       // saturation.go
	ShiftHue         func(r, g, b []byte, shift byte)                           // hue.go
	Solarize         func(x []byte, threshold byte)                             // solarize.go
	NormalizeBytes   func(dst []float32, src []byte, mean, std float32)         // normalize.go
	UpsampleTriangle func(dst, near, far []byte)                                // ycbcr.go
	YCbCrToRGB       func(dst, luma, cb, cr []byte)                             // ycbcr.go
}
