package kernels

// shiftHue turns each colour r[i], g[i], b[i] on the colour circle by shift, a full turn being 255 (sic) and bytes wrapping at 256: to hue,
// saturation and value in bytes, as Pillow rounds them, hue plus shift, and back (Convert.c, rgb2hsv_row and hsv2rgb). Pillow computes parts of
// this in double precision; for every argument there is, float32 gives the same bytes.
func shiftHue(r, g, b []byte, shift byte) {
	for i := range r {
		h, s, v := hueSaturationValue(r[i], g[i], b[i])
		r[i], g[i], b[i] = colourOf(h+shift, s, v)
	}
}

func hueSaturationValue(r, g, b byte) (h, s, v byte) {
	hi, lo := max(r, g, b), min(r, g, b)
	c := hi - lo
	if c == 0 {
		return 0, 0, hi
	}
	mid := byte(int(r) + int(g) + int(b) - int(hi) - int(lo))
	// The hue in sixths of the circle: 0 red, 2 green, 4 blue, off by up to 1 towards the middle channel.
	base, clockwise := float32(4), r >= g
	switch hi {
	case r:
		base, clockwise = 0, g >= b
	case g:
		base, clockwise = 2, b >= r
	}
	far := float32(hi-mid) / float32(c)
	sixths := base + 1 - far
	if !clockwise {
		sixths = base - 1 + far
	}
	turn := sixths / 6
	if turn < 0 {
		turn++
	}
	return byte(float32(turn * 255)), byte(float32(float32(c)/float32(hi)) * 255), hi
}

// colourOf is the way back: the textbook's p, q and t, rounded.
func colourOf(h, s, v byte) (r, g, b byte) {
	sector, part := hueSector(h)
	saturation := float32(s) / 255
	fraction := float32(part) / 255
	if sector%2 == 0 {
		fraction = 1 - fraction
	}
	low := byte(float32(float32(v)*(1-saturation)) + 0.5)
	middle := byte(float32(float32(v)*(1-float32(saturation*fraction))) + 0.5)
	switch sector {
	case 0:
		return v, middle, low
	case 1:
		return middle, v, low
	case 2:
		return low, v, middle
	case 3:
		return low, middle, v
	case 4:
		return middle, low, v
	}
	return v, low, middle
}

// hueSector is which sixth of the circle the hue lies in, and how far into it in 255ths.
func hueSector(h byte) (sector, part int) {
	turns := 6 * int(h)
	return turns / 255 % 6, turns % 255
}
