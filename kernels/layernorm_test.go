package kernels

import (
	"slices"
	"testing"
)

// TestLayerNormRows: several rows in one call have the bits that they have alone, with and without a gradient of x.
func TestLayerNormRows(t *testing.T) {
	for _, table := range Tables() {
		rng := newValues()
		for _, n := range []int{1, 7, 16, 65, 384, 6000} {
			for _, rows := range []int{1, 2, 5} {
				random := func(n int) []float32 {
					x := make([]float32, n)
					rng.fill(x, false)
					return x
				}
				x, dy, w, b := random(rows*n), random(rows*n), random(n), random(n)
				y, mean, rstd := make([]float32, rows*n), make([]float32, rows), make([]float32, rows)
				table.LayerNormForward(y, x, w, b, mean, rstd, 1e-6)
				dx, dw, db := random(rows*n), random(n), random(n)
				dxAlone, dwAlone, dbAlone := slices.Clone(dx), slices.Clone(dw), slices.Clone(db)
				table.LayerNormBackward(dx, dw, db, dy, x, w, mean, rstd, true)
				for r := range rows {
					row := func(x []float32) []float32 { return x[r*n : (r+1)*n] }
					alone, m, s := make([]float32, n), make([]float32, 1), make([]float32, 1)
					table.LayerNormForward(alone, row(x), w, b, m, s, 1e-6)
					if !sameBits(slices.Concat(alone, m, s), slices.Concat(row(y), mean[r:r+1], rstd[r:r+1])) {
						t.Fatalf("%s: forward of row %d of %d, %d elements, is not that of the row alone", table.Name, r, rows, n)
					}
					table.LayerNormBackward(row(dxAlone), dwAlone, dbAlone, row(dy), row(x), w, m, s, true)
				}
				if !sameBits(slices.Concat(dx, dw, db), slices.Concat(dxAlone, dwAlone, dbAlone)) {
					t.Fatalf("%s: backward of %d rows of %d elements is not that of each alone", table.Name, rows, n)
				}
				clear(dw)
				clear(dwAlone)
				table.LayerNormBackward(nil, dw, db, dy, x, w, mean, rstd, false)
				table.LayerNormBackward(dx, dwAlone, dbAlone, dy, x, w, mean, rstd, false)
				if !sameBits(slices.Concat(dw, db), slices.Concat(dwAlone, dbAlone)) {
					t.Fatalf("%s: gradients of weight and bias change with an unwanted dx", table.Name)
				}
			}
		}
	}
}
