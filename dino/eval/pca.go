package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/godino-ml/godino/tensor"
)

// PCA are the directions along which features vary most.
type PCA struct {
	Dim        int
	Mean       []float64 // (D)
	Components []float32 // (K, D), each of length 1, the one of the largest variance first
	Explained  []float64 // (K): share of the variance
}

// FitPCA finds the first k principal components of features. The sign of a component, which is arbitrary, is such that the entry of the
// largest magnitude is positive; of entries within a thousandth of it the first counts, so that rounding does not decide. Components of
// equal variance are not determined.
func FitPCA(dev *tensor.Device, f Features, k int) (*PCA, error) {
	dev = dev.Host() // features are in the program's memory
	if err := f.check("PCA"); err != nil {
		return nil, err
	}
	n, d := f.Len(), f.Dim
	if k < 1 || k > d {
		return nil, fmt.Errorf("%d components of features of %d dimensions: choose 1 to %d", k, d, d)
	}
	p := &PCA{Dim: d, Mean: make([]float64, d), Components: make([]float32, k*d), Explained: make([]float64, k)}
	for i := range n {
		for j, v := range f.Data[i*d : (i+1)*d] {
			p.Mean[j] += float64(v)
		}
	}
	for j := range p.Mean {
		p.Mean[j] /= float64(n)
	}
	// The covariance by products of blocks of centred rows, added in float64.
	const block = 4096
	centred, part := make([]float32, min(block, n)*d), make([]float32, d*d)
	cov := mat.NewSymDense(d, nil)
	for first := 0; first < n; first += block {
		rows := min(block, n-first)
		for i := range rows {
			for j, v := range f.Data[(first+i)*d : (first+i+1)*d] {
				centred[i*d+j] = float32(float64(v) - p.Mean[j])
			}
		}
		dev.Gemm(true, false, d, d, rows, 1, centred, d, centred, d, 0, part, d) // Xᵀ·X
		for i := range d {
			for j := i; j < d; j++ {
				cov.SetSym(i, j, cov.At(i, j)+float64(part[i*d+j])/float64(n))
			}
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(cov, true) {
		return nil, errors.New("the eigenvalues of the covariance do not converge")
	}
	values := eigen.Values(nil) // rising
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	total := mat.Trace(cov)
	for c := range k {
		column := mat.Col(nil, d-1-c, &vectors)
		sign := float64(1)
		largest := max(slices.Max(column), -slices.Min(column))
		for _, v := range column {
			if math.Abs(v) >= 0.999*largest {
				sign = math.Copysign(1, v)
				break
			}
		}
		for j, v := range column {
			p.Components[c*d+j] = float32(sign * v)
		}
		if total > 0 {
			p.Explained[c] = max(0, values[d-1-c]) / total
		}
	}
	return p, nil
}

// Project are the coordinates (N, K) of features along the components, from their mean.
func (p *PCA) Project(dev *tensor.Device, f Features) []float32 {
	dev = dev.Host()
	n, d, k := f.Len(), p.Dim, len(p.Components)/p.Dim
	y := make([]float32, n*k)
	dev.Gemm(false, true, n, k, d, 1, f.Data, d, p.Components, d, 0, y, k) // (N, D)·(K, D)ᵀ
	for c := range k {
		var offset float64
		for j, m := range p.Mean {
			offset += m * float64(p.Components[c*d+j])
		}
		for i := range n {
			y[i*k+c] = float32(float64(y[i*k+c]) - offset)
		}
	}
	return y
}

// Otsu is the threshold that parts values in [0, 1] into two classes with the largest variance between them (N. Otsu, A threshold selection
// method from gray-level histograms, 1979), over 256 bins: values of at least it are the upper class.
func Otsu(values []float32) float64 {
	const bins = 256
	var histogram [bins]float64
	for _, v := range values {
		histogram[min(max(int(v*bins), 0), bins-1)]++
	}
	var total, sum float64
	for b, n := range histogram {
		total += n
		sum += n * float64(b)
	}
	best, at := -1.0, bins/2
	last := at // of thresholds that are as good: bins without values
	var below, belowSum float64
	for b := 1; b < bins; b++ {
		below += histogram[b-1]
		belowSum += histogram[b-1] * float64(b-1)
		above := total - below
		if below == 0 || above == 0 {
			continue
		}
		gap := belowSum/below - (sum-belowSum)/above
		switch between := below * above * gap * gap; {
		case between > best:
			best, at, last = between, b, b
		case between == best:
			last = b
		}
	}
	return float64(at+last) / 2 / bins
}
