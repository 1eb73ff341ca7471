package kernels

// normalizeBytes: dst[i] = (src[i]/255 − mean)/std, rounded to float32 after each operation.
func normalizeBytes(dst []float32, src []byte, mean, std float32) {
	var table [256]float32
	for v := range table {
		table[v] = (float32(v)/255 - mean) / std
	}
	for i, v := range src {
		dst[i] = table[v]
	}
}
