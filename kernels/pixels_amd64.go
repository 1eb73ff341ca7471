package kernels

// pixelAssembly is one instruction set's assembly of the operations on bytes. Its functions take pointers to n bytes, n > 0 and a multiple of
// lanes; plain Go does the rest, with the same bits.
type pixelAssembly struct {
	lanes            int // of 32 bits
	transposeBytes   func(dst *byte, ldd int, src *byte, lds, n int)
	resample         func(dst, src *byte, n, stride int, weights *int32, taps int)
	boxBlur          func(dst, src *byte, n, stride int, weights *int32, taps int)
	luma             func(dst, r, g, b *byte, n int)
	lumaSum          func(r, g, b *byte, n int) uint32
	blendGrey        func(x *byte, n int, grey, factor float32)
	saturation       func(r, g, b *byte, n int, factor float32)
	shiftHue         func(r, g, b *byte, n int, shift uint32)
	solarize         func(x *byte, n int, threshold uint32)
	normalizeBytes   func(dst *float32, src *byte, n int, mean, std float32)
	upsampleTriangle func(dst, near, far *byte, n int)
	yCbCrToRGB       func(dst, luma, cb, cr *byte, n int)
}

// byteAt is the address of x[from], with room for n bytes from there.
func byteAt(x []byte, from, n int) *byte {
	_ = x[from+n-1]
	return &x[from]
}

// wholeVectors calls f for segments of n bytes in multiples of unit and returns how many are left.
func wholeVectors(n, unit int, f func(from, n int)) (rest int) {
	whole := n - n%unit
	segments(whole, f)
	return n - whole
}

// override sets the lines of t to the assembly a.
func (a *pixelAssembly) override(t *Table) {
	t.TransposeBytes = a.transpose
	t.Resample = func(dst, src []byte, stride int, weights []int32) {
		weightedSum(dst, src, stride, weights, a.lanes, a.resample, resample)
	}
	t.BoxBlur = func(dst, src []byte, stride int, weights []int32) {
		weightedSum(dst, src, stride, weights, a.lanes, a.boxBlur, boxBlur)
	}
	t.Luma = func(dst, r, g, b []byte) {
		rest := wholeVectors(len(dst), a.lanes, func(i, n int) {
			a.luma(byteAt(dst, i, n), byteAt(r, i, n), byteAt(g, i, n), byteAt(b, i, n), n)
		})
		i := len(dst) - rest
		luma(dst[i:], r[i:], g[i:], b[i:])
	}
	t.LumaSum = func(r, g, b []byte) int {
		sum := 0
		rest := wholeVectors(len(r), a.lanes, func(i, n int) {
			sum += int(a.lumaSum(byteAt(r, i, n), byteAt(g, i, n), byteAt(b, i, n), n))
		})
		i := len(r) - rest
		return sum + lumaSum(r[i:], g[i:], b[i:])
	}
	t.BlendGrey = func(x []byte, grey byte, factor float32) {
		if rest := wholeVectors(len(x), a.lanes, func(i, n int) { a.blendGrey(byteAt(x, i, n), n, float32(grey), factor) }); rest > 0 {
			blendGrey(x[len(x)-rest:], grey, factor)
		}
	}
	t.Saturation = func(r, g, b []byte, factor float32) {
		rest := wholeVectors(len(r), a.lanes, func(i, n int) {
			a.saturation(byteAt(r, i, n), byteAt(g, i, n), byteAt(b, i, n), n, factor)
		})
		if rest > 0 {
			i := len(r) - rest
			saturation(r[i:], g[i:], b[i:], factor)
		}
	}
	t.ShiftHue = func(r, g, b []byte, shift byte) {
		rest := wholeVectors(len(r), a.lanes, func(i, n int) {
			a.shiftHue(byteAt(r, i, n), byteAt(g, i, n), byteAt(b, i, n), n, uint32(shift))
		})
		i := len(r) - rest
		shiftHue(r[i:], g[i:], b[i:], shift)
	}
	t.Solarize = func(x []byte, threshold byte) {
		rest := wholeVectors(len(x), 4*a.lanes, func(i, n int) { a.solarize(byteAt(x, i, n), n, uint32(threshold)) })
		solarize(x[len(x)-rest:], threshold)
	}
	t.NormalizeBytes = func(dst []float32, src []byte, mean, std float32) {
		rest := wholeVectors(len(src), a.lanes, func(i, n int) {
			a.normalizeBytes(at(dst, i, n), byteAt(src, i, n), n, mean, std)
		})
		if rest > 0 {
			i := len(src) - rest
			normalizeBytes(dst[i:], src[i:], mean, std)
		}
	}
	t.UpsampleTriangle = a.upsample
	t.YCbCrToRGB = func(dst, luma, cb, cr []byte) {
		const unit = 16
		rest := wholeVectors(len(luma), unit, func(i, n int) {
			a.yCbCrToRGB(byteAt(dst, 3*i, 3*n), byteAt(luma, i, n), byteAt(cb, i, n), byteAt(cr, i, n), n)
		})
		i := len(luma) - rest
		yCbCrToRGB(dst[3*i:], luma[i:], cb[i:], cr[i:])
	}
}

// weightedSum runs the assembly of Resample or BoxBlur on whole vectors, the last of which may overlap the one before it.
func weightedSum(dst, src []byte, stride int, weights []int32, lanes int,
	assembly func(dst, src *byte, n, stride int, weights *int32, taps int), plain func(dst, src []byte, stride int, weights []int32)) {
	n, taps := len(dst), len(weights)
	if n < lanes || taps == 0 {
		plain(dst, src, stride, weights)
		return
	}
	_ = src[(taps-1)*stride+n-1]
	whole := n - n%lanes
	block := 4 * lanes
	chunk := max(1<<19/taps/block, 1) * block // see segment
	for i := 0; i < whole; i += chunk {
		assembly(&dst[i], &src[i], min(chunk, whole-i), stride, &weights[0], taps)
	}
	if whole < n {
		assembly(&dst[n-lanes], &src[n-lanes], lanes, stride, &weights[0], taps)
	}
}

// transpose takes the rows by eights and the columns by 32s; the last of either may overlap those before them.
func (a *pixelAssembly) transpose(dst []byte, ldd int, src []byte, lds, rows, cols int) {
	const height, width = 8, 32
	if rows < height || cols < width {
		transposeBytes(dst, ldd, src, lds, rows, cols)
		return
	}
	_, _ = dst[(cols-1)*ldd+rows-1], src[(rows-1)*lds+cols-1]
	whole := cols - cols%width
	for i := 0; i < rows; i += height {
		i := min(i, rows-height)
		a.transposeBytes(&dst[i], ldd, &src[i*lds], lds, whole)
		if whole < cols {
			j := cols - width
			a.transposeBytes(&dst[j*ldd+i], ldd, &src[i*lds+j], lds, width)
		}
	}
}

// upsample leaves the borders, which have one neighbour, to plain Go.
func (a *pixelAssembly) upsample(dst, near, far []byte) {
	n := len(near)
	unit := 2 * a.lanes
	if n < unit+2 {
		upsampleTriangle(dst, near, far)
		return
	}
	_, _ = dst[2*n-1], far[n-1]
	upsampleTriangle(dst, near[:2], far[:2]) // right in its first pixels; the others are overwritten
	upsampleTriangle(dst[2*n-4:], near[n-2:], far[n-2:])
	a.upsampleTriangle(&dst[2], &near[1], &far[1], (n-2)/unit*unit)
	i := n - 1 - unit
	a.upsampleTriangle(&dst[2*i], &near[i], &far[i], unit)
}
