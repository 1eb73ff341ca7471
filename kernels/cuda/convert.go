package cuda

// Convert copies n elements of x, of type tx, to y, of the other type.
func (d *Device) Convert(y Ptr, ty Type, x Ptr, tx Type, n int) {
	d.launch("convert", "convert_"+tx.String()+"_"+ty.String(), d.elements((n+3)/4), Dim{X: 256}, 0, P(y), P(x), I(n))
}
