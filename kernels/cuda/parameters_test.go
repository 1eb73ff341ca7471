package cuda_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// parameters are parameters on a device and what they should be: of sizes around a quad and a chunk, some of them off the alignment of vectors, one frozen, one
// without average.
type parameters struct {
	d          *cuda.Device
	list       *cuda.Parameters
	on         []cuda.Parameter
	p, m, v, g [][]float32 // nil where there is none
	t          [][]float32
}

const frozenParameter, lonelyParameter = 3, 5

func newParameters(d *cuda.Device) *parameters {
	rng := rand.New(rand.NewPCG(1, 2))
	ps := &parameters{d: d}
	for i, n := range []int{1, 5, 4096, 300, 4097, 12000, 7, 256} {
		offset := i % 3 / 2 // of every third, by an element
		values := func(scale float64) []float32 {
			x := make([]float32, n+offset+1)
			for j := range x {
				x[j] = float32(scale * rng.NormFloat64())
			}
			return x
		}
		upload := func(x []float32) cuda.Ptr {
			if x == nil {
				return 0
			}
			return cudatest.Put(d, cuda.Float32, x).Add(offset, cuda.Float32)
		}
		half := func() cuda.Ptr {
			return cudatest.Put(d, cuda.BFloat16, make([]float32, n+offset+1)).Add(offset, cuda.BFloat16)
		}
		p, t := values(1), values(1)
		var m, v, g []float32
		if i != frozenParameter {
			m, v, g = values(0.1), values(0.1), values(1)
			for j := range v {
				v[j] *= v[j]
			}
		}
		q := cuda.Parameter{N: n, P: upload(p), M: upload(m), V: upload(v), G: upload(g), P16: half()}
		if i == lonelyParameter {
			t = nil
		} else {
			q.T, q.T16 = upload(t), half()
		}
		ps.on = append(ps.on, q)
		cut := func(x []float32) []float32 {
			if x == nil {
				return nil
			}
			return x[offset : offset+n]
		}
		ps.p, ps.m, ps.v, ps.g, ps.t = append(ps.p, cut(p)), append(ps.m, cut(m)), append(ps.v, cut(v)), append(ps.g, cut(g)), append(ps.t, cut(t))
	}
	ps.list = d.NewParameters(ps.on)
	return ps
}

// scales are the gradients' scales of a test.
func (ps *parameters) scales() []float32 {
	s := make([]float32, len(ps.on))
	for i := range s {
		s[i] = 1 / float32(i+1)
	}
	return s
}

// check compares what is on the device with what should be, and bf16 copies with their originals. copied says that the parameters' own were written.
func (ps *parameters) check(t *testing.T, copied func(i int) bool) {
	t.Helper()
	for i, q := range ps.on {
		for _, a := range []struct {
			name string
			on   cuda.Ptr
			want []float32
		}{{"p", q.P, ps.p[i]}, {"m", q.M, ps.m[i]}, {"v", q.V, ps.v[i]}, {"g", q.G, ps.g[i]}, {"t", q.T, ps.t[i]}} {
			if a.want == nil {
				continue
			}
			got := cudatest.Get(ps.d, a.on, cuda.Float32, q.N)
			for j, w := range a.want {
				if !(math.Abs(float64(got[j]-w)) <= 1e-6*math.Max(1, math.Abs(float64(w)))) {
					t.Fatalf("parameter %d: %s[%d] is %g, want %g", i, a.name, j, got[j], w)
				}
			}
			var half cuda.Ptr
			switch {
			case a.name == "p":
				half = q.P16
			case a.name == "t":
				half = q.T16
			}
			if half == 0 {
				continue
			}
			want := cudatest.Round(cuda.BFloat16, got)
			if a.name == "p" && !copied(i) {
				clear(want)
			}
			for j, h := range cudatest.Get(ps.d, half, cuda.BFloat16, q.N) {
				if h != want[j] {
					t.Fatalf("parameter %d: bf16 copy of %s[%d] is %g, want %g", i, a.name, j, h, want[j])
				}
			}
		}
	}
}

func TestAdamW(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		ps := newParameters(d)
		scales := ps.scales()
		const skipped = 4 // for this step
		var coefficients []byte
		ema := func(i int, momentum float32) {
			if ps.t[i] != nil {
				kernels.Reference().EMA(ps.t[i], ps.p[i], momentum)
			}
		}
		for i := range ps.on {
			c := kernels.AdamWCoefficients{Decay: 1 - 0.01*float32(i), Beta1: 0.9, Beta2: 0.999, Rest1: 0.1, Rest2: 0.001, StepSize: 0.02, InvSqrtBias: 1.5, Eps: 1e-8,
				GradScale: scales[i], Momentum: 0.9}
			active := i != frozenParameter && i != skipped
			coefficients = (&cuda.AdamWCoefficients{Decay: c.Decay, Beta1: c.Beta1, Beta2: c.Beta2, Rest1: c.Rest1, Rest2: c.Rest2, StepSize: c.StepSize,
				InvSqrtBias: c.InvSqrtBias, Eps: c.Eps, Momentum: c.Momentum, Active: active}).Append(coefficients)
			if active {
				kernels.Reference().AdamW(ps.p[i], ps.m[i], ps.v[i], ps.g[i], ps.t[i], c)
			} else {
				ema(i, c.Momentum)
			}
		}
		if len(coefficients) != len(ps.on)*cuda.AdamWCoefficientsSize {
			t.Fatalf("%d bytes of coefficients", len(coefficients))
		}
		skip := cudatest.PutInts(d, []int32{0, 1})
		c, s := cudatest.PutBytes(d, coefficients), cudatest.Put(d, cuda.Float32, scales)
		d.AdamW(ps.list, c, s, skip)
		d.AdamW(ps.list, c, s, skip+4) // of which nothing comes
		ps.check(t, func(i int) bool { return i != frozenParameter && i != skipped })

		for i := range ps.on {
			ema(i, 0.75)
		}
		d.EMA(ps.list, cudatest.Put(d, cuda.Float32, []float32{0.75}))
		ps.check(t, func(i int) bool { return i != frozenParameter && i != skipped })
	})
}

func TestSGD(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		ps := newParameters(d)
		scales := ps.scales()
		const plain = 1 // no trust ratio
		var coefficients []byte
		trusts := make([]float32, len(ps.on))
		for i := range ps.on {
			c := cuda.SGDCoefficients{LR: 0.1, Momentum: 0.9, Decay: 0.01 * float32(i), Eta: 0.001, Average: 0.8, Active: i != frozenParameter}
			if i == plain {
				c.Eta = 0
			}
			trusts[i] = 1
			if c.Active && i != plain {
				var pp, uu float64
				for j, p := range ps.p[i] {
					u := float64(scales[i]*ps.g[i][j] + c.Decay*p)
					pp += float64(p) * float64(p)
					uu += u * u
				}
				trusts[i] = float32(0.001 * math.Sqrt(pp/uu))
			}
			if c.Active {
				kernels.Reference().SGD(ps.p[i], ps.m[i], ps.g[i],
					kernels.SGDCoefficients{LR: c.LR, Momentum: c.Momentum, Decay: c.Decay, GradScale: scales[i], Trust: trusts[i]})
			}
			if ps.t[i] != nil {
				kernels.Reference().EMA(ps.t[i], ps.p[i], c.Average)
			}
			coefficients = c.Append(coefficients)
		}
		if len(coefficients) != len(ps.on)*cuda.SGDCoefficientsSize {
			t.Fatalf("%d bytes of coefficients", len(coefficients))
		}
		skip := cudatest.PutInts(d, []int32{0, 1})
		c, s, trust := cudatest.PutBytes(d, coefficients), cudatest.Put(d, cuda.Float32, scales), d.Alloc(4*len(trusts))
		d.LARSTrust(trust, ps.list, c, s)
		for i, got := range cudatest.Get(d, trust, cuda.Float32, len(trusts)) {
			if want := trusts[i]; !(math.Abs(float64(got-want)) <= 1e-6*float64(want)) {
				t.Fatalf("trust ratio of parameter %d is %g, want %g", i, got, want)
			}
		}
		d.SGD(ps.list, c, s, trust, skip)
		d.SGD(ps.list, c, s, trust, skip+4)
		ps.check(t, func(i int) bool { return i != frozenParameter })
	})
}

func TestClip(t *testing.T) {
	cudatest.Modes(t, func(t *testing.T, d *cuda.Device) {
		ps := newParameters(d)
		n := len(ps.on)
		out := cudatest.Put(d, cuda.Float32, make([]float32, 2*n+2))
		norms, scales, total, skip := out, out.Add(n, cuda.Float32), out.Add(2*n, cuda.Float32), out.Add(2*n+1, cuda.Float32)
		loss := cudatest.Put(d, cuda.Float32, []float32{1, float32(math.NaN()), float32(math.Inf(1))})
		close := func(name string, got float32, want float64) {
			t.Helper()
			if !(math.Abs(float64(got)-want) <= 1e-6*want) {
				t.Fatalf("%s is %g, want %g", name, got, want)
			}
		}
		for _, most := range []float64{0, 3, 1e6} {
			d.Clip(norms, scales, total, skip, loss, ps.list, float32(most))
			got, all := cudatest.Get(d, out, cuda.Float32, 2*n+1), 0.0
			for i := range n {
				sum := 0.0
				for _, g := range ps.g[i] {
					sum += float64(g) * float64(g)
				}
				all += sum
				close("norm", got[i], math.Sqrt(sum))
				scale := 1.0
				if most > 0 {
					scale = min(1, most/(math.Sqrt(sum)+1e-6))
				}
				close("scale", got[n+i], scale)
			}
			close("the norm of all", got[2*n], math.Sqrt(all))
		}
		bad := func() int32 { return cudatest.GetInts(d, skip, 1)[0] }
		if bad() != 0 {
			t.Fatal("a finite step is to be skipped")
		}
		for i := range 2 {
			d.Clip(norms, scales, total, skip, loss.Add(1+i, cuda.Float32), ps.list, 3)
			if bad() != 1 {
				t.Fatal("a loss that is not finite does not skip the step")
			}
		}
		d.Clip(norms, scales, total, skip, 0, ps.list, 3)
		if bad() != 0 {
			t.Fatal("without a loss a finite step is to be skipped")
		}
		// More chunks than a warp has lanes.
		long := make([]float32, 70*4096+5)
		for i := range long {
			long[i] = 1 + float32(i%3)
		}
		sum := 0.0
		for _, g := range long {
			sum += float64(g) * float64(g)
		}
		d.Clip(norms, scales, total, skip, 0, d.NewParameters([]cuda.Parameter{{N: len(long), G: cudatest.Put(d, cuda.Float32, long)}}), 0)
		close("the norm of many chunks", cudatest.Get(d, norms, cuda.Float32, 1)[0], math.Sqrt(sum))

		for _, x := range []float64{math.NaN(), math.Inf(-1)} {
			d.Fill(ps.on[4].G.Add(4096, cuda.Float32), cuda.Float32, float32(x), 1)
			d.Clip(norms, scales, total, skip, loss, ps.list, 3)
			if bad() != 1 {
				t.Fatalf("a gradient of %g does not skip the step", x)
			}
		}
	})
}
