package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// attentionCase is one head in packed arrays whose other columns are guards: nothing may write there.
type attentionCase struct {
	n, d, ld, ldy            int
	qkv, y, lse, dy          []float32
	h                        AttentionHead
	offQ, offK, offV, offY   int
	oy, olse, oq, ok, ov, op []float64 // the oracle's y, lse, dq, dk, dv, p
}

const guard = float32(-12345.5)

func newAttentionCase(n, d, heads, head int, size float64) *attentionCase {
	r := rand.New(rand.NewPCG(uint64(n), uint64(d*100+heads*10+head)))
	c := heads * d
	a := &attentionCase{n: n, d: d, ld: 3 * c, ldy: c, offQ: head * d, offK: c + head*d, offV: 2*c + head*d, offY: head * d}
	a.qkv, a.dy = make([]float32, n*3*c), make([]float32, n*c)
	for i := range a.qkv {
		a.qkv[i] = roundBF16(float32(r.NormFloat64() * size)) // products in bf16 take it as it is, so that the oracle is theirs too
	}
	for i := range a.dy {
		a.dy[i] = roundBF16(float32(r.NormFloat64()))
	}
	a.h = AttentionHead{Q: a.qkv[a.offQ:], K: a.qkv[a.offK:], V: a.qkv[a.offV:], LD: 3 * c, M: n, N: n, D: d, Scale: float32(1 / math.Sqrt(float64(d)))}
	return a
}

// solve fills the oracle: the definition in float64.
func (a *attentionCase) solve() {
	n, d := a.n, a.d
	at := func(x []float32, i, l, ld int) float64 { return float64(x[i*ld+l]) }
	a.oy, a.olse, a.op = make([]float64, n*d), make([]float64, n), make([]float64, n*n)
	a.oq, a.ok, a.ov = make([]float64, n*d), make([]float64, n*d), make([]float64, n*d)
	for i := range n {
		p := a.op[i*n : (i+1)*n]
		top := math.Inf(-1)
		for j := range p {
			for l := range d {
				p[j] += at(a.h.Q, i, l, a.ld) * at(a.h.K, j, l, a.ld)
			}
			p[j] *= float64(a.h.Scale)
			top = max(top, p[j])
		}
		sum := 0.
		for j := range p {
			p[j] = math.Exp(p[j] - top)
			sum += p[j]
		}
		a.olse[i] = top + math.Log(sum)
		delta, dp := 0., make([]float64, n)
		for j := range p {
			p[j] /= sum
			for l := range d {
				g, v := at(a.dy[a.offY:], i, l, a.ldy), at(a.h.V, j, l, a.ld)
				a.oy[i*d+l] += p[j] * v
				a.ov[j*d+l] += p[j] * g
				dp[j] += g * v
			}
			delta += p[j] * dp[j]
		}
		for j := range p {
			ds := p[j] * (dp[j] - delta) * float64(a.h.Scale)
			for l := range d {
				a.oq[i*d+l] += ds * at(a.h.K, j, l, a.ld)
				a.ok[j*d+l] += ds * at(a.h.Q, i, l, a.ld)
			}
		}
	}
}

// run computes forward, weights and backward by a table and returns them; it fails if anything outside the head has been written.
func (a *attentionCase) run(t *testing.T, k *Table, add bool) (y, lse, dqkv, p []float32) {
	t.Helper()
	n, d := a.n, a.d
	in := append([]float32(nil), a.qkv...)
	work := guarded(AttentionWork(n, d))
	y, lse, p = filled(n*a.ldy, guard), guarded(n), guarded(n*n)
	k.AttentionForward(y[a.offY:], a.ldy, lse[8:8+n], a.h, work[8:len(work)-8])
	k.AttentionWeights(p[8:8+n*n], a.h, work[8:len(work)-8])
	dqkv = filled(n*a.ld, guard)
	if add {
		for i := range n {
			for l := range d {
				dqkv[i*a.ld+a.offQ+l], dqkv[i*a.ld+a.offK+l], dqkv[i*a.ld+a.offV+l] = 1, 2, 3
			}
		}
	}
	k.AttentionBackward(dqkv[a.offQ:], dqkv[a.offK:], dqkv[a.offV:], a.dy[a.offY:], y[a.offY:], a.ldy, lse[8:8+n], a.h, add, work[8:len(work)-8])
	for i, v := range a.qkv {
		if in[i] != v && v == v {
			t.Fatalf("input %d has been written", i)
		}
	}
	for _, s := range [][]float32{work, lse, p} {
		for i := range 8 {
			if s[i] != guard || s[len(s)-1-i] != guard {
				t.Fatalf("guard %d of a slice of %d has been written", i, len(s))
			}
		}
	}
	outside(t, "y", y, a.ldy, d, a.offY)
	outside(t, "dqkv", dqkv, a.ld, d, a.offQ, a.offK, a.offV)
	return y, lse[8 : 8+n], dqkv, p[8 : 8+n*n]
}

func filled(n int, v float32) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = v
	}
	return s
}

func guarded(n int) []float32 { return filled(n+16, guard) }

// outside fails if an element outside the columns [off, off+d) has been written.
func outside(t *testing.T, name string, x []float32, ld, d int, offs ...int) {
	t.Helper()
	for i, v := range x {
		in := false
		for _, off := range offs {
			in = in || i%ld >= off && i%ld < off+d
		}
		if !in && v != guard {
			t.Fatalf("%s: element %d, outside the head, is %v", name, i, v)
		}
	}
}

// worst is the largest |x − oracle| of a head's rows, NaN if there is one, and the largest |oracle|.
func worst(x []float32, ld, off, d int, oracle []float64, plus float64) (err, size float64) {
	for i, o := range oracle {
		e := math.Abs(float64(x[i/d*ld+off+i%d]) - o - plus)
		if !(e <= err) {
			err = e
		}
		if err != err {
			return err, size
		}
		size = max(size, math.Abs(o))
	}
	return err, size
}

func (a *attentionCase) errors(y, lse, dqkv, p []float32, add bool) (err, size [6]float64) {
	plus := [3]float64{}
	if add {
		plus = [3]float64{1, 2, 3}
	}
	err[0], size[0] = worst(y, a.ldy, a.offY, a.d, a.oy, 0)
	err[1], size[1] = worst(lse, 1, 0, 1, a.olse, 0)
	err[2], size[2] = worst(p, a.n, 0, a.n, a.op, 0)
	err[3], size[3] = worst(dqkv, a.ld, a.offQ, a.d, a.oq, plus[0])
	err[4], size[4] = worst(dqkv, a.ld, a.offK, a.d, a.ok, plus[1])
	err[5], size[5] = worst(dqkv, a.ld, a.offV, a.d, a.ov, plus[2])
	return err, size
}

var attentionOutputs = [6]string{"y", "lse", "p", "dq", "dk", "dv"}

// A fast kernel may be off by twice what the definition is, plus some ulp of the largest result: the definition sums products in float64.
func TestAttention(t *testing.T) {
	for _, d := range []int{16, 20, 32, 48, 64, 80, 96, 128, 5} {
		for ni, n := range []int{1, 2, 3, 16, 17, 31, 33, 37, 64, 65, 66, 130, 197} {
			if testing.Short() && n > 70 && d != 64 {
				continue
			}
			heads, add := 1+(ni+d)%3, ni%2 == 1
			a := newAttentionCase(n, d, heads, ni%heads, 1)
			a.solve()
			bound := [6]float64{}
			for _, k := range gemmTables() {
				y, lse, dqkv, p := a.run(t, k, add)
				err, size := a.errors(y, lse, dqkv, p, add)
				for i := range err {
					tol := 2*bound[i] + 32*0x1p-24*max(size[i], 1)
					switch { // the definition itself: far above rounding, far below a mistake
					case k.Name == "reference":
						bound[i] = err[i]
						tol = 1e-5 * (1 + size[i])
					case strings.HasPrefix(k.Name, "reference"):
						bound[i] = err[i]
						tol = 0x1p-7 * (1 + size[i]) // weights and their gradients are rounded
					}
					if !(err[i] <= tol) {
						t.Errorf("%s, n %d, d %d, %d heads: %s is off by %g, more than %g", k.Name, n, d, heads, attentionOutputs[i], err[i], tol)
					}
				}
			}
		}
	}
}

// Scores of ±1e4 must not overflow: the weights are zeros and ones then, and all results finite.
func TestAttentionExtremeScores(t *testing.T) {
	for _, k := range gemmTables() {
		for _, n := range []int{1, 17, 65, 130} {
			a := newAttentionCase(n, 64, 2, 1, 1)
			for i := range n {
				q, kk := a.h.Q[i*a.ld:], a.h.K[i*a.ld:]
				for l := range a.d {
					q[l], kk[l] = roundBF16(q[l]*35), roundBF16(kk[l]*35)
				}
				q[0], kk[0] = 300, float32(1-2*(i%2))*270 // scores near ±1e4
			}
			a.solve()
			y, lse, dqkv, p := a.run(t, k, false)
			err, size := a.errors(y, lse, dqkv, p, false)
			for i := range err {
				// A score of 1e4 has an ulp of 1e-3, and so have its exponent and what is computed from it.
				tol := 2e-2 * (1 + size[i])
				if k.Gemm.Terms == 2 {
					tol *= 3 // and what is computed from it is rounded
				}
				if !(err[i] <= tol) {
					t.Errorf("%s, n %d: %s is off by %g, more than %g", k.Name, n, attentionOutputs[i], err[i], tol)
				}
			}
		}
	}
}

// A NaN in a query spoils its own row and no other; a NaN in a key or value spoils every row.
func TestAttentionNaN(t *testing.T) {
	nan := float32(math.NaN())
	for _, k := range gemmTables() {
		for _, n := range []int{1, 9, 17, 65} {
			for _, at := range []int{0, n / 2, n - 1} {
				for part, name := range []string{"q", "k", "v", "dy"} {
					a := newAttentionCase(n, 32, 1, 0, 1)
					switch part {
					case 3:
						a.dy[at*a.ldy+7] = nan
					default:
						a.qkv[at*a.ld+part*32+7] = nan
					}
					y, lse, dqkv, _ := a.run(t, k, false)
					for i := range n {
						bad := part == 0 && i == at || part == 1
						if isNaN := lse[i] != lse[i]; isNaN != bad {
							t.Fatalf("%s, n %d, NaN in %s[%d]: lse[%d] = %v", k.Name, n, name, at, i, lse[i])
						}
						if got := y[i*a.ldy+3]; (got != got) != bad {
							t.Fatalf("%s, n %d, NaN in %s[%d]: y[%d] = %v", k.Name, n, name, at, i, got)
						}
						if got := y[i*a.ldy+7]; (got != got) != (bad || part == 2) {
							t.Fatalf("%s, n %d, NaN in %s[%d]: y[%d,7] = %v", k.Name, n, name, at, i, got)
						}
						// The spoilt weights reach every key and value.
						if got := dqkv[i*a.ld+64+7]; part != 2 && got == got {
							t.Fatalf("%s, n %d, NaN in %s[%d]: dv[%d,7] = %v", k.Name, n, name, at, i, got)
						}
						if got := dqkv[i*a.ld+3]; (part == 1 || part == 2) && got == got {
							t.Fatalf("%s, n %d, NaN in %s[%d]: dq[%d] = %v", k.Name, n, name, at, i, got)
						}
					}
				}
			}
		}
	}
}

// A block of queries gives the same bits as the whole.
func TestAttentionBlockOfQueries(t *testing.T) {
	for _, k := range gemmTables() {
		a := newAttentionCase(130, 64, 1, 0, 1)
		y, lse, _, _ := a.run(t, k, false)
		work := make([]float32, AttentionWork(130, 64))
		y2, lse2 := make([]float32, 70*a.ldy), make([]float32, 70)
		h := a.h
		h.Q, h.M = h.Q[60*a.ld:], 70
		k.AttentionForward(y2, a.ldy, lse2, h, work)
		for i := range lse2 {
			if lse2[i] != lse[60+i] || fmt.Sprint(y2[i*a.ldy:(i+1)*a.ldy]) != fmt.Sprint(y[(60+i)*a.ldy:(61+i)*a.ldy]) {
				t.Fatalf("%s: query %d differs when its block starts at 60", k.Name, 60+i)
			}
		}
	}
}
