package tensor

// ConcatRowsForward puts tensors one after the other along their leading dimension. Its gradient is dy.Slice.
func ConcatRowsForward(y *Tensor, xs ...*Tensor) {
	ok, n := len(y.shape) > 0, 0
	for _, x := range xs {
		ok = ok && len(x.shape) == len(y.shape)
		for i := 1; ok && i < len(y.shape); i++ {
			ok = x.shape[i] == y.shape[i]
		}
		if ok {
			n += x.shape[0]
		}
	}
	check(ok && n == y.shape[0], "ConcatRowsForward", "y of as many rows as the others together, the other dimensions equal", append([]*Tensor{y}, xs...)...)
	at := 0
	if g := y.dev.gpu; g != nil {
		for _, x := range xs {
			g.Copy(y.ptr.Add(at, y.typ), x.at(y.typ), x.n*y.typ.Size())
			at += x.n
		}
		return
	}
	for _, x := range xs {
		at += copy(y.data[at:], x.data)
	}
}
