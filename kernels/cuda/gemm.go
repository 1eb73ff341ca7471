package cuda

// Gemm is a matrix product and what is done to it before it is written. All matrices are row-major and may be parts of larger ones; op transposes if asked.
//
//	v[i][j] = Alpha·Σ_p op(A)[i][p]·op(B)[p][j] + Bias[j]
//	H[i][j] = v[i][j];  v[i][j] = gelu(H[i][j])                  with GELU
//	v[i][j] = v[i][j]·gelu'(H[i][j])                             with MulGELUDerivative
//	v[i][j] = Residual[i][j] + Scale[i/SampleRows]·v[i][j]
//	C[i][j] = v[i][j] + Beta·C[i][j]
//
//	RowSums[i] += Σ_p op(A)[i][p]
//
// for i < M, j < N, p < K, each where it is wanted: the steps are independent, but that of GELU and MulGELUDerivative there can be one. An address of 0 means
// that the step is not wanted. Sums are float32, in an order that depends on the shape, the types and the number of multiprocessors alone.
//
// A forward layer is x·wᵀ (TransB), the gradient of its input dy·w, that of its weights dyᵀ·x (TransA) whose RowSums are the gradient of its bias.
type Gemm struct {
	TransA, TransB bool
	M, N, K        int
	Alpha          float32

	Type     Type // of A and B
	TF32     bool // of Float32: factors are rounded to TF32, for the tensor cores; else products are those of float32
	A, B     Ptr
	LDA, LDB int

	TypeC Type // of C, H and Residual
	C     Ptr
	LDC   int     // leading dimension of C, H and Residual
	Beta  float32 // with 0, C need not be initialised

	Bias              Ptr  // float32 (N)
	GELU              bool // exact GELU. It is taken of what H holds, which is rounded to TypeC
	MulGELUDerivative bool // the backward of GELU: H is read
	H                 Ptr  // with GELU it may be 0: not wanted. May be C with MulGELUDerivative, not with GELU

	Residual   Ptr // may be C
	Scale      Ptr // float32, one for SampleRows rows; 0 is 1 throughout. Where a scale is 0, v counts for nothing, even NaN
	SampleRows int

	RowSums Ptr // float32 (M); with it N may be 0. Alpha and Beta do not apply to it
}

// Gemm computes p.
func (d *Device) Gemm(p *Gemm) {
}
