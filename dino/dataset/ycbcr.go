package dataset

import (
	"image"

	"github.com/godino-ml/godino/kernels"
)

// Chroma at half resolution is brought up to luma's with a triangle filter, 3/4 of the nearer sample and 1/4 of the farther one in each
// direction: the "fancy upsampling" that libjpeg does by default and with it every published network's training images. (image.YCbCr's own
// At replicates instead, which is off by tens of grey levels at coloured edges.)

// fromYCbCr converts a JPEG's or WebP's planes.
func fromYCbCr(out *RGB, m *image.YCbCr, video bool) {
	w, h := out.W, out.H
	b := m.Bounds()
	stepX, stepY := chromaStep(m.SubsampleRatio)
	cw, ch := (w+stepX-1)/stepX, (h+stepY-1)/stepY // chroma samples that belong to the picture, without the padding to blocks
	c0 := m.COffset(b.Min.X, b.Min.Y)
	// libjpeg filters only planes more than two samples wide.
	fancyX := stepX == 2 && cw > 2
	fancyY := stepY == 2 && (stepX == 1 || fancyX)
	cbRow, crRow := make([]byte, w+2), make([]byte, w+2)
	k := kernels.Best()
	for y := range h {
		near := y / stepY
		far := near
		if fancyY {
			far = min(max(near-1+2*(y&1), 0), ch-1)
		}
		for i, plane := range [2][]byte{m.Cb[c0:], m.Cr[c0:]} {
			dst := cbRow
			if i == 1 {
				dst = crRow
			}
			a, f := plane[near*m.CStride:], plane[far*m.CStride:]
			switch {
			case fancyX && fancyY:
				k.UpsampleTriangle(dst, a[:cw], f[:cw])
			case fancyX:
				upsampleRow(dst, a[:cw])
			case fancyY:
				bias := 1 + int32(y&1)
				for x := range w {
					dst[x] = byte((3*int32(a[x]) + int32(f[x]) + bias) >> 2)
				}
			case stepX == 1:
				copy(dst[:w], a)
			default:
				for x := range w {
					dst[x] = a[x/stepX]
				}
			}
		}
		luma := m.Y[m.YOffset(b.Min.X, b.Min.Y+y):]
		row := out.Pix[3*y*w : 3*(y+1)*w]
		if video {
			videoRow(row, luma[:w], cbRow[:w], crRow[:w])
		} else {
			k.YCbCrToRGB(row, luma[:w], cbRow[:w], crRow[:w])
		}
	}
}

func chromaStep(r image.YCbCrSubsampleRatio) (x, y int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// upsampleRow doubles a row that is not doubled in height: dst[2x] = (3·s[x] + s[x−1] + 1) >> 2 and dst[2x+1] = (3·s[x] + s[x+1] + 2) >> 2, borders
// clamped. dst has room for 2·len(s) when that exceeds the picture's width by one.
func upsampleRow(dst, s []byte) {
	last := s[0]
	for x, v := range s {
		next := s[min(x+1, len(s)-1)]
		dst[2*x] = byte((3*int32(v) + int32(last) + 1) >> 2)
		dst[2*x+1] = byte((3*int32(v) + int32(next) + 2) >> 2)
		last = v
	}
}

// videoRow is libwebp's conversion (dsp/yuv.h): BT.601 with luma 16–235, products kept at 14 bits and shifted down to 6 before adding.
func videoRow(dst, luma, cb, cr []byte) {
	for x, v := range luma {
		y, u, v := int32(v)*19077>>8, int32(cb[x]), int32(cr[x])
		dst[3*x] = clip8((y + v*26149>>8 - 14234) >> 6)
		dst[3*x+1] = clip8((y - u*6419>>8 - v*13320>>8 + 8708) >> 6)
		dst[3*x+2] = clip8((y + u*33050>>8 - 17685) >> 6)
	}
}

func clip8(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}
