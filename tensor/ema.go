package tensor

// EMA computes t[i] = momentum·t[i] + (1 − momentum)·s[i] for all tensors of two lists: the teacher follows the student. They share the threads.
// momentum (1).
func EMA(dev *Device, t, s []*Tensor, momentum *Tensor) {
	check(len(t) == len(s), "EMA", "as many t as s", append(append([]*Tensor{}, t...), s...)...)
	for i := range t {
		check(t[i].Len() == s[i].Len(), "EMA", "t and s of as many elements", t[i], s[i])
	}
	m := momentum.scalar()
	dev.runLists(len(t), func(i int) int { return t[i].Len() }, func(_, i, from, to int) {
		dev.kernels.EMA(t[i].data[from:to], s[i].data[from:to], m)
	})
}
