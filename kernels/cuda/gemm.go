package cuda

import (
	"math"
	"strconv"
)

// Gemm is a matrix product and what is done to it before it is written. All matrices are row-major and may be parts of larger ones; op transposes if asked.
//
//	v[i][j] = Alpha·Σ_p op(A)[i][p]·op(B)[p][j] + Bias[j]
//	H[i][j] = v[i][j];  v[i][j] = gelu(H[i][j])                           with GELU
//	v[i][j] = v[i][j]·gelu'(H[i][j]);  Activation[i][j] = gelu(H[i][j])   with MulGELUDerivative
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

	TypeC Type // of C, H, Activation and Residual
	C     Ptr
	LDC   int     // leading dimension of C, H, Activation and Residual
	Beta  float32 // with 0, C need not be initialised

	Bias              Ptr  // float32 (N)
	GELU              bool // exact GELU. It is taken of what H holds, which is rounded to TypeC
	MulGELUDerivative bool // the backward of GELU: H is read
	H                 Ptr  // with GELU it may be 0: not wanted. May be C with MulGELUDerivative, not with GELU
	Activation        Ptr  // gelu(H), which the gradient of the next layer's weights needs

	Residual   Ptr // may be C
	Scale      Ptr // float32, one for SampleRows rows; 0 is 1 throughout. Where a scale is 0, v counts for nothing, even NaN
	SampleRows int

	RowSums Ptr // float32 (M); with it N may be 0. Alpha and Beta do not apply to it
}

// Gemm computes p.
func (d *Device) Gemm(p *Gemm) {
	if p.M == 0 || p.N == 0 && p.RowSums == 0 {
		return
	}
	q := *p
	if q.Alpha == 0 {
		q.K, q.RowSums = 0, 0
	}
	if q.RowSums != 0 && !q.TransA {
		d.launch("gemm", "gemm_row_sums_"+q.Type.String(), Dim{X: ceilDiv(q.M, 8)}, Dim{X: 256}, 0, P(q.RowSums), P(q.A), I(q.LDA), I(q.M), I(q.K))
		q.RowSums = 0
	}
	if d.gemmHopper(&q) {
		return
	}
	l := q.plan(d.info.Multiprocessors)
	partial, part := Ptr(0), q.K
	if l.parts > 1 {
		part = l.part
		partial = d.workspace(4 * l.parts * q.M * (q.partialColumns() + 1))
	}
	rows, columns := max(1, ceilDiv(q.M, l.tile)), max(1, ceilDiv(q.N, l.tile))
	grid, flags := Dim{X: columns, Y: rows, Z: l.parts}, q.flags()
	if rows < columns { // those that run together share what there is less of
		grid, flags = Dim{X: rows, Y: columns, Z: l.parts}, flags|gemmRowsFirst
	}
	file, threads := "gemm", 128
	switch {
	case q.TF32 && q.Type == Float32:
		file = "gemm_tf32"
	case q.Type == Float32:
		file, threads = "gemm_f32", 2*l.tile
	}
	d.launch(file, q.kernel(l.tile), grid, Dim{X: threads}, gemmStages*2*64*l.tile,
		append([]Arg{P(q.A), I(q.LDA), P(q.B), I(q.LDB), I(q.K), I(part), P(q.RowSums), P(partial)}, q.epilogue(flags)...)...)
	if l.parts > 1 {
		d.gemmReduce(&q, partial, l.parts)
	}
}

// gemmReduce finishes a product whose parts have left their sums in partial; gemm.cuh says how they lie there.
func (d *Device) gemmReduce(p *Gemm, partial Ptr, parts int) {
	d.launch("gemm", "gemm_reduce", Dim{X: max(1, ceilDiv(p.N, 256)), Y: ceilDiv(p.M, 8)}, Dim{X: 256}, 0,
		append([]Arg{P(partial), I(parts), P(p.RowSums)}, p.epilogue(p.flags())...)...)
}

// partialColumns is the leading dimension of partial sums.
func (p *Gemm) partialColumns() int { return ceilDiv(p.N, 8) * 8 }

// kernel is gemm_type_orientation_tile.
func (p *Gemm) kernel(tile int) string {
	name := p.Type.String()
	if p.TF32 && p.Type == Float32 {
		name = "tf32"
	}
	trans := map[bool]string{false: "n", true: "t"}
	return "gemm_" + name + "_" + trans[p.TransA] + trans[p.TransB] + "_" + strconv.Itoa(tile)
}

// gemmStages is the number of steps along K that a block holds in shared memory, of 64 bytes of every row and column of its tile. Its float32 tile of C takes
// the same memory at the end.
const gemmStages = 4

// The bits of an epilogue's flags, those of gemm.cuh.
const (
	gemmVectorA = 1 << iota
	gemmVectorB
	gemmVectorC
	gemmBF16
	gemmGELU
	gemmGELUDerivative
	gemmRowsFirst
)

// flags are those of p's epilogue.
func (p *Gemm) flags() int {
	flags := 0
	set := func(on bool, flag int) {
		if on {
			flags |= flag
		}
	}
	c := p.LDC * p.TypeC.Size()
	set(aligned(p.A, p.LDA*p.Type.Size()), gemmVectorA)
	set(aligned(p.B, p.LDB*p.Type.Size()), gemmVectorB)
	set(aligned(p.C, c) && aligned(p.H, c) && aligned(p.Activation, c) && aligned(p.Residual, c) && aligned(p.Bias, 0), gemmVectorC)
	set(p.TypeC == BFloat16, gemmBF16)
	set(p.GELU, gemmGELU)
	set(p.MulGELUDerivative, gemmGELUDerivative)
	return flags
}

// aligned says that all rows begin at multiples of 16 bytes.
func aligned(p Ptr, pitch int) bool { return (int(p)|pitch)%16 == 0 }

// epilogue are the arguments that say what becomes of a product, EPILOGUE_PARAMETERS of gemm.cuh.
func (p *Gemm) epilogue(flags int) []Arg {
	return []Arg{I(p.M), I(p.N), P(p.C), I(p.LDC), F(p.Alpha), F(p.Beta), P(p.Bias), P(p.H), P(p.Activation), P(p.Residual), P(p.Scale), I(max(1, p.SampleRows)), I(flags)}
}

// gemmPlan is how a product is cut: into tiles of C, and along its terms into parts of that many.
type gemmPlan struct{ tile, parts, part int }

// plan takes the tile and the number of parts that a rough model finds fastest: each multiprocessor computes its share of blocks one after the other, at a rate
// that is that of the tile, and partial sums go through memory. It knows shapes and the number of multiprocessors alone: what it says decides the order of additions.
func (p *Gemm) plan(multiprocessors int) gemmPlan {
	multiprocessors = max(multiprocessors, 1)
	depth := 64 / p.Type.Size() // terms a step
	steps := max(1, ceilDiv(p.K, depth))
	best, least := gemmPlan{64, 1, p.K}, math.Inf(1)
	for _, tile := range []int{128, 64} {
		if tile == 128 && (p.flags()&(gemmVectorA|gemmVectorB) != gemmVectorA|gemmVectorB || p.TransA && p.TransB) {
			continue // there are no such kernels
		}
		tiles := max(1, ceilDiv(p.M, tile)) * max(1, ceilDiv(p.N, tile))
		for parts := 1; parts <= min(gemmMaxParts, ceilDiv(steps, gemmLeastSteps)); parts++ {
			a := ceilDiv(steps, parts) // steps of a part
			if parts > 1 && ceilDiv(steps, a) != parts {
				continue
			}
			// In units of a step of a tile of 64 on a multiprocessor that is full.
			step := 1.0
			if tile == 128 {
				step = 2.6 // of four times the work: it reads shared memory less
			}
			blocks := ceilDiv(tiles*parts, multiprocessors)
			time := float64(blocks) * step * float64(a+gemmOverhead)
			if blocks == 1 {
				time *= 1.5 // nothing to do while the block waits
			}
			if parts > 1 {
				time += gemmReduceCost + float64(parts)*float64(p.M*p.N)/float64(multiprocessors)*gemmPartialCost
			}
			if time < least {
				best, least = gemmPlan{tile, parts, a * depth}, time
			}
		}
	}
	return best
}

// What the model assumes. Times are in steps of a tile of 64 on a full multiprocessor: 2·64·64·32 operations at 3 TFLOP/s, 87 ns.
const (
	gemmOverhead    = 6                                            // of a block, beside its steps
	gemmReduceCost  = 30                                           // of a second kernel
	gemmPartialCost = 8.0 * 132 / 4e12 / (2 * 64 * 64 * 32 / 3e12) // of writing and reading a partial sum for each multiprocessor: 8 bytes at 4 TB/s for 132

	gemmLeastSteps = 8 // of a part, whose first steps wait for memory
	gemmMaxParts   = 64
)
