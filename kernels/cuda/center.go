package cuda

// Center moves DINO's centre (n): c = momentum·c + rest·sum, unless *skip, a uint32, is not 0. *norm gets ‖c‖ and *count the number of used (uint32, n) that
// are not 0; sum and used are then cleared. All else is float32.
func (d *Device) Center(center, sum, used, skip, norm, count Ptr, momentum, rest float32, n int) {
	d.launch("center", "center", Dim{X: 1}, Dim{X: 1024}, 0, P(center), P(sum), P(used), P(skip), P(norm), P(count), F(momentum), F(rest), I(n))
}
