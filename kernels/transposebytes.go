package kernels

// transposeBytes: dst[j·ldd+i] = src[i·lds+j] for i < rows and j < cols.
func transposeBytes(dst []byte, ldd int, src []byte, lds, rows, cols int) {
	for i := range rows {
		for j, v := range src[i*lds : i*lds+cols] {
			dst[j*ldd+i] = v
		}
	}
}
