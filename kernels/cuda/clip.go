package cuda

// Clip measures the gradients of all parameters: norms ‖g‖ of each; scales min(1, most/(‖g‖ + 1e-6)), or 1 if most is 0; total, the norm of all together; and
// skip, a uint32: 1 unless total and *loss (which may be 0) are finite, else 0. A parameter without gradient has norm 0.
func (d *Device) Clip(norms, scales, total, skip, loss Ptr, p *Parameters, most float32) {
	sums := d.workspace(4 * p.blocks)
	d.launch("clip", "clip_sums", p.grid(), Dim{X: 256}, 0, P(sums), P(p.list), P(p.chunks))
	d.launch("clip", "clip_scales", warps(p.Count), Dim{X: 256}, 0, P(norms), P(scales), P(sums), P(p.list), I(p.Count), F(most))
	d.launch("clip", "clip_total", Dim{X: 1}, Dim{X: 32}, 0, P(total), P(skip), P(loss), P(norms), I(p.Count))
}
