package tensor

// CenterUpdate moves DINO's centre towards the mean of the rows of logits whose sum is sum: c = momentum·c + rest·sum, unless skip (1) has a bit
// that is not 0. It also tells the norm of the centre and how many of used are not 0. sum and used are cleared. center, sum and
// used (K), norm and count (1). It is for GPUs, where Scale, AddScaled and SumSquares would be a pass each.
func CenterUpdate(center, sum, used, skip, norm, count *Tensor, momentum, rest float32) {
	n := center.Len()
	check(sum.Len() == n && used.Len() == n && skip.Len() == 1 && norm.Len() == 1 && count.Len() == 1, "CenterUpdate",
		"center, sum, used (K), skip, norm, count (1)", center, sum, used, skip, norm, count)
	center.dev.gpu.Center(center.f32(), sum.f32(), used.f32(), skip.f32(), norm.f32(), count.f32(), momentum, rest, n)
}
