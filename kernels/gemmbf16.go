package kernels

import (
	"math"
	"unsafe"
)

// referenceGemmBF16 is the meaning of products in bf16: op(A) and op(B) are rounded to bf16, float32 cut to 8 bits of significand, to nearest
// with ties to even; the exact products of two of those are added to a sum in float32, the second of every two terms before the first.
// Denormals are zero: those of A and B, and those that a sum would be. NaN and infinities stay what they are. alpha, beta and D are float32.
var referenceGemmBF16 = GemmKernel{
	MR: 2, NR: 4, KC: 768, Terms: 2,
	Panel:       gemmBF16Panel,
	PackRows:    panelByPanel(gemmBF16PackRows),
	PackColumns: gemmBF16PackColumns,
	SumRows:     gemmBF16SumRows,
	Peak:        gemmPeak,
	PeakFLOP:    16,
}

// gemmBF16Panel is gemmPanel of packed words that hold two terms each.
func gemmBF16Panel(m, n, k, _ int, a *float32, _, _, aNext int, b *float32, _ int, c *float32, ldc int, d *float32, ldd int, alpha, beta float32) {
	const mr, nr = 2, 4
	panel := words(b, nr*k)
	tiles := words(a, (m-1)/mr*aNext+mr*k)
	out := unsafe.Slice(c, (m-1)*ldc+n)
	for i := range m {
		tile := tiles[i/mr*aNext:][:mr*k]
		for j := range n {
			var sum float32
			for p := range k {
				x, y := tile[p*mr+i%mr], panel[p*nr+j]
				sum = addBF16(sum, x>>16, y>>16)
				sum = addBF16(sum, x, y)
			}
			v := alpha * sum
			if d != nil {
				v += beta * unsafe.Slice(d, i*ldd+n)[i*ldd+j]
			}
			out[i*ldc+j] = v
		}
	}
}

const oneBF16 = 0x3f80

// addBF16 is sum + x·y for the bf16 numbers in the low halves, rounded once: the sum in float64 is exact, or far from halfway between two
// float32.
func addBF16(sum float32, x, y uint32) float32 {
	return flushed(float32(float64(sum) + float64(fromBF16(x))*float64(fromBF16(y))))
}

// panelByPanel makes PackRows of a function that packs a single panel.
func panelByPanel(pack func(dst, src *float32, ld, k, n, width int)) func(dst *float32, next int, src *float32, ld, k, n, width int) {
	return func(dst *float32, next int, src *float32, ld, k, n, width int) {
		to, from := unsafe.Slice(dst, (n-1)/width*next+1), unsafe.Slice(src, n)
		for j := 0; j < n; j += width {
			pack(&to[j/width*next], &from[j], ld, k, min(width, n-j), width)
		}
	}
}

func gemmBF16PackRows(dst, src *float32, ld, k, n, width int) {
	to, from := words(dst, (k+1)/2*width), unsafe.Slice(src, (k-1)*ld+n)
	for p := 0; p < k; p += 2 {
		for j := range n {
			w := toBF16(from[p*ld+j])
			if p+1 < k {
				w |= toBF16(from[(p+1)*ld+j]) << 16
			}
			to[p/2*width+j] = w
		}
	}
}

func gemmBF16PackColumns(dst, src *float32, ld, k, n, width int) {
	to, from := words(dst, (k+1)/2*width), unsafe.Slice(src, (n-1)*ld+k)
	for j := range n {
		row := from[j*ld : j*ld+k]
		for p := 0; p < k; p += 2 {
			w := toBF16(row[p])
			if p+1 < k {
				w |= toBF16(row[p+1]) << 16
			}
			to[p/2*width+j] = w
		}
	}
}

// gemmBF16SumRows adds up rows of two terms an element, in the order of SumRows and of gemmBF16Panel.
func gemmBF16SumRows(sums, a *float32, ld, k, n int) {
	to, columns := unsafe.Slice(sums, n), words(a, (k-1)*ld+n)
	for i := range to {
		var s [4]float32
		for p := range k {
			w, sum := columns[p*ld+i], &s[p%4]
			*sum = addBF16(*sum, w>>16, oneBF16)
			*sum = addBF16(*sum, w, oneBF16)
		}
		to[i] += (s[0] + s[1]) + (s[2] + s[3])
	}
}

// words are n packed elements as what they hold.
func words(p *float32, n int) []uint32 { return unsafe.Slice((*uint32)(unsafe.Pointer(p)), n) }

// toBF16 is x as a bf16 number, in the low half.
func toBF16(x float32) uint32 {
	b := math.Float32bits(flushed(x))
	if x != x {
		return b>>16 | 1<<6 // quiet
	}
	return (b + 0x7fff + b>>16&1) >> 16
}

// fromBF16 is the bf16 number in the low half of w.
func fromBF16(w uint32) float32 { return math.Float32frombits(w << 16) }

// flushed is x, or 0 of its sign in place of a denormal.
func flushed(x float32) float32 {
	const sign, exponent = 1 << 31, 0xff << 23
	if b := math.Float32bits(x); b&exponent == 0 {
		return math.Float32frombits(b & sign)
	}
	return x
}
