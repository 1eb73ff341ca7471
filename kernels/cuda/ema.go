package cuda

// EMA computes T = momentum·T + (1 − momentum)·P of all parameters, and the bf16 copy of T. momentum is one float32.
func (d *Device) EMA(p *Parameters, momentum Ptr) {
	d.launch("ema", "ema", p.grid(), Dim{X: 256}, 0, P(p.list), P(p.chunks), P(momentum))
}
