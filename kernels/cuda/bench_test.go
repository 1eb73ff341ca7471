package cuda_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// sizes are those of a training step: of a ViT of that width on crops of so many tokens, and of the head behind it.
type sizes struct {
	images, globals, locals         int // images a batch, crops an image
	globalTokens, localTokens       int
	width, heads, hidden, depth     int
	headHidden, bottleneck, outputs int
}

// vitSmall is ViT-S/16 with 2 crops of 224 pixels and 8 of 96 of 64 images; tiny is what an interpreter can do in no time.
var (
	vitSmall = sizes{64, 2, 8, 197, 37, 384, 6, 1536, 12, 2048, 256, 65536}
	tiny     = sizes{1, 2, 2, 5, 2, 64, 1, 128, 1, 64, 32, 512}
)

// tokens are those of all crops.
func (s sizes) tokens() int {
	return s.images * (s.globals*s.globalTokens + s.locals*s.localTokens)
}

// operation is a launcher at the sizes of a step, and its work.
type operation struct {
	name, shape string
	products    float64 // operations for tensor cores, of which a multiply-add is two
	bytes       float64 // of memory, every array once
	prepare     func(m *memory) func()
}

// The rates that bounds are made of: what an H200 has of 989 TFLOP/s and 4.8 TB/s in practice.
const (
	realProducts = 700e12
	realBytes    = 4.3e12
)

// bound is the least time in seconds.
func (o *operation) bound() float64 { return max(o.products/realProducts, o.bytes/realBytes) }

// memory gives arrays to an operation and takes them back.
type memory struct {
	*cuda.Device
	list  []cuda.Ptr
	noise map[cuda.Type]cuda.Ptr
}

const noiseBytes = 1 << 20

// array is memory of n elements with noise in it: equal numbers would make products faster than they are, for want of heat.
func (m *memory) array(n int, t cuda.Type) cuda.Ptr {
	bytes := (n*t.Size() + 3) / 4 * 4
	p := m.Alloc(bytes)
	m.list = append(m.list, p)
	if m.noise[t] == 0 {
		r := rand.New(rand.NewPCG(1, 2))
		var b []byte
		for len(b) < noiseBytes {
			if x := math.Float32bits(float32(r.NormFloat64() / 8)); t == cuda.BFloat16 {
				b = binary.LittleEndian.AppendUint16(b, uint16(x>>16))
			} else {
				b = binary.LittleEndian.AppendUint32(b, x)
			}
		}
		m.noise[t] = cudatest.PutBytes(m.Device, b)
	}
	for at := 0; at < bytes; at += noiseBytes {
		m.Copy(p+cuda.Ptr(at), m.noise[t], min(noiseBytes, bytes-at))
	}
	return p
}

func (m *memory) act(n int) cuda.Ptr    { return m.array(n, cuda.BFloat16) }
func (m *memory) floats(n int) cuda.Ptr { return m.array(n, cuda.Float32) }

// filled is a float32 array of one value.
func (m *memory) filled(n int, value float32) cuda.Ptr {
	p := m.Alloc(4 * n)
	m.list = append(m.list, p)
	m.Fill(p, cuda.Float32, value, n)
	return p
}

func (m *memory) ints(x []int32) cuda.Ptr {
	p := cudatest.PutInts(m.Device, x)
	m.list = append(m.list, p)
	return p
}

func (m *memory) release() {
	for _, p := range m.list {
		m.Free(p)
	}
	m.list = m.list[:0]
}

// operations are those of a step in bf16, in about the order in which it has them, and the same products in other types.
func operations(s sizes) []operation {
	const act, half = cuda.BFloat16, 2.0
	var all []operation
	add := func(name, shape string, products, bytes float64, prepare func(m *memory) func()) {
		all = append(all, operation{name, shape, products, bytes, prepare})
	}
	rows, c, h := s.tokens(), s.width, s.hidden
	elements := float64(rows) * float64(c)

	// Products alone, as libraries have them: forward, the gradient of the input, that of the weights.
	product := func(label string, transA, transB bool, m, n, k int, t cuda.Type, tf32 bool) {
		form := map[[2]bool]string{{false, true}: "NT", {false, false}: "NN", {true, false}: "TN"}[[2]bool{transA, transB}]
		size := float64(t.Size())
		if transA { // weight gradients are float32
			size = 4
		}
		products := 2 * float64(m) * float64(n) * float64(k)
		if t == cuda.Float32 {
			products *= map[bool]float64{true: 2, false: realProducts / 50e12}[tf32]
		}
		add("Gemm/"+label+"/"+form, fmt.Sprintf("%dx%dx%d", m, n, k), products,
			float64(t.Size())*(float64(m)*float64(k)+float64(k)*float64(n))+size*float64(m)*float64(n), func(mem *memory) func() {
				g := &cuda.Gemm{TransA: transA, TransB: transB, M: m, N: n, K: k, Alpha: 1, Type: t, TF32: tf32, TypeC: t, LDC: n, LDA: k, LDB: n,
					A: mem.array(m*k, t), B: mem.array(k*n, t)}
				if transA {
					g.LDA, g.TypeC = m, cuda.Float32
				}
				if transB {
					g.LDB = k
				}
				g.C = mem.array(m*n, g.TypeC)
				return func() { mem.Gemm(g) }
			})
	}
	layers := [][2]int{{3 * c, c}, {c, c}, {h, c}, {c, h}} // outputs and inputs of qkv, proj, fc1, fc2
	for _, l := range layers {
		product("bf16", false, true, rows, l[0], l[1], act, false)
	}
	for _, l := range layers {
		product("bf16", false, false, rows, l[1], l[0], act, false)
	}
	for _, l := range layers {
		product("bf16", true, false, l[0], l[1], rows, act, false)
	}
	product("tf32", false, true, rows, h, c, cuda.Float32, true)
	product("f32", false, true, rows, h, c, cuda.Float32, false)

	// Products with what layers do to them.
	linear := func(name string, out, in int, extra float64, set func(mem *memory, g *cuda.Gemm)) {
		add(name, fmt.Sprintf("%dx%dx%d", rows, out, in), 2*float64(rows)*float64(out)*float64(in),
			half*(float64(rows)*float64(in+out)+float64(out)*float64(in))+half*float64(rows)*float64(out)*extra, func(mem *memory) func() {
				g := &cuda.Gemm{TransB: true, M: rows, N: out, K: in, Alpha: 1, Type: act, TypeC: act, LDA: in, LDB: in, LDC: out,
					A: mem.act(rows * in), B: mem.act(out * in), C: mem.act(rows * out)}
				set(mem, g)
				return func() { mem.Gemm(g) }
			})
	}
	linear("Linear/bias", 3*c, c, 0, func(mem *memory, g *cuda.Gemm) { g.Bias = mem.floats(g.N) })
	linear("Linear/bias+residual", c, c, 1, func(mem *memory, g *cuda.Gemm) { g.Bias, g.Residual = mem.floats(g.N), mem.act(rows*c) })
	linear("Linear/bias+GELU", h, c, 1, func(mem *memory, g *cuda.Gemm) { g.Bias, g.GELU, g.H = mem.floats(g.N), true, mem.act(rows*h) })
	linear("Linear/GELU'", h, c, 2, func(mem *memory, g *cuda.Gemm) {
		g.TransB, g.LDB, g.MulGELUDerivative, g.H, g.Activation = false, g.N, true, mem.act(rows*h), mem.act(rows*h)
	})
	add("Linear/weights+bias", fmt.Sprintf("%dx%dx%d", h, c, rows), 2*float64(rows)*float64(h)*float64(c),
		half*float64(rows)*float64(c+h)+4*float64(c)*float64(h), func(mem *memory) func() {
			g := &cuda.Gemm{TransA: true, M: h, N: c, K: rows, Alpha: 1, Beta: 1, Type: act, TypeC: cuda.Float32, LDA: h, LDB: c, LDC: c,
				A: mem.act(rows * h), B: mem.act(rows * c), C: mem.floats(h * c), RowSums: mem.floats(h)}
			return func() { mem.Gemm(g) }
		})

	crops := []struct{ count, tokens int }{{s.images * s.globals, s.globalTokens}, {s.images * s.locals, s.localTokens}}

	// Attention of both sizes of crops, and of patches of half the side.
	dim := c / s.heads
	for _, x := range append(crops, struct{ count, tokens int }{(s.images + 1) / 2, 4*(s.globalTokens-1) + 1}) {
		n := x.count * x.tokens
		scores := float64(x.count) * float64(s.heads) * float64(x.tokens) * float64(x.tokens) * float64(dim)
		shape := fmt.Sprintf("%dx%dx%dx%d", x.count, s.heads, x.tokens, dim)
		add("AttentionForward/bf16", shape, 4*scores, half*4*float64(n*c)+4*float64(n*s.heads), func(m *memory) func() {
			y, lse, qkv := m.act(n*c), m.floats(n*s.heads), m.act(3*n*c)
			return func() { m.AttentionForward(y, lse, qkv, act, x.count, x.tokens, s.heads, dim) }
		})
		add("AttentionBackward/bf16", shape, 10*scores, half*8*float64(n*c)+4*float64(n*s.heads), func(m *memory) func() {
			dqkv, dy, qkv, y, lse := m.act(3*n*c), m.act(n*c), m.act(3*n*c), m.act(n*c), m.floats(n*s.heads)
			m.AttentionForward(y, lse, qkv, act, x.count, x.tokens, s.heads, dim)
			return func() { m.AttentionBackward(dqkv, dy, qkv, y, lse, act, x.count, x.tokens, s.heads, dim, false) }
		})
	}

	// Rows and elements.
	shape := fmt.Sprintf("%dx%d", rows, c)
	add("LayerNormForward", shape, 0, 2*half*elements, func(m *memory) func() {
		y, x, w, b, mean, rstd := m.act(rows*c), m.act(rows*c), m.floats(c), m.floats(c), m.floats(rows), m.floats(rows)
		return func() { m.LayerNormForward(y, mean, rstd, x, act, w, b, 1e-6, rows, c) }
	})
	add("LayerNormBackward", shape, 0, 4*half*elements, func(m *memory) func() {
		dx, dy, x, w := m.act(rows*c), m.act(rows*c), m.act(rows*c), m.floats(c)
		dw, db, mean, rstd := m.floats(c), m.floats(c), m.floats(rows), m.floats(rows)
		return func() { m.LayerNormBackward(dx, dw, db, dy, x, act, w, mean, rstd, rows, c, true) }
	})
	add("GELUForward", fmt.Sprintf("%dx%d", rows, h), 0, 2*half*float64(rows)*float64(h), func(m *memory) func() {
		y, x := m.act(rows*h), m.act(rows*h)
		return func() { m.GELUForward(y, x, act, rows*h) }
	})
	add("Add", shape, 0, 3*half*elements, func(m *memory) func() {
		y, a, b := m.act(rows*c), m.act(rows*c), m.act(rows*c)
		return func() { m.Add(y, a, b, act, rows*c) }
	})
	add("ScaleRows", shape, 0, 2*half*elements, func(m *memory) func() {
		y, x, scale := m.act(rows*c), m.act(rows*c), m.filled(crops[0].count, 1.1)
		n := rows / crops[0].count * c
		return func() { m.ScaleRows(y, x, act, scale, crops[0].count, n, false) }
	})
	add("SumRows", shape, 0, half*elements, func(m *memory) func() {
		sum, x := m.floats(c), m.act(rows*c)
		return func() { m.SumRows(sum, x, act, rows, c, c) }
	})
	side := int(math.Sqrt(float64(s.globalTokens-1))) * 16
	pixels := float64(crops[0].count) * 3 * float64(side) * float64(side)
	add("PatchifyForward", fmt.Sprintf("%dx3x%dx%d", crops[0].count, side, side), 0, (4+half)*pixels, func(m *memory) func() {
		y, img := m.act(int(pixels)), m.floats(int(pixels))
		return func() { m.PatchifyForward(y, img, act, cuda.Float32, crops[0].count, 3, side, side, 16) }
	})
	add("ConcatTokensForward", fmt.Sprintf("%dx%dx%d", crops[0].count, crops[0].tokens, c), 0, 2*half*float64(crops[0].count*crops[0].tokens*c), func(m *memory) func() {
		n := crops[0].count * crops[0].tokens * c
		y, cls, patches, pos := m.act(n), m.floats(c), m.act(n), m.floats(crops[0].tokens*c)
		return func() { m.ConcatTokensForward(y, cls, patches, pos, act, crops[0].count, crops[0].tokens-1, c) }
	})

	// The head's end.
	k, students, teachers := s.outputs, s.images*(s.globals+s.locals), s.images*s.globals
	logits, targets := float64(students)*float64(k), float64(teachers)*float64(k)
	add("L2NormalizeForward", fmt.Sprintf("%dx%d", students, s.bottleneck), 0, 2*half*float64(students*s.bottleneck), func(m *memory) func() {
		n := students * s.bottleneck
		y, norm, x := m.act(n), m.floats(students), m.act(n)
		return func() { m.L2NormalizeForward(y, norm, x, act, 1e-12, students, s.bottleneck) }
	})
	add("WeightNormForward", fmt.Sprintf("%dx%d", k, s.bottleneck), 0, (4+half)*float64(k*s.bottleneck), func(m *memory) func() {
		w, v, g := m.act(k*s.bottleneck), m.floats(k*s.bottleneck), m.filled(k, 1)
		return func() { m.WeightNormForward(w, v, g, k, s.bottleneck, act) }
	})
	add("WeightNormBackward", fmt.Sprintf("%dx%d", k, s.bottleneck), 0, 12*float64(k*s.bottleneck), func(m *memory) func() {
		dv, dw, v, g := m.floats(k*s.bottleneck), m.floats(k*s.bottleneck), m.floats(k*s.bottleneck), m.filled(k, 1)
		return func() { m.WeightNormBackward(dv, 0, dw, v, g, k, s.bottleneck, false) }
	})
	product("bf16", false, true, students, k, s.bottleneck, act, false)
	add("CenteredSoftmaxForward", fmt.Sprintf("%dx%d", teachers, k), 0, 2*4*targets, func(m *memory) func() {
		y, x, center, scale := m.floats(teachers*k), m.floats(teachers*k), m.floats(k), m.filled(1, 25)
		entropy, index, used := m.floats(teachers), m.ints(make([]int32, teachers)), m.floats(k)
		return func() { m.CenteredSoftmaxForward(y, x, center, scale, entropy, index, used, teachers, k, cuda.Float32) }
	})
	entropy := func(m *memory) *cuda.PrototypeCrossEntropy {
		var start, index []int32
		for r := range students {
			start = append(start, int32(len(index)))
			for view := range s.globals { // crops are view-major, and no view is compared with itself
				if view != r/s.images {
					index = append(index, int32(view*s.images+r%s.images))
				}
			}
		}
		start = append(start, int32(len(index)))
		return &cuda.PrototypeCrossEntropy{R: students, T: teachers, N: k, Type: act, Logits: m.act(students * k), Target: m.floats(teachers * k), Start: m.ints(start),
			Index: m.ints(index), Scale: 10, Loss: m.floats(students), LSE: m.floats(students), TargetSum: m.floats(teachers)}
	}
	add("PrototypeCrossEntropyForward", fmt.Sprintf("%dx%d", students, k), 0, half*logits+4*targets, func(m *memory) func() {
		e := entropy(m)
		return func() { m.PrototypeCrossEntropyForward(e) }
	})
	add("PrototypeCrossEntropyBackward", fmt.Sprintf("%dx%d", students, k), 0, 2*half*logits+4*targets, func(m *memory) func() {
		e := entropy(m)
		dlogits := m.act(students * k)
		return func() { m.PrototypeCrossEntropyBackward(e, dlogits, 0, 1) }
	})

	// All parameters.
	var counts []int
	total := 0
	for range s.depth {
		for _, l := range layers {
			counts = append(counts, l[0]*l[1], l[0])
		}
		counts = append(counts, c, c, c, c)
	}
	counts = append(counts, c*3*256, c, c, s.globalTokens*c, c, c, c*s.headHidden, s.headHidden, s.headHidden*s.headHidden, s.headHidden,
		s.headHidden*s.bottleneck, s.bottleneck, k*s.bottleneck)
	for _, n := range counts {
		total += n
	}
	parameters := func(m *memory) *cuda.Parameters {
		var list []cuda.Parameter
		for _, n := range counts {
			list = append(list, cuda.Parameter{N: n, P: m.floats(n), M: m.floats(n), V: m.filled(n, 1), G: m.floats(n), T: m.floats(n), P16: m.act(n), T16: m.act(n)})
		}
		p := m.NewParameters(list)
		return p
	}
	params := fmt.Sprintf("%d", total)
	add("Clip", params, 0, 4*float64(total), func(m *memory) func() {
		p := parameters(m)
		norms, scales, sum, skip := m.floats(len(counts)), m.floats(len(counts)), m.floats(1), m.ints([]int32{0})
		return func() { m.Clip(norms, scales, sum, skip, 0, p, 3) }
	})
	add("AdamW", params, 0, 40*float64(total), func(m *memory) func() {
		p := parameters(m)
		var b []byte
		for range counts {
			b = (&cuda.AdamWCoefficients{Decay: 1, Beta1: 0.9, Beta2: 0.999, Rest1: 0.1, Rest2: 0.001, StepSize: 1e-5, InvSqrtBias: 1, Eps: 1e-8, Momentum: 0.996, Active: true}).Append(b)
		}
		coefficients, scales, skip := cudatest.PutBytes(m.Device, b), m.filled(len(counts), 1), m.ints([]int32{0})
		m.list = append(m.list, coefficients)
		return func() { m.AdamW(p, coefficients, scales, skip) }
	})
	return append(all, cropOperations(s)...)
}

// BenchmarkOperations runs them on the GPU of the machine, timed by events; on the interpreter, of which times say nothing, at sizes that it can do. Rates are
// of the work in the table of docs/cuda.md, and bound is the share of the best that an H200 could do.
func BenchmarkOperations(b *testing.B) {
	d := cudatest.New(b)
	s := tiny
	if cudatest.Hardware() {
		s = vitSmall
	}
	m := &memory{Device: d, noise: map[cuda.Type]cuda.Ptr{}}
	for _, o := range operations(s) {
		b.Run(o.name+"/"+o.shape, func(b *testing.B) {
			run := o.prepare(m)
			defer m.release()
			for range 3 {
				run()
			}
			seconds, err := timed(d, b.N, run)
			if err = errors.Join(err, d.Err()); err != nil {
				b.Fatal(err)
			}
			seconds /= float64(b.N)
			b.ReportMetric(seconds*1e6, "µs")
			if o.products > 0 {
				b.ReportMetric(o.products/seconds/1e12, "TFLOP/s")
			}
			b.ReportMetric(o.bytes/seconds/1e9, "GB/s")
			b.ReportMetric(o.bound()/seconds, "bound")
		})
	}
}

// timed is how long n runs take on the GPU, in seconds.
func timed(d *cuda.Device, n int, run func()) (float64, error) {
	from, err := d.Driver().NewEvent()
	if err != nil {
		return 0, err
	}
	to, err := d.Driver().NewEvent()
	if err != nil {
		return 0, err
	}
	err = errors.Join(d.Sync(), d.Driver().Record(from, cuda.Compute))
	for range n {
		run()
	}
	if err = errors.Join(err, d.Driver().Record(to, cuda.Compute)); err != nil {
		return 0, err
	}
	return d.Driver().Elapsed(from, to)
}

// TestOperations runs each once: launches fit their kernels at other shapes than those of the conformance tests.
func TestOperations(t *testing.T) {
	d := cudatest.New(t)
	m := &memory{Device: d, noise: map[cuda.Type]cuda.Ptr{}}
	for _, o := range operations(tiny) {
		t.Run(o.name+"/"+o.shape, func(t *testing.T) {
			run := o.prepare(m)
			defer m.release()
			run()
			if err := d.Sync(); err != nil {
				t.Error(cudatest.ExpectError(d))
				d = cudatest.New(t)
				m = &memory{Device: d, noise: map[cuda.Type]cuda.Ptr{}}
			}
			if !(o.bound() > 0) {
				t.Errorf("bound %g", o.bound())
			}
		})
	}
}
