package autograd

import (
	"math"
	"slices"
)

// The operations as one would write them on paper, in float64, for the gradient checks. Arguments are flat and row-major.

func refLinear(x, w, b []float64, in, out int) []float64 {
	var y []float64
	for r := 0; r < len(x); r += in {
		for o := range out {
			s := 0.0
			if b != nil {
				s = b[o]
			}
			for i := range in {
				s += x[r+i] * w[o*in+i]
			}
			y = append(y, s)
		}
	}
	return y
}

func refGELU(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v * 0.5 * (1 + math.Erf(v/math.Sqrt2))
	}
	return y
}

// refMLP is that of xs = x, w1, b1, w2, b2.
func refMLP(xs [][]float64, in, hidden, out int) []float64 {
	return refLinear(refGELU(refLinear(xs[0], xs[1], xs[2], in, hidden)), xs[3], xs[4], hidden, out)
}

// refRows applies f to every row of n elements.
func refRows(x []float64, n int, f func(row []float64) []float64) []float64 {
	var y []float64
	for r := 0; r < len(x); r += n {
		y = append(y, f(x[r:r+n])...)
	}
	return y
}

func refLogSoftmax(row []float64) []float64 {
	s := 0.0
	for _, v := range row {
		s += math.Exp(v)
	}
	y := make([]float64, len(row))
	for i, v := range row {
		y[i] = v - math.Log(s)
	}
	return y
}

func refSoftmax(row []float64) []float64 {
	y := refLogSoftmax(row)
	for i := range y {
		y[i] = math.Exp(y[i])
	}
	return y
}

func refLayerNorm(x, w, b []float64, eps float64) []float64 {
	return refRows(x, len(w), func(row []float64) []float64 {
		n := float64(len(row))
		mean, variance := 0.0, 0.0
		for _, v := range row {
			mean += v / n
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / n
		}
		y := make([]float64, len(row))
		for i, v := range row {
			y[i] = (v-mean)/math.Sqrt(variance+eps)*w[i] + b[i]
		}
		return y
	})
}

func refL2Normalize(row []float64) []float64 {
	s := 0.0
	for _, v := range row {
		s += v * v
	}
	y := make([]float64, len(row))
	for i, v := range row {
		y[i] = v / math.Sqrt(s)
	}
	return y
}

func refWeightNorm(v, g []float64) []float64 {
	w := refRows(v, len(v)/len(g), refL2Normalize)
	for i := range w {
		w[i] *= g[i/(len(v)/len(g))]
	}
	return w
}

func refAttention(qkv []float64, batch, n, heads, d int) []float64 {
	c := heads * d
	y := make([]float64, batch*n*c)
	for b := range batch {
		at := func(token, part, head, i int) float64 { return qkv[((b*n+token)*3+part)*c+head*d+i] }
		for h := range heads {
			for q := range n {
				scores := make([]float64, n)
				for k := range n {
					for i := range d {
						scores[k] += at(q, 0, h, i) * at(k, 1, h, i) / math.Sqrt(float64(d))
					}
				}
				for k, p := range refSoftmax(scores) {
					for i := range d {
						y[(b*n+q)*c+h*d+i] += p * at(k, 2, h, i)
					}
				}
			}
		}
	}
	return y
}

func refResidual(x, branch []float64, scale []float32) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		a := 1.0
		if scale != nil {
			a = float64(scale[i/(len(x)/len(scale))])
		}
		y[i] = x[i] + a*branch[i]
	}
	return y
}

// refResidualSamples adds 1.25·branch to samples 1 and 3 of four.
func refResidualSamples(x, branch []float64) []float64 {
	y, n := slices.Clone(x), len(x)/4
	for i, v := range branch {
		y[(1+2*(i/n))*n+i%n] += 1.25 * v
	}
	return y
}

func refPatchify(x []float64, batch, c, h, w, patch int) []float64 {
	var y []float64
	for b := range batch {
		for i := range h / patch {
			for j := range w / patch {
				for ch := range c {
					for u := range patch {
						for v := range patch {
							y = append(y, x[((b*c+ch)*h+i*patch+u)*w+j*patch+v])
						}
					}
				}
			}
		}
	}
	return y
}

func refConcatTokens(cls, patches, pos []float64, batch int) []float64 {
	var y []float64
	for b := range batch {
		n := len(patches) / batch
		tokens := append(append([]float64(nil), cls...), patches[b*n:][:n]...)
		for i, v := range tokens {
			y = append(y, v+pos[i])
		}
	}
	return y
}

// refInterpolatePos sums over the whole grid, extended by its borders, with the cubic as a function of distance.
func refInterpolatePos(pos []float64, grid, rows, cols, d int, offset float64) []float64 {
	cubic := func(x float64) float64 {
		const a = -0.75
		switch x = math.Abs(x); {
		case x < 1:
			return (a+2)*x*x*x - (a+3)*x*x + 1
		case x < 2:
			return a*x*x*x - 5*a*x*x + 8*a*x - 4*a
		}
		return 0
	}
	source := func(i, size int) float64 { return (float64(i)+0.5)/((float64(size)+offset)/float64(grid)) - 0.5 }
	y := append([]float64(nil), pos[:d]...)
	for i := range rows {
		for j := range cols {
			row := make([]float64, d)
			for u := -3; u < grid+3; u++ {
				for v := -3; v < grid+3; v++ {
					w := cubic(source(i, rows)-float64(u)) * cubic(source(j, cols)-float64(v))
					from := 1 + min(max(u, 0), grid-1)*grid + min(max(v, 0), grid-1)
					for k := range d {
						row[k] += w * pos[from*d+k]
					}
				}
			}
			y = append(y, row...)
		}
	}
	return y
}

// refAntialiasPos weighs the whole grid with the widened cubic and divides by the sum of the weights.
func refAntialiasPos(pos []float64, grid, rows, cols, d int) []float64 {
	weight := func(i, size, from int) float64 {
		const a = -0.5
		wide := max(1, float64(grid)/float64(size))
		switch x := math.Abs((float64(i)+0.5)*float64(grid)/float64(size)-0.5-float64(from)) / wide; {
		case x < 1:
			return (a+2)*x*x*x - (a+3)*x*x + 1
		case x < 2:
			return a*x*x*x - 5*a*x*x + 8*a*x - 4*a
		}
		return 0
	}
	y := append([]float64(nil), pos[:d]...)
	for i := range rows {
		for j := range cols {
			row, total := make([]float64, d), 0.0
			for u := range grid {
				for v := range grid {
					w := weight(i, rows, u) * weight(j, cols, v)
					total += w
					for k := range d {
						row[k] += w * pos[(1+u*grid+v)*d+k]
					}
				}
			}
			for _, v := range row {
				y = append(y, v/total)
			}
		}
	}
	return y
}

func refLayerScale(x, gamma []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v * gamma[i%len(gamma)]
	}
	return y
}

func refInsertTokens(x, tokens []float64, batch, d, at int) []float64 {
	var y []float64
	n := len(x) / batch
	for b := range batch {
		y = slices.Concat(y, x[b*n:][:at*d], tokens, x[b*n+at*d:(b+1)*n])
	}
	return y
}

func refRemoveTokens(x []float64, batch, d, at, count int) []float64 {
	var y []float64
	n := len(x) / batch
	for b := range batch {
		y = slices.Concat(y, x[b*n:][:at*d], x[b*n+(at+count)*d:(b+1)*n])
	}
	return y
}

func refSelectToken(x []float64, batch, d, index int) []float64 {
	var y []float64
	n := len(x) / batch
	for b := range batch {
		y = append(y, x[b*n+index*d:][:d]...)
	}
	return y
}

func refSoftCrossEntropy(logits, target []float64, rows [][]int, k int, scale, weight float64) float64 {
	loss := 0.0
	for r, targets := range rows {
		scaled := make([]float64, k)
		for i := range scaled {
			scaled[i] = scale * logits[r*k+i]
		}
		for i, l := range refLogSoftmax(scaled) {
			for _, m := range targets {
				loss -= weight * target[m*k+i] * l
			}
		}
	}
	return loss
}

func refCrossEntropy(logits []float64, labels []int, classes int, smoothing, weight float64) []float64 {
	loss := 0.0
	for r, label := range labels {
		for k, l := range refLogSoftmax(logits[r*classes : (r+1)*classes]) {
			target := smoothing / float64(classes)
			if k == label {
				target += 1 - smoothing
			}
			loss -= weight * target * l
		}
	}
	return []float64{loss}
}
