package eval

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// maxSpectrumRows bounds the images that a spectrum is computed from.
const maxSpectrumRows = 8192

// Spread says how much of the feature space is in use. Features that collapse to a point or a few directions show it before accuracy does.
type Spread struct {
	// EffectiveRank is exp(H(p)), p the singular values of the L2-normalised features divided by their sum: 1 when all features point in
	// one direction, D when all directions carry the same (Roy and Vetterli 2007; RankMe, arXiv:2210.02885).
	EffectiveRank float64
	// Std is the standard deviation of the L2-normalised features, averaged over dimensions: 0 when all are the same, about 1/√D when
	// they are spread evenly (Chen and He, arXiv:2011.10566).
	Std float64
	// EvenStd is 1/√D, to compare Std with.
	EvenStd float64
}

// MeasureSpread computes the spread of features; of more than 8192 rows it takes every n-th.
func MeasureSpread(f Features) (Spread, error) {
	if err := f.check("given"); err != nil {
		return Spread{}, err
	}
	d := f.Dim
	step := (f.Len() + maxSpectrumRows - 1) / maxSpectrumRows
	rows := (f.Len() + step - 1) / step
	x := mat.NewDense(rows, d, nil)
	scale := f.inverseNorms()
	for i := range rows {
		for j, v := range f.Data[i*step*d : (i*step+1)*d] {
			x.Set(i, j, float64(v)*float64(scale[i*step]))
		}
	}
	s := Spread{EvenStd: 1 / math.Sqrt(float64(d))}
	for j := range d {
		var sum, squares float64
		for i := range rows {
			sum += x.At(i, j)
		}
		mean := sum / float64(rows)
		for i := range rows {
			squares += (x.At(i, j) - mean) * (x.At(i, j) - mean)
		}
		s.Std += math.Sqrt(squares/float64(rows)) / float64(d)
	}
	// The eigenvalues of the smaller of XᵀX and XXᵀ are the squares of X's singular values.
	var gram mat.SymDense
	if rows < d {
		gram.SymOuterK(1, x)
	} else {
		gram.SymOuterK(1, x.T())
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(&gram, false) {
		return s, errors.New("the eigenvalues of the features do not converge")
	}
	var singular []float64
	var sum float64
	values := eigen.Values(nil)
	// What rounding leaves of a zero eigenvalue must not count as a direction.
	floor := 1e-12 * values[len(values)-1]
	for _, v := range values {
		if v > floor {
			singular = append(singular, math.Sqrt(v))
			sum += math.Sqrt(v)
		}
	}
	var entropy float64
	for _, v := range singular {
		entropy -= v / sum * math.Log(v/sum)
	}
	s.EffectiveRank = math.Exp(entropy)
	return s, nil
}
