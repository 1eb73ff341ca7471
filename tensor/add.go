package tensor

// AddForward computes y = a + b, all of the same shape. y may be a or b.
func AddForward(y, a, b *Tensor) {
	check(SameShape(y, a) && SameShape(a, b), "AddForward", "y, a and b of the same shape", y, a, b)
	if g := y.dev.gpu; g != nil {
		y.written()
		g.Add(y.ptr, a.at(y.typ), b.at(y.typ), y.typ, y.n)
		return
	}
	if y.Len() > 0 && &y.data[0] == &b.data[0] {
		a, b = b, a // or the copy would overwrite b
	}
	y.dev.runElements(y.Len(), func(from, to int) {
		copy(y.data[from:to], a.data[from:to])
		y.dev.kernels.Add(y.data[from:to], b.data[from:to])
	})
}

// AddScaled computes y += a·x, of the same shape.
func AddScaled(y, x *Tensor, a float32) {
	check(SameShape(y, x), "AddScaled", "y and x of the same shape", y, x)
	if g := y.dev.gpu; g != nil {
		y.written()
		g.AddScaled(y.ptr, x.at(y.typ), y.typ, a, y.n)
		return
	}
	y.dev.runElements(y.Len(), func(from, to int) {
		y.dev.kernels.AddScaled(y.data[from:to], x.data[from:to], a)
	})
}

// Scale computes x *= a.
func Scale(x *Tensor, a float32) {
	if g := x.dev.gpu; g != nil {
		x.written()
		g.Scale(x.ptr, x.typ, a, x.n)
		return
	}
	x.dev.runElements(x.Len(), func(from, to int) { x.dev.kernels.Scale(x.data[from:to], a) })
}

// Fill sets every element of x to a.
func Fill(x *Tensor, a float32) {
	if g := x.dev.gpu; g != nil {
		x.written()
		g.Fill(x.ptr, x.typ, a, x.n)
		return
	}
	x.dev.runElements(x.Len(), func(from, to int) {
		x := x.data[from:to]
		for i := range x {
			x[i] = a
		}
	})
}
