package kernels

import "math"

// rowAssembly is one instruction set's assembly of the row-wise and elementwise operations. Its functions take pointers to n elements, n > 0.
type rowAssembly struct {
	add                      func(y, x *float32, n int)
	addScaled                func(y, x *float32, n int, a float32)
	addScaledTo              func(y, x, b *float32, n int, a float32)
	addProduct               func(y, a, b *float32, n int)
	mul                      func(y, x *float32, n int)
	scaleShift               func(y, x *float32, n int, scale, shift float32)
	dot                      func(x, y *float32, n int) float32
	sum                      func(x *float32, n int) float32
	sumSquares               func(x *float32, n int, shift float32) float32
	max                      func(x *float32, n int) float32
	maxDifference            func(y, x, center *float32, n int) float32
	expShift                 func(y, x *float32, n int, scale, shift float32)
	expBelow                 func(y, x, ahead *float32, n int, max, scaleLog2e float32) float32
	sumExpBelow              func(x, ahead *float32, n int, max, scaleLog2e float32) float32
	softmaxRows              func(y, x *float32, n, m int, scaleLog2e float32)
	logSoftmaxRows           func(y, x *float32, n, m int, scale, scaleLog2e float32)
	logSumExpRows            func(lse, x *float32, n, m int, scale, scaleLog2e float32)
	softmaxBackward          func(dx, dy, y *float32, n, m int, keep uint32)
	logSoftmaxBackward       func(dx, dy, y *float32, n int, s float32, keep uint32)
	geluForward              func(y, x *float32, n int)
	geluBackward             func(dx, dy, x *float32, n int, keep uint32)
	geluAndDerivative        func(y, dydx, x *float32, n int)
	layerNormForward         func(y, x, weight, bias, mean, rstd *float32, n, rows int, inv, eps float32)
	layerNormBackward        func(dx, dweight, dbias, dy, x, weight, mean, rstd *float32, n, rows int, inv float32, keep uint32)
	addProjected             func(dx, dy, y *float32, n int, a, b float32, keep uint32)
	adamW                    func(p, m, v, g *float32, n int, decay, beta1, rest1, beta2, rest2, stepSize, invSqrtBias, eps, gradScale float32)
	adamWEMA                 func(p, m, v, g, t *float32, n int, decay, beta1, rest1, beta2, rest2, stepSize, invSqrtBias, eps, gradScale, momentum, rest float32)
	ema                      func(t, s *float32, n int, momentum, rest float32)
	softCrossEntropyForward  func(logits, target *float32, n int, scale, logSumExp float32) float32
	softCrossEntropyBackward func(dlogits, logits, target *float32, n int, scale, logSumExp, targetSum, w float32)
}

// segment is the most elements that one call of assembly gets. Assembly cannot be preempted: a stop of the garbage collector waits for it, here
// some 20 µs. It also bounds the length of a float32 sum; the sums of segments are added in float64.
const segment = 16384

// at is the address of x[from], with room for n elements from there.
func at(x []float32, from, n int) *float32 {
	_ = x[from+n-1]
	return &x[from]
}

// segments calls f for every segment of n elements.
func segments(n int, f func(from, n int)) {
	for from := 0; from < n; from += segment {
		f(from, min(segment, n-from))
	}
}

// sumSegments adds what f gives for every segment of n elements.
func sumSegments(n int, f func(from, n int) float32) float64 {
	var s float64
	for from := 0; from < n; from += segment {
		s += float64(f(from, min(segment, n-from)))
	}
	return s
}

// override sets the lines of t to the assembly a.
func (a *rowAssembly) override(t *Table) {
	t.Add = func(y, x []float32) {
		segments(len(y), func(i, n int) { a.add(at(y, i, n), at(x, i, n), n) })
	}
	t.AddProduct = func(y, p, q []float32) {
		segments(len(y), func(i, n int) { a.addProduct(at(y, i, n), at(p, i, n), at(q, i, n), n) })
	}
	t.AddScaled = func(y, x []float32, s float32) {
		segments(len(y), func(i, n int) { a.addScaled(at(y, i, n), at(x, i, n), n, s) })
	}
	t.AddScaledTo = func(y, x, b []float32, s float32) {
		segments(len(x), func(i, n int) { a.addScaledTo(at(y, i, n), at(x, i, n), at(b, i, n), n, s) })
	}
	t.Mul = func(y, x []float32) {
		segments(len(y), func(i, n int) { a.mul(at(y, i, n), at(x, i, n), n) })
	}
	t.Scale = func(y []float32, s float32) { a.scaleTo(y, y, s) }
	t.Dot = func(x, y []float32) float32 { return float32(a.dotOf(x, y)) }
	t.Sum = func(x []float32) float32 { return float32(a.sumOf(x)) }
	t.SumSquares = func(x []float32) float32 { return float32(a.sumSquaresOf(x, 0)) }
	t.ExpShift = func(y, x []float32, scale, shift float32) {
		segments(len(x), func(i, n int) { a.expShift(at(y, i, n), at(x, i, n), n, scale, shift) })
	}
	t.LogSumExp = a.logSumExp
	t.SoftmaxForward = a.softmax
	t.CenteredSoftmaxForward = a.centeredSoftmax
	t.SoftmaxBackward = func(dx, dy, y []float32, n int, add bool) {
		rowSegments(len(y), n, func(row, rows int) {
			i := row * n
			a.softmaxBackward(at(dx, i, rows*n), at(dy, i, rows*n), at(y, i, rows*n), n, rows, keep(add))
		})
	}
	t.LogSoftmaxForward = a.logSoftmax
	t.LogSoftmaxBackward = func(dx, dy, y []float32, add bool) {
		s := float32(a.sumOf(dy))
		segments(len(y), func(i, n int) { a.logSoftmaxBackward(at(dx, i, n), at(dy, i, n), at(y, i, n), n, s, keep(add)) })
	}
	t.GELUForward = func(y, x []float32) {
		segments(len(x), func(i, n int) { a.geluForward(at(y, i, n), at(x, i, n), n) })
	}
	t.GELUBackward = func(dx, dy, x []float32, add bool) {
		segments(len(x), func(i, n int) { a.geluBackward(at(dx, i, n), at(dy, i, n), at(x, i, n), n, keep(add)) })
	}
	t.GELUAndDerivative = func(y, dydx, x []float32) {
		segments(len(x), func(i, n int) { a.geluAndDerivative(at(y, i, n), at(dydx, i, n), at(x, i, n), n) })
	}
	t.LayerNormForward = a.layerNorm
	t.LayerNormBackward = a.layerNormUndo
	t.L2NormalizeForward = func(y, x []float32, eps float32) float32 {
		norm := float32(math.Sqrt(a.sumSquaresOf(x, 0)))
		a.scaleTo(y, x, 1/max(norm, eps))
		return norm
	}
	t.L2NormalizeBackward = func(dx, dy, y []float32, norm float32, add bool) {
		a.project(dx, dy, y, 1/norm, float32(a.dotOf(dy, y)), add)
	}
	t.WeightNormForward = func(w, v []float32, g float32) float32 {
		norm := float32(math.Sqrt(a.sumSquaresOf(v, 0)))
		a.scaleTo(w, v, g/norm)
		return norm
	}
	t.WeightNormBackward = func(dv, dw, v []float32, g, norm float32) float32 {
		dg := float32(a.dotOf(dw, v)) / norm
		if len(dv) > 0 {
			a.project(dv, dw, v, g/norm, dg/norm, true)
		}
		return dg
	}
	t.AdamW = func(p, m, v, g, t []float32, c AdamWCoefficients) {
		segments(len(p), func(i, n int) {
			if len(t) > 0 {
				a.adamWEMA(at(p, i, n), at(m, i, n), at(v, i, n), at(g, i, n), at(t, i, n), n,
					c.Decay, c.Beta1, c.Rest1, c.Beta2, c.Rest2, c.StepSize, c.InvSqrtBias, c.Eps, c.GradScale, c.Momentum, 1-c.Momentum)
				return
			}
			a.adamW(at(p, i, n), at(m, i, n), at(v, i, n), at(g, i, n), n,
				c.Decay, c.Beta1, c.Rest1, c.Beta2, c.Rest2, c.StepSize, c.InvSqrtBias, c.Eps, c.GradScale)
		})
	}
	t.EMA = func(t, s []float32, momentum float32) {
		segments(len(t), func(i, n int) { a.ema(at(t, i, n), at(s, i, n), n, momentum, 1-momentum) })
	}
	t.SoftCrossEntropyForward = func(logits, target []float32, scale, lse float32) float32 {
		return float32(-sumSegments(len(logits), func(i, n int) float32 {
			return a.softCrossEntropyForward(at(logits, i, n), at(target, i, n), n, scale, lse)
		}))
	}
	t.SoftCrossEntropyBackward = func(dlogits, logits, target []float32, scale, lse, targetSum, w float32) {
		segments(len(logits), func(i, n int) {
			a.softCrossEntropyBackward(at(dlogits, i, n), at(logits, i, n), at(target, i, n), n, scale, lse, targetSum, w)
		})
	}
}

func (a *rowAssembly) dotOf(x, y []float32) float64 {
	return sumSegments(len(x), func(i, n int) float32 { return a.dot(at(x, i, n), at(y, i, n), n) })
}

func (a *rowAssembly) sumOf(x []float32) float64 {
	return sumSegments(len(x), func(i, n int) float32 { return a.sum(at(x, i, n), n) })
}

// sumSquaresOf is Σ (x[i] − shift)².
func (a *rowAssembly) sumSquaresOf(x []float32, shift float32) float64 {
	return sumSegments(len(x), func(i, n int) float32 { return a.sumSquares(at(x, i, n), n, shift) })
}

// scaleTo computes y[i] = s·x[i].
func (a *rowAssembly) scaleTo(y, x []float32, s float32) {
	segments(len(x), func(i, n int) { a.scaleShift(at(y, i, n), at(x, i, n), n, s, 0) })
}

// project computes dx[i] = p·(dy[i] − q·y[i]), or adds it to dx[i].
func (a *rowAssembly) project(dx, dy, y []float32, p, q float32, add bool) {
	segments(len(y), func(i, n int) { a.addProjected(at(dx, i, n), at(dy, i, n), at(y, i, n), n, p, q, keep(add)) })
}

// keep is the mask of what a gradient is added to.
func keep(add bool) uint32 {
	if add {
		return math.MaxUint32
	}
	return 0
}

// shortRow is the most elements of a row that is worked on with others, in the first-level cache.
const shortRow = 1024

func (a *rowAssembly) softmax(y, x []float32, n int, scale float32) {
	if n > shortRow {
		for i := 0; i < len(x); i += n {
			a.softmaxOfLong(y[i:i+n], x[i:i+n], nil, scale)
		}
		return
	}
	rowSegments(len(x), n, func(row, rows int) {
		a.softmaxRows(at(y, row*n, rows*n), at(x, row*n, rows*n), n, rows, scaleLog2e(scale))
	})
}

func (a *rowAssembly) centeredSoftmax(y, x, center []float32, scale float32) {
	n := len(center)
	for i := 0; i < len(x); i += n {
		if n > shortRow {
			a.softmaxOfLong(y[i:i+n], x[i:i+n], center, scale)
		} else {
			a.maxDifference(at(y, i, n), at(x, i, n), at(center, 0, n), n)
		}
	}
	if n <= shortRow {
		a.softmax(y[:len(x)], y[:len(x)], n, scale)
	}
}

func (a *rowAssembly) logSoftmax(y, x []float32, n int, scale float32) {
	if n > shortRow {
		for i := 0; i < len(x); i += n {
			lse := a.logSumExpOfLong(x[i:i+n], scale)
			segments(n, func(from, n int) { a.scaleShift(at(y, i+from, n), at(x, i+from, n), n, scale, lse) })
		}
		return
	}
	rowSegments(len(x), n, func(row, rows int) {
		a.logSoftmaxRows(at(y, row*n, rows*n), at(x, row*n, rows*n), n, rows, scale, scaleLog2e(scale))
	})
}

func (a *rowAssembly) logSumExp(lse, x []float32, scale float32) {
	if len(lse) == 0 {
		return
	}
	n := len(x) / len(lse)
	if n == 0 {
		for i := range lse {
			lse[i] = float32(math.NaN())
		}
		return
	}
	if n > shortRow {
		for r := range lse {
			lse[r] = a.logSumExpOfLong(x[r*n:(r+1)*n], scale)
		}
		return
	}
	rowSegments(len(x), n, func(row, rows int) {
		a.logSumExpRows(at(lse, row, rows), at(x, row*n, rows*n), n, rows, scale, scaleLog2e(scale))
	})
}

// scaleLog2e is scale·log₂e: exp(scale·t) is 2 to the power of that times t.
func scaleLog2e(scale float32) float32 { return float32(float64(scale) * math.Log2E) }

// A long row is summed up block by block, so that it is in the first-level cache when its exponentials are computed. They are those of
// scale·(x[i] − top), where top is the largest x[i] so far: what was summed up above another is scaled when it rises (Milakov, Gimelshein 2018).
type onlineSum struct {
	scale, top float32
	sum        float64
}

const (
	onlineBlock  = 2048 // elements, at least
	onlineBlocks = 128  // of a row, at most
)

func newOnlineSum(scale float32) onlineSum {
	return onlineSum{scale: scale, top: -math.MaxFloat32} // it can be taken off −Inf
}

// raise makes top at least x.
func (s *onlineSum) raise(x float32) {
	if x > s.top {
		old := s.top
		s.top = x
		s.sum *= s.exp(old)
	}
}

func (s *onlineSum) exp(x float32) float64 {
	return math.Exp(float64(s.scale) * (float64(x) - float64(s.top)))
}

func (a *rowAssembly) logSumExpOfLong(x []float32, scale float32) float32 {
	s := newOnlineSum(scale)
	for len(x) > 0 {
		n := min(onlineBlock, len(x))
		s.raise(a.max(at(x, 0, n), n))
		s.sum += float64(a.sumExpBelow(at(x, 0, n), &x[min(n, len(x)-1)], n, s.top, scaleLog2e(scale)))
		x = x[n:]
	}
	if s.sum == 0 {
		return float32(math.NaN()) // −Inf alone
	}
	return float32(float64(scale)*float64(s.top) + math.Log(s.sum))
}

// softmaxOfLong is the softmax of scale·(x − center), or of scale·x if center is nil.
func (a *rowAssembly) softmaxOfLong(y, x, center []float32, scale float32) {
	s := newOnlineSum(scale)
	var tops [onlineBlocks]float32
	size := max(onlineBlock, (len(x)/onlineBlocks+16)&^15)
	for i, from := 0, 0; from < len(x); i, from = i+1, from+size {
		ahead := x[min(from+size, len(x)-1):]
		x, y := x[from:min(from+size, len(x))], y[from:]
		if center != nil {
			s.raise(a.differenceTo(y, x, center[from:]))
			x = y[:len(x)]
		} else {
			s.raise(a.maxOf(x))
		}
		tops[i] = s.top
		s.sum += sumSegments(len(x), func(i, n int) float32 {
			return a.expBelow(at(y, i, n), at(x, i, n), &ahead[min(i, len(ahead)-1)], n, s.top, scaleLog2e(scale))
		})
	}
	for i, from := 0, 0; from < len(x); i, from = i+1, from+size {
		y := y[from:min(from+size, len(x))]
		a.scaleTo(y, y, float32(s.exp(tops[i])/s.sum))
	}
}

// maxOf is the largest x[i].
func (a *rowAssembly) maxOf(x []float32) float32 {
	m := float32(math.Inf(-1))
	segments(len(x), func(i, n int) { m = max(m, a.max(at(x, i, n), n)) })
	return m
}

// differenceTo computes y = x − center and its largest element.
func (a *rowAssembly) differenceTo(y, x, center []float32) float32 {
	m := float32(math.Inf(-1))
	segments(len(x), func(i, n int) { m = max(m, a.maxDifference(at(y, i, n), at(x, i, n), at(center, i, n), n)) })
	return m
}

func (a *rowAssembly) layerNorm(y, x, weight, bias, mean, rstd []float32, eps float32) {
	n := len(x) / max(1, len(mean))
	rowSegments(len(x), n, func(row, rows int) {
		a.layerNormForward(at(y, row*n, rows*n), at(x, row*n, rows*n), at(weight, 0, n), at(bias, 0, n), at(mean, row, rows), at(rstd, row, rows),
			n, rows, float32(1/float64(n)), eps)
	})
}

func (a *rowAssembly) layerNormUndo(dx, dweight, dbias, dy, x, weight, mean, rstd []float32, add bool) {
	n := len(x) / max(1, len(mean))
	rowSegments(len(x), n, func(row, rows int) {
		var dxRow *float32
		if len(dx) > 0 {
			dxRow = at(dx, row*n, rows*n)
		}
		a.layerNormBackward(dxRow, at(dweight, 0, n), at(dbias, 0, n), at(dy, row*n, rows*n), at(x, row*n, rows*n), at(weight, 0, n),
			at(mean, row, rows), at(rstd, row, rows), n, rows, float32(1/float64(n)), keep(add))
	})
}

// rowSegments calls f for all rows of n elements, a segment at a time but at least one row.
func rowSegments(elements, n int, f func(row, rows int)) {
	if n == 0 {
		return
	}
	count, per := elements/n, max(1, segment/n)
	for row := 0; row < count; row += per {
		f(row, min(per, count-row))
	}
}
