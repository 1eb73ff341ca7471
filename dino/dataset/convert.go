package dataset

import (
	"image"
	"image/color"
)

// toRGB converts a decoded picture as Pillow's convert("RGB") does: alpha is dropped, grey replicated, sixteen bits keep the high eight.
// videoYCC says that luma spans 16–235, as in WebP.
func toRGB(out *RGB, m image.Image, videoYCC bool) {
	b := m.Bounds()
	out.resize(b.Dx(), b.Dy())
	switch m := m.(type) {
	case *image.YCbCr:
		fromYCbCr(out, m, videoYCC)
	case *image.NYCbCrA:
		fromYCbCr(out, &m.YCbCr, videoYCC)
	case *image.Gray:
		for y := range out.H {
			row, dst := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], out.Pix[3*y*out.W:3*(y+1)*out.W]
			for x := range out.W {
				v := row[x]
				dst[3*x], dst[3*x+1], dst[3*x+2] = v, v, v
			}
		}
	case *image.Gray16:
		for y := range out.H {
			row, dst := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], out.Pix[3*y*out.W:3*(y+1)*out.W]
			for x := range out.W {
				v := row[2*x]
				dst[3*x], dst[3*x+1], dst[3*x+2] = v, v, v
			}
		}
	case *image.NRGBA:
		for y := range out.H {
			dropAlpha(out.Pix[3*y*out.W:3*(y+1)*out.W], m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], 4, 1)
		}
	case *image.NRGBA64:
		for y := range out.H {
			dropAlpha(out.Pix[3*y*out.W:3*(y+1)*out.W], m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], 8, 2)
		}
	case *image.RGBA:
		if !m.Opaque() {
			fromAny(out, m)
			break
		}
		for y := range out.H {
			dropAlpha(out.Pix[3*y*out.W:3*(y+1)*out.W], m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], 4, 1)
		}
	case *image.RGBA64:
		if !m.Opaque() {
			fromAny(out, m)
			break
		}
		for y := range out.H {
			dropAlpha(out.Pix[3*y*out.W:3*(y+1)*out.W], m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], 8, 2)
		}
	case *image.Paletted:
		fromPaletted(out, m)
	case *image.CMYK:
		for y := range out.H {
			row, dst := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], out.Pix[3*y*out.W:3*(y+1)*out.W]
			for x := range out.W {
				white := 255 - uint32(row[4*x+3])
				for c := range 3 {
					dst[3*x+c] = byte(white - div255(uint32(row[4*x+c])*white))
				}
			}
		}
	default:
		fromAny(out, m)
	}
}

// div255 is x/255 rounded to nearest for x ≤ 255·255, as Pillow's MULDIV255.
func div255(x uint32) uint32 {
	x += 128
	return (x + x>>8) >> 8
}

// dropAlpha copies the first three channels of src, whose pixels are size bytes and whose channels are step bytes, big end first.
func dropAlpha(dst, src []byte, size, step int) {
	for len(dst) >= 3 {
		dst[0], dst[1], dst[2] = src[0], src[step], src[2*step]
		dst, src = dst[3:], src[size:]
		if len(src) < 2*step+1 {
			return
		}
	}
}

func fromPaletted(out *RGB, m *image.Paletted) {
	var table [256][3]byte // an index beyond the palette is black
	for i, c := range m.Palette {
		if i < 256 {
			table[i] = straight(c)
		}
	}
	b := m.Bounds()
	for y := range out.H {
		row, dst := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], out.Pix[3*y*out.W:3*(y+1)*out.W]
		for x := range out.W {
			c := &table[row[x]]
			dst[3*x], dst[3*x+1], dst[3*x+2] = c[0], c[1], c[2]
		}
	}
}

// straight is a colour without its alpha: not blended with black, as RGBA() would give it.
func straight(c color.Color) [3]byte {
	if n, ok := c.(color.NRGBA); ok {
		return [3]byte{n.R, n.G, n.B}
	}
	n := color.NRGBA64Model.Convert(c).(color.NRGBA64)
	return [3]byte{byte(n.R >> 8), byte(n.G >> 8), byte(n.B >> 8)}
}

func fromAny(out *RGB, m image.Image) {
	b := m.Bounds()
	for y := range out.H {
		for x := range out.W {
			c := straight(m.At(b.Min.X+x, b.Min.Y+y))
			copy(out.Pix[3*(y*out.W+x):], c[:])
		}
	}
}
