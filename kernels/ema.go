package kernels

// ema: t[i] = momentum·t[i] + (1 − momentum)·s[i].
func ema(t, s []float32, momentum float32) {
	rest := 1 - momentum
	for i, v := range s {
		t[i] = momentum*t[i] + rest*v
	}
}
