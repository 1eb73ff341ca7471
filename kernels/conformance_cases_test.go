package kernels

import (
	"fmt"
	"math"
	"slices"
)

// conformanceCases are the row-wise and elementwise operations. In oracles, abs(…) terms make the magnitude of an element.
var conformanceCases = []conformanceCase{
	{
		op: "Add", out: 1, in: 1,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 { t.Add(out[0], in[0]); return nil },
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				size[0][i] = abs(x) + abs(out[0][i])
				out[0][i] += x
			}
			return nil
		},
	},
	{
		op: "AddScaled", out: 1, in: 1, scalars: []float32{-1.7},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.AddScaled(out[0], in[0], s[0])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				size[0][i] = abs(s[0]*x) + abs(out[0][i])
				out[0][i] += s[0] * x
			}
			return nil
		},
	},
	{
		op: "AddScaledTo", out: 1, in: 2, inPlace: true, scalars: []float32{-1.7},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.AddScaledTo(out[0], in[0], in[1], s[0])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				out[0][i] = x + s[0]*in[1][i]
				size[0][i] = abs(x) + abs(s[0]*in[1][i])
			}
			return nil
		},
	},
	{
		op: "AddProduct", out: 1, in: 2,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.AddProduct(out[0], in[0], in[1])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, a := range in[0] {
				size[0][i] = abs(a*in[1][i]) + abs(out[0][i])
				out[0][i] += a * in[1][i]
			}
			return nil
		},
	},
	{
		op: "Mul", out: 1, in: 1,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 { t.Mul(out[0], in[0]); return nil },
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				out[0][i] *= x
				size[0][i] = abs(out[0][i])
			}
			return nil
		},
	},
	{
		op: "Scale", out: 1, in: 1, inPlace: true, scalars: []float32{-1.7},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			copy(out[0], in[0])
			t.Scale(out[0], s[0])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				out[0][i] = s[0] * x
				size[0][i] = abs(out[0][i])
			}
			return nil
		},
	},
	{
		op: "Dot", in: 2,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 { return []float32{t.Dot(in[0], in[1])} },
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			return sumOf(len(in[0]), func(i int) float64 { return in[0][i] * in[1][i] })
		},
	},
	{
		op: "Sum", in: 1,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 { return []float32{t.Sum(in[0])} },
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			return sumOf(len(in[0]), func(i int) float64 { return in[0][i] })
		},
	},
	{
		op: "SumSquares", in: 1,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 { return []float32{t.SumSquares(in[0])} },
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			return sumOf(len(in[0]), func(i int) float64 { return in[0][i] * in[0][i] })
		},
	},
	{
		op: "ExpShift", out: 1, in: 1, inPlace: true, scalars: []float32{1.5, -0.25},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.ExpShift(out[0], in[0], s[0], s[1])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				out[0][i] = math.Exp(s[0]*x - s[1])
				size[0][i] = out[0][i] * (1 + abs(s[0]*x) + abs(s[1]))
			}
			return nil
		},
	},
	{
		op: "LogSumExp", in: 1, scalars: []float32{1.5},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			lse := []float32{0}
			t.LogSumExp(lse, in[0], s[0])
			return lse
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			lse := logSumExp64(in[0], s[0])
			return []float64{lse, 1 + abs(lse)}
		},
	},
	{
		op: "SoftmaxForward", out: 1, in: 1, inPlace: true, scalars: []float32{1.5},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.SoftmaxForward(out[0], in[0], max(1, len(in[0])), s[0])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			lse := logSumExp64(in[0], s[0])
			for i, x := range in[0] {
				out[0][i] = math.Exp(s[0]*x - lse)
				size[0][i] = out[0][i]*(1+abs(s[0]*x)+abs(lse)) + 0x1p-126
			}
			return nil
		},
	},
	{
		op: "CenteredSoftmaxForward", out: 1, in: 2, inPlace: true, scalars: []float32{1.5},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.CenteredSoftmaxForward(out[0], in[0], in[1], s[0])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			x := slices.Clone(in[0])
			for i, c := range in[1] {
				x[i] -= c
			}
			lse := logSumExp64(x, s[0])
			for i, v := range x {
				out[0][i] = math.Exp(s[0]*v - lse)
				size[0][i] = out[0][i]*(1+s[0]*(abs(in[0][i])+abs(in[1][i]))+abs(lse)) + 0x1p-126
			}
			return nil
		},
	},
	{
		op: "SoftmaxBackward", out: 1, in: 2, positive: []int{1},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			bothWays(t, out[0], func(dx []float32, add bool) { t.SoftmaxBackward(dx, in[0], in[1], max(1, len(in[0])), add) })
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			d := sumOf(len(in[0]), func(i int) float64 { return in[0][i] * in[1][i] })
			for i, dy := range in[0] {
				y := in[1][i]
				size[0][i] = abs(out[0][i]) + abs(y)*(abs(dy)+d[1])
				out[0][i] += y * (dy - d[0])
			}
			return nil
		},
	},
	{
		op: "LogSoftmaxForward", out: 1, in: 1, inPlace: true, scalars: []float32{1.5},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.LogSoftmaxForward(out[0], in[0], max(1, len(in[0])), s[0])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			lse := logSumExp64(in[0], s[0])
			for i, x := range in[0] {
				out[0][i] = s[0]*x - lse
				size[0][i] = 1 + abs(s[0]*x) + abs(lse)
			}
			return nil
		},
	},
	{
		op: "LogSoftmaxBackward", out: 1, in: 2,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			bothWays(t, out[0], func(dx []float32, add bool) { t.LogSoftmaxBackward(dx, in[0], in[1], add) })
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			d := sumOf(len(in[0]), func(i int) float64 { return in[0][i] })
			for i, dy := range in[0] {
				e := math.Exp(in[1][i])
				size[0][i] = abs(out[0][i]) + abs(dy) + e*d[1]
				out[0][i] += dy - e*d[0]
			}
			return nil
		},
	},
	{
		op: "GELUForward", out: 1, in: 1, inPlace: true,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 { t.GELUForward(out[0], in[0]); return nil },
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				out[0][i] = gelu64(x)
				size[0][i] = abs(out[0][i]) // relative to the result itself, in the far left tail too
			}
			return nil
		},
	},
	{
		op: "GELUBackward", out: 1, in: 2,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			bothWays(t, out[0], func(dx []float32, add bool) { t.GELUBackward(dx, in[0], in[1], add) })
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, dy := range in[0] {
				size[0][i] = abs(out[0][i]) + abs(dy)*1.13 // the largest derivative
				out[0][i] += dy * geluDerivative64(in[1][i])
			}
			return nil
		},
	},
	{
		op: "GELUAndDerivative", out: 2, in: 1, inPlace: true,
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.GELUAndDerivative(out[1], out[0], in[0])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				out[0][i], out[1][i] = geluDerivative64(x), gelu64(x)
				size[0][i], size[1][i] = 1.13, abs(out[1][i])
			}
			return nil
		},
	},
	{
		op: "LayerNormForward", out: 1, in: 3, inPlace: true, scalars: []float32{1e-3},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			mean, rstd := []float32{0}, []float32{0}
			t.LayerNormForward(out[0], in[0], in[1], in[2], mean, rstd, s[0])
			return []float32{mean[0], rstd[0]}
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			n := float64(len(in[0]))
			sum := sumOf(len(in[0]), func(i int) float64 { return in[0][i] })
			mean, meanSize := sum[0]/n, sum[1]/n
			variance := sumOf(len(in[0]), func(i int) float64 { return (in[0][i] - mean) * (in[0][i] - mean) })[0] / n
			rstd := 1 / math.Sqrt(variance+s[0])
			for i, x := range in[0] {
				size[0][i] = (abs(x)+meanSize)*rstd*abs(in[1][i]) + abs(in[2][i])
				out[0][i] = (x-mean)*rstd*in[1][i] + in[2][i]
			}
			return []float64{mean, meanSize, rstd, rstd * (1 + meanSize*rstd)}
		},
	},
	{
		op: "LayerNormBackward", out: 3, in: 3, scalars: []float32{0.21, 1.3},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			dw, db := slices.Clone(out[1]), slices.Clone(out[2])
			bothWays(t, slices.Clone(out[0]), func(dx []float32, add bool) {
				t.LayerNormBackward(dx, dw, db, in[0], in[1], in[2], s[:1], s[1:], add)
			})
			t.LayerNormBackward(out[0], out[1], out[2], in[0], in[1], in[2], s[:1], s[1:], true)
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			dx, dw, db, dy, x, w, mean, rstd := out[0], out[1], out[2], in[0], in[1], in[2], s[0], s[1]
			n := float64(len(dy))
			xhat := func(i int) float64 { return (x[i] - mean) * rstd }
			g := sumOf(len(dy), func(i int) float64 { return dy[i] * w[i] / n })
			gx := sumOf(len(dy), func(i int) float64 { return dy[i] * w[i] * xhat(i) / n })
			for i := range dy {
				xhatSize := (abs(x[i]) + abs(mean)) * rstd
				size[0][i] = abs(dx[i]) + rstd*(abs(dy[i]*w[i])+g[1]+xhatSize*gx[1]+abs(gx[0]))
				size[1][i] = abs(dw[i]) + abs(dy[i])*xhatSize
				size[2][i] = abs(db[i]) + abs(dy[i])
				dx[i] += rstd * (dy[i]*w[i] - g[0] - xhat(i)*gx[0])
				dw[i] += dy[i] * xhat(i)
				db[i] += dy[i]
			}
			return nil
		},
	},
	{
		op: "L2NormalizeForward", out: 1, in: 1, inPlace: true, scalars: []float32{1e-12},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			return []float32{t.L2NormalizeForward(out[0], in[0], s[0])}
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			norm := norm64(in[0])
			for i, x := range in[0] {
				out[0][i] = x / math.Max(norm, s[0])
				size[0][i] = abs(out[0][i])
			}
			return []float64{norm, norm + 0x1p-60} // the squares of less are denormal
		},
	},
	{
		op: "L2NormalizeBackward", out: 1, in: 2, scalars: []float32{1.9},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			bothWays(t, out[0], func(dx []float32, add bool) { t.L2NormalizeBackward(dx, in[0], in[1], s[0], add) })
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			d := sumOf(len(in[0]), func(i int) float64 { return in[0][i] * in[1][i] })
			for i, dy := range in[0] {
				size[0][i] = abs(out[0][i]) + (abs(dy)+abs(in[1][i])*d[1])/s[0]
				out[0][i] += (dy - in[1][i]*d[0]) / s[0]
			}
			return nil
		},
	},
	{
		op: "WeightNormForward", out: 1, in: 1, normal: true, inPlace: true, scalars: []float32{-1.7},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			return []float32{t.WeightNormForward(out[0], in[0], s[0])}
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			norm := norm64(in[0])
			for i, v := range in[0] {
				out[0][i] = s[0] * v / norm
				size[0][i] = abs(out[0][i])
			}
			return []float64{norm, norm + 0x1p-60} // the squares of less are denormal
		},
	},
	{
		op: "WeightNormBackward", out: 1, in: 2, scalars: []float32{-1.7, 2.3},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			return []float32{t.WeightNormBackward(out[0], in[0], in[1], s[0], s[1])}
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			d := sumOf(len(in[0]), func(i int) float64 { return in[0][i] * in[1][i] / s[1] })
			for i, dw := range in[0] {
				v := in[1][i] / s[1]
				size[0][i] = abs(out[0][i]) + abs(s[0]/s[1])*(abs(dw)+abs(v)*d[1])
				out[0][i] += s[0] / s[1] * (dw - v*d[0])
			}
			return d
		},
	},
	{
		op: "AdamW", out: 4, in: 1, positiveOut: []int{2}, scalars: []float32{0.99, 0.9, 0.999, 0.1, 0.001, 0.01, 1.5, 1e-8, 0.5, 0.996},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			c := AdamWCoefficients{s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9]}
			p, m, v := slices.Clone(out[0]), slices.Clone(out[1]), slices.Clone(out[2])
			t.AdamW(out[0], out[1], out[2], in[0], out[3], c)
			t.AdamW(p, m, v, in[0], nil, c)
			if !sameBits(slices.Concat(p, m, v), slices.Concat(out[0], out[1], out[2])) {
				panic(t.Name + ": AdamW gives other bits without a moving average")
			}
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			p, m, v := out[0], out[1], out[2]
			for i, g := range in[0] {
				g *= s[8]
				mSize := abs(s[1]*m[i]) + abs(s[3]*g)
				m[i] = s[1]*m[i] + s[3]*g
				v[i] = s[2]*v[i] + s[4]*g*g
				denominator := math.Sqrt(v[i])*s[6] + s[7]
				size[0][i] = abs(s[0]*p[i]) + s[5]*mSize/denominator
				size[1][i], size[2][i] = mSize, v[i]
				p[i] = s[0]*p[i] - s[5]*m[i]/denominator
				size[3][i] = abs(s[9]*out[3][i]) + abs((1-s[9])*size[0][i])
				out[3][i] = s[9]*out[3][i] + (1-s[9])*p[i]
			}
			return nil
		},
	},
	{
		op: "SGD", out: 2, in: 1, scalars: []float32{0.1, 0.9, 0.01, 0.5, 0.7},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.SGD(out[0], out[1], in[0], SGDCoefficients{s[0], s[1], s[2], s[3], s[4]})
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			p, m := out[0], out[1]
			for i, g := range in[0] {
				size[1][i] = abs(s[1]*m[i]) + s[4]*(abs(s[3]*g)+abs(s[2]*p[i]))
				size[0][i] = abs(p[i]) + s[0]*size[1][i]
				m[i] = s[1]*m[i] + s[4]*(s[3]*g+s[2]*p[i])
				p[i] -= s[0] * m[i]
			}
			return nil
		},
	},
	{
		op: "EMA", out: 1, in: 1, scalars: []float32{0.996},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 { t.EMA(out[0], in[0], s[0]); return nil },
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, x := range in[0] {
				size[0][i] = abs(s[0]*out[0][i]) + abs((1-s[0])*x)
				out[0][i] = s[0]*out[0][i] + (1-s[0])*x
			}
			return nil
		},
	},
	{
		op: "SoftCrossEntropyForward", in: 2, positive: []int{1}, scalars: []float32{10, 11},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			return []float32{t.SoftCrossEntropyForward(in[0], in[1], s[0], s[1])}
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			r := sumOf(len(in[0]), func(i int) float64 { return -in[1][i] * (s[0]*in[0][i] - s[1]) })
			r[1] += sumOf(len(in[0]), func(i int) float64 { return abs(in[1][i]) * (abs(s[0]*in[0][i]) + s[1]) })[0]
			return r
		},
	},
	{
		op: "SoftCrossEntropyBackward", out: 1, in: 2, positive: []int{1}, scalars: []float32{10, 11, 1.9, -0.3},
		run: func(t *Table, out, in [][]float32, s []float32) []float32 {
			t.SoftCrossEntropyBackward(out[0], in[0], in[1], s[0], s[1], s[2], s[3])
			return nil
		},
		oracle: func(out, size, in [][]float64, s []float64) []float64 {
			for i, z := range in[0] {
				e := s[2] * math.Exp(s[0]*z-s[1])
				size[0][i] = abs(out[0][i]) + abs(s[3])*(e*(1+abs(s[0]*z)+s[1])+abs(in[1][i]))
				out[0][i] += s[3] * (e - in[1][i])
			}
			return nil
		},
	},
}

// bothWays lets a backward add to dx, and panics unless it overwrites another gradient with what it adds to zeros.
func bothWays(t *Table, dx []float32, backward func(dx []float32, add bool)) {
	added, written := make([]float32, len(dx)), make([]float32, len(dx))
	for i := range written {
		written[i] = float32(math.NaN())
	}
	backward(added, true)
	backward(written, false)
	if !sameBits(added, written) {
		panic(fmt.Sprintf("%s: %v is added to zeros, %v is written", t.Name, added, written))
	}
	backward(dx, true)
}

func abs(x float64) float64 { return math.Abs(x) }

// sumOf is Σ f(i) and Σ |f(i)|.
func sumOf(n int, f func(i int) float64) []float64 {
	r := []float64{0, 0}
	for i := range n {
		v := f(i)
		r[0] += v
		r[1] += abs(v)
	}
	return r
}

func norm64(x []float64) float64 {
	return math.Sqrt(sumOf(len(x), func(i int) float64 { return x[i] * x[i] })[0])
}

// logSumExp64 is NaN where the softmax is.
func logSumExp64(x []float64, scale float64) float64 {
	shift := math.Inf(-1)
	for _, v := range x {
		shift = math.Max(shift, scale*v) // NaN wins
	}
	return shift + math.Log(sumOf(len(x), func(i int) float64 { return math.Exp(scale*x[i] - shift) })[0])
}

// gelu64 is the limit 0 at −Inf.
func gelu64(x float64) float64 {
	if math.IsInf(x, -1) {
		return 0
	}
	return x * math.Erfc(-x/math.Sqrt2) / 2
}

// geluDerivative64 is the limits 0 and 1 at ±Inf.
func geluDerivative64(x float64) float64 {
	if math.IsInf(x, 0) {
		return math.Erfc(-x/math.Sqrt2) / 2
	}
	return math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}
