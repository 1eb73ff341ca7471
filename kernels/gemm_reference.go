package kernels

import "unsafe"

// referenceGemm is the plain Go kernel. A 2×4 tile is the largest whose sums, with the six elements that they are made of, fit into the
// registers of every CPU.
var referenceGemm = GemmKernel{
	MR: 2, NR: 4, KC: 256, Terms: 1,
	Panel:       gemmPanel,
	PackRows:    gemmPackRows,
	PackColumns: gemmPackColumns,
	SumRows:     gemmSumRows,
	Peak:        gemmPeak,
	PeakFLOP:    16,
}

// gemmPanel is Panel for packed tiles of two rows and packed panels of four columns. Tiles are computed whole; of what is beyond the edges
// nothing is stored.
func gemmPanel(m, n, k, _ int, a *float32, _, _, aNext int, b *float32, _ int, c *float32, ldc int, d *float32, ldd int, alpha, beta float32) {
	const mr, nr = 2, 4
	panel := unsafe.Slice(b, nr*k)
	tiles := unsafe.Slice(a, (m-1)/mr*aNext+mr*k)
	out := unsafe.Slice(c, (m-1)*ldc+n)
	var add []float32
	if d != nil {
		add = unsafe.Slice(d, (m-1)*ldd+n)
	}
	for i := 0; i < m; i += mr {
		sums := gemmTile(tiles[i/mr*aNext:][:mr*k], panel)
		for r := range min(mr, m-i) {
			row := out[(i+r)*ldc:][:n]
			for j := range row {
				v := alpha * sums[r][j]
				if add != nil {
					v += beta * add[(i+r)*ldd+j]
				}
				row[j] = v
			}
		}
	}
}

// gemmTile is Σ_p a[p][i]·b[p][j].
func gemmTile(a, b []float32) (s [2][4]float32) {
	var s00, s01, s02, s03, s10, s11, s12, s13 float32
	for len(a) >= 2 && len(b) >= 4 {
		a0, a1 := a[0], a[1]
		b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
		s00 += a0 * b0
		s01 += a0 * b1
		s02 += a0 * b2
		s03 += a0 * b3
		s10 += a1 * b0
		s11 += a1 * b1
		s12 += a1 * b2
		s13 += a1 * b3
		a, b = a[2:], b[4:]
	}
	return [2][4]float32{{s00, s01, s02, s03}, {s10, s11, s12, s13}}
}

func gemmPackRows(dst *float32, next int, src *float32, ld, k, n, width int) {
	to, from := unsafe.Slice(dst, (n-1)/width*next+k*width), unsafe.Slice(src, (k-1)*ld+n)
	for p := range k {
		for j := 0; j < n; j += width {
			copy(to[j/width*next+p*width:][:width], from[p*ld+j:p*ld+min(j+width, n)])
		}
	}
}

func gemmPackColumns(dst, src *float32, ld, k, n, width int) {
	to, from := unsafe.Slice(dst, k*width), unsafe.Slice(src, (n-1)*ld+k)
	for j := range n {
		for p, v := range from[j*ld : j*ld+k] {
			to[p*width+j] = v
		}
	}
}

func gemmSumRows(sums, a *float32, ld, k, n int) {
	to, columns := unsafe.Slice(sums, n), unsafe.Slice(a, (k-1)*ld+n)
	for i := range to {
		var s [4]float32
		for p := range k {
			s[p%4] += columns[p*ld+i]
		}
		to[i] += (s[0] + s[1]) + (s[2] + s[3])
	}
}

// gemmPeak runs eight chains of multiply-adds.
func gemmPeak(n int) {
	var x [8]float32
	x0, x1, x2, x3, x4, x5, x6, x7 := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	for range n {
		x0 = x0*.5 + .5
		x1 = x1*.5 + .5
		x2 = x2*.5 + .5
		x3 = x3*.5 + .5
		x4 = x4*.5 + .5
		x5 = x5*.5 + .5
		x6 = x6*.5 + .5
		x7 = x7*.5 + .5
	}
	peakSink = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7
}

// peakSink keeps the compiler from leaving the loop out.
var peakSink float32
