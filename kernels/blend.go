package kernels

// blendGrey: x[i] = grey + factor·(x[i] − grey), rounded to float32 after each operation, cut towards zero and clipped to a byte: Pillow's
// Image.blend with a picture of one grey level.
func blendGrey(x []byte, grey byte, factor float32) {
	var table [256]byte
	for v := range table {
		b := float32(grey) + float32(factor*float32(v-int(grey)))
		switch {
		case b >= 255:
			table[v] = 255
		case b > 0:
			table[v] = byte(b)
		}
	}
	for i, v := range x {
		x[i] = table[v]
	}
}
