package eval

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/godino-ml/godino/tensor"
)

// Generalised-mean pooling of patch tokens for copy detection: the exponent, and what tokens are clamped at first, as in the reference.
const (
	gemPower = 4
	gemFloor = 1e-6
)

// GeM is the generalised mean (mean of max(x, 1e-6)⁴)^¼ of rows of dim numbers, by column (Radenović et al., arXiv:1711.02512).
func GeM(rows []float32, dim int) []float32 {
	pooled := make([]float32, dim)
	for j := range pooled {
		var sum float64
		for at := j; at < len(rows); at += dim {
			v := math.Max(float64(rows[at]), gemFloor)
			sum += v * v * v * v
		}
		pooled[j] = float32(math.Pow(sum/float64(len(rows)/dim), 1.0/gemPower))
	}
	return pooled
}

// Whitening subtracts a mean, rotates to the directions of a covariance, and divides each by its standard deviation.
type Whitening struct {
	mean       []float32
	projection *mat.Dense // (D, D): row i is eigenvector i over the square root of its eigenvalue
	Floored    int        // directions whose eigenvalue was raised to the floor
}

// whiteningFloor is the smallest eigenvalue as a share of the largest.
const whiteningFloor = 1e-5

// LearnWhitening learns from features f (N, D) as the reference does: the mean is that of f, but the covariance FᵀF/N is taken without
// subtracting it; eigenvalues are raised to 1e-5 of the largest; directions go from the largest eigenvalue to the smallest.
func LearnWhitening(f Features) (*Whitening, error) {
	if err := f.check("whitening"); err != nil {
		return nil, err
	}
	n, d := f.Len(), f.Dim
	x := mat.NewDense(n, d, nil)
	w := &Whitening{mean: make([]float32, d), projection: mat.NewDense(d, d, nil)}
	sum := make([]float64, d)
	for i := range n {
		row := x.RawRowView(i)
		for j, v := range f.Data[i*d : (i+1)*d] {
			row[j] = float64(v)
			sum[j] += row[j]
		}
	}
	for j := range sum {
		w.mean[j] = float32(sum[j] / float64(n))
	}
	var cov mat.SymDense
	cov.SymOuterK(1/float64(n), x.T())
	var eigen mat.EigenSym
	if !eigen.Factorize(&cov, true) {
		return nil, errors.New("the eigenvalues of the whitening features do not converge")
	}
	values := eigen.Values(nil) // rising
	floor := whiteningFloor * values[d-1]
	if !(floor > 0) {
		return nil, errors.New("the whitening features are all zero")
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for i := range d {
		v := values[d-1-i]
		if v < floor {
			v = floor
			w.Floored++
		}
		scale := 1 / math.Sqrt(v)
		for j := range d {
			w.projection.Set(i, j, scale*vectors.At(j, d-1-i))
		}
	}
	return w, nil
}

// Apply whitens features, as new ones.
func (w *Whitening) Apply(f Features) (Features, error) {
	d := len(w.mean)
	if f.Dim != d {
		return Features{}, fmt.Errorf("features of %d dimensions; the whitening was learnt on %d", f.Dim, d)
	}
	n := f.Len()
	centred := mat.NewDense(n, d, nil)
	for i := range n {
		row := centred.RawRowView(i)
		for j, v := range f.Data[i*d : (i+1)*d] {
			row[j] = float64(v) - float64(w.mean[j])
		}
	}
	var out mat.Dense
	out.Mul(centred, w.projection.T())
	g := Features{Data: make([]float32, n*d), Dim: d, Labels: f.Labels}
	for i := range n {
		for j, v := range out.RawRowView(i) {
			g.Data[i*d+j] = float32(v)
		}
	}
	return g, nil
}

// CopyDepth is how many neighbours of a query count: a copy ranked lower is not found.
const CopyDepth = 20

// CopyDetection is the protocol of Copydays: average precision of each query over the CopyDepth rows of the database with the largest
// cosine. positives[i] are the rows that query i is a copy of; a query without any is an error.
func CopyDetection(dev *tensor.Device, queries, database Features, positives [][]int) (ap []float64, mean float64, err error) {
	if len(positives) != queries.Len() {
		return nil, 0, fmt.Errorf("%d lists of positives for %d queries", len(positives), queries.Len())
	}
	near, err := Nearest(dev, queries, database, CopyDepth)
	if err != nil {
		return nil, 0, err
	}
	ap = make([]float64, len(positives))
	for i, list := range positives {
		if len(list) == 0 {
			return nil, 0, fmt.Errorf("query %d is the copy of no image of the database", i)
		}
		is := map[int]bool{}
		for _, p := range list {
			is[p] = true
		}
		var ranks []int
		for r, row := range near.Index[i*near.K : (i+1)*near.K] {
			if is[int(row)] {
				ranks = append(ranks, r)
			}
		}
		ap[i] = AveragePrecision(ranks, len(is))
		mean += ap[i]
	}
	return ap, mean / float64(len(ap)), nil
}
