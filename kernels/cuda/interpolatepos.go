package cuda

// RowSums are the weighted sums of rows of a sparse matrix, in memory of the GPU: that of row r has the terms Start[r] <= k < Start[r+1].
type RowSums struct {
	Start, Index Ptr // int32
	Weight       Ptr // float32
}

// InterpolatePos computes y[r] = Σ_k Weight[k]·x[Index[k]], or adds it to y[r], for rows of n float32 columns.
func (d *Device) InterpolatePos(y, x Ptr, s RowSums, rows, n int, add bool) {
	d.launch("interpolatepos", "interpolatepos", Dim{X: rows}, Dim{X: 32 * min(ceilDiv(n, 4*32), 8)}, 0,
		P(y), P(x), P(s.Start), P(s.Index), P(s.Weight), I(n), Flag(add))
}
