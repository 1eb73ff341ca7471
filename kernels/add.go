package kernels

// add: y[i] += x[i].
func add(y, x []float32) {
	for i, v := range x {
		y[i] += v
	}
}

// addScaled: y[i] += a·x[i].
func addScaled(y, x []float32, a float32) {
	for i, v := range x {
		y[i] += a * v
	}
}

// addScaledTo: y[i] = x[i] + a·b[i]. y may be x.
func addScaledTo(y, x, b []float32, a float32) {
	for i, v := range x {
		y[i] = v + a*b[i]
	}
}

// addProduct: y[i] += a[i]·b[i].
func addProduct(y, a, b []float32) {
	for i := range y {
		y[i] += a[i] * b[i]
	}
}

// clearUnless clears dx unless add: before a plain backward adds to it.
func clearUnless(add bool, dx []float32) {
	if !add {
		clear(dx)
	}
}

// mul: y[i] *= x[i].
func mul(y, x []float32) {
	for i, v := range x {
		y[i] *= v
	}
}

// scale: y[i] *= a.
func scale(y []float32, a float32) {
	for i := range y {
		y[i] *= a
	}
}
