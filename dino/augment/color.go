package augment

import (
	"math"
	"sync"
)

// luma is Pillow's conversion to grey, ITU-R 601-2 in 16-bit fixed point.
func luma(r, g, b byte) byte {
	return byte((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 0x8000) >> 16)
}

// blendTo is Pillow's Image.blend of two bytes, from + factor·(to − from) cut towards zero and clipped.
func blendTo(from, to int, factor float32) byte {
	v := float32(from) + float32(factor*float32(to-from))
	switch {
	case v <= 0:
		return 0
	case v >= 255:
		return 255
	}
	return byte(v)
}

// blendConstant blends a grey level and the picture: pix = grey + factor·(pix − grey). Brightness and contrast are both of this form.
func blendConstant(pix []byte, grey int, factor float64) {
	var table [256]byte
	for v := range table {
		table[v] = blendTo(grey, v, float32(factor))
	}
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// brightness is torchvision's adjust_brightness: 0 gives black, 1 the picture.
func brightness(pix []byte, factor float64) { blendConstant(pix, 0, factor) }

// contrast is adjust_contrast: 0 gives the picture's mean grey level, 1 the picture.
func contrast(pix []byte, factor float64) {
	sum := 0
	for i := 0; i+2 < len(pix); i += 3 {
		p := pix[i : i+3 : i+3]
		sum += int(luma(p[0], p[1], p[2]))
	}
	mean := int(float64(sum)/float64(len(pix)/3) + 0.5)
	blendConstant(pix, mean, factor)
}

// saturation is adjust_saturation: 0 gives the grey picture, 1 the picture.
func saturation(pix []byte, factor float64) {
	// The blend is g + factor·(v−g): tabulate factor·d cut down to an integer. As g is one, only a result below zero would be cut
	// differently, and it is clipped.
	var table [511]int32
	for d := -255; d <= 255; d++ {
		table[d+255] = int32(math.Floor(float64(float32(factor) * float32(d))))
	}
	for i := 0; i+2 < len(pix); i += 3 {
		p := pix[i : i+3 : i+3]
		g := int32(luma(p[0], p[1], p[2]))
		p[0] = clip8(g + table[int32(p[0])-g+255])
		p[1] = clip8(g + table[int32(p[1])-g+255])
		p[2] = clip8(g + table[int32(p[2])-g+255])
	}
}

func grayscale(pix []byte) {
	for i := 0; i+2 < len(pix); i += 3 {
		p := pix[i : i+3 : i+3]
		v := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = v, v, v
	}
}

// solarize inverts the bytes from threshold on.
func solarize(pix []byte, threshold byte) {
	for i, v := range pix {
		if v >= threshold {
			pix[i] = 255 - v
		}
	}
}

func flipHorizontally(pix []byte, w, h int) {
	for y := range h {
		row := pix[3*w*y : 3*w*(y+1)]
		for a, b := 0, 3*(w-1); a < b; a, b = a+3, b-3 {
			p, q := row[a:a+3:a+3], row[b:b+3:b+3]
			p[0], q[0] = q[0], p[0]
			p[1], q[1] = q[1], p[1]
			p[2], q[2] = q[2], p[2]
		}
	}
}

// Tables of Pillow's RGB to HSV (Convert.c, rgb2hsv_row), which rounds hue and saturation to bytes. With the largest channel, the
// smallest and their difference c, hue depends on which channel is largest and on ((middle − smallest)/c), saturation on c/largest. They
// are tabulated because the byte depends on single-precision rounding, which integers would not reproduce.
var hsv = sync.OnceValue(func() *hsvTables {
	t := new(hsvTables)
	for c := 1; c < 256; c++ {
		cr := float32(c)
		for m := 0; m <= c; m++ {
			far := float32(c-m) / cr // (largest − middle)/c; for the smallest channel it is 1, for the largest 0
			t.hue[0][c][m] = hueByte(float64(float32(1 - far)))
			t.hue[1][c][m] = hueByte(float64(float32(far - 1)))
			t.hue[2][c][m] = hueByte(float64(float32(2.0 + 1 - float64(far))))
			t.hue[3][c][m] = hueByte(float64(float32(2.0 + float64(far) - 1)))
			t.hue[4][c][m] = hueByte(float64(float32(4.0 + 1 - float64(far))))
			t.hue[5][c][m] = hueByte(float64(float32(4.0 + float64(far) - 1)))
		}
		for v := c; v < 256; v++ {
			t.saturation[v][c] = byte(min(int(float64(float32(c)/float32(v))*255), 255))
		}
	}
	for h := range 256 {
		x := float32(h)
		t.sector[h] = uint8(int(math.Floor(float64(x)*6.0/255.0)) % 6)
		t.fraction[h] = float64(float32(float64(x)*6.0/255.0 - math.Floor(float64(x)*6.0/255.0)))
	}
	return t
})

// hueByte takes Pillow's hue in sixths of the circle to a byte.
func hueByte(h float64) byte {
	h = float64(float32(math.Mod(float64(float32(h))/6.0+1.0, 1.0)))
	return byte(min(max(int(h*255.0), 0), 255))
}

type hsvTables struct {
	// largest channel and order of the others: 0 r≥g≥b, 1 r≥b≥g, 2 g≥b≥r, 3 g≥r≥b, 4 b≥r≥g, 5 b≥g≥r
	hue        [6][256][256]byte // [order][c][middle − smallest]
	saturation [256][256]byte    // [largest][c]
	sector     [256]uint8
	fraction   [256]float64
}

// shiftHue is adjust_hue: to HSV in bytes, hue plus factor·255 cut to a byte with wrap-around, and back.
func shiftHue(pix []byte, factor float64) {
	t := hsv()
	shift := byte(int(factor * 255))
	for i := 0; i+2 < len(pix); i += 3 {
		p := pix[i : i+3 : i+3]
		r, g, b := p[0], p[1], p[2]
		hi, lo := max(r, g, b), min(r, g, b)
		c := hi - lo
		if c == 0 {
			continue // grey: saturation 0 gives the same grey back
		}
		var h byte
		switch hi {
		case r:
			if g >= b {
				h = t.hue[0][c][g-lo]
			} else {
				h = t.hue[1][c][b-lo]
			}
		case g:
			if b >= r {
				h = t.hue[2][c][b-lo]
			} else {
				h = t.hue[3][c][r-lo]
			}
		default:
			if r >= g {
				h = t.hue[4][c][r-lo]
			} else {
				h = t.hue[5][c][g-lo]
			}
		}
		h += shift
		s := t.saturation[hi][c]
		if s == 0 {
			p[0], p[1], p[2] = hi, hi, hi
			continue
		}
		// Back (Convert.c, hsv2rgb): p, q and t of the textbook formula, rounded.
		v, fs, f := float64(hi), float64(float32(s)/255), t.fraction[h]
		low := byte(v*(1-fs) + 0.5)
		switch t.sector[h] {
		case 0:
			p[0], p[1], p[2] = hi, byte(v*(1-fs*(1-f))+0.5), low
		case 1:
			p[0], p[1], p[2] = byte(v*(1-fs*f)+0.5), hi, low
		case 2:
			p[0], p[1], p[2] = low, hi, byte(v*(1-fs*(1-f))+0.5)
		case 3:
			p[0], p[1], p[2] = low, byte(v*(1-fs*f)+0.5), hi
		case 4:
			p[0], p[1], p[2] = byte(v*(1-fs*(1-f))+0.5), low, hi
		default:
			p[0], p[1], p[2] = hi, low, byte(v*(1-fs*f)+0.5)
		}
	}
}
