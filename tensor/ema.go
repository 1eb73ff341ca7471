package tensor

// EMA computes t = momentum·t + (1 − momentum)·s: the teacher follows the student.
func EMA(t, s *Tensor, momentum float32) {
	check(t.Len() == s.Len(), "EMA", "t and s of as many elements", t, s)
	t.dev.runElements(t.Len(), func(from, to int) { t.dev.kernels.EMA(t.data[from:to], s.data[from:to], momentum) })
}
