package kernels

// solarize: x[i] = 255 − x[i] where x[i] ≥ threshold.
func solarize(x []byte, threshold byte) {
	for i, v := range x {
		if v >= threshold {
			x[i] = 255 - v
		}
	}
}
