package cuda

// Dot computes s = Σ x[i]·y[i] of n elements; s is one float32.
func (d *Device) Dot(s, x, y Ptr, t Type, n int) { d.sumElements("dot_", s, t, 1, n, P(x), P(y)) }

// Sum computes s = a·Σ x[i].
func (d *Device) Sum(s, x Ptr, t Type, a float32, n int) { d.sumElements("sum_", s, t, a, n, P(x)) }

// SumSquares computes s = Σ x[i]².
func (d *Device) SumSquares(s, x Ptr, t Type, n int) { d.sumElements("sumsquares_", s, t, 1, n, P(x)) }

func (d *Device) sumElements(kernel string, s Ptr, t Type, a float32, n int, arrays ...Arg) {
	if n == 0 {
		d.Clear(s, 1, Float32)
		return
	}
	// The grid decides the order of additions, so it depends on n alone: eight elements a thread, and no more blocks than fill a large GPU.
	blocks := min(ceilDiv(n, 8*256), 8*132)
	partial := d.workspace(blocks * 4)
	d.launch("dot", kernel+t.String(), Dim{X: blocks}, Dim{X: 256}, 0, append(append([]Arg{P(partial)}, arrays...), U64(uint64(n)))...)
	d.launch("dot", "dot_end", Dim{X: 1}, Dim{X: 256}, 0, P(s), P(partial), F(a), I(blocks))
}
