package viz

import (
	"image/color"
	"math"
)

// Colormap turns [0, 1] into colours: evenly spaced stops, linear between them.
type Colormap []uint32

// Viridis and Inferno are the perceptually uniform maps of matplotlib (S. van der Walt and N. Smith, CC0) at 16 of their 256 stops. Their
// lightness rises evenly, so a map reads the same in grey and to colour-blind eyes. Viridis is what the reference's imsave uses.
var (
	Viridis = Colormap{0x440154, 0x481a6c, 0x472f7d, 0x414487, 0x39568c, 0x31688e, 0x2a788e, 0x23888e,
		0x1f988b, 0x22a884, 0x35b779, 0x54c568, 0x7ad151, 0xa5db36, 0xd2e21b, 0xfde725}
	Inferno = Colormap{0x000004, 0x0c0826, 0x240c4f, 0x420a68, 0x5d126e, 0x781c6d, 0x932667, 0xae305c,
		0xc73e4c, 0xdd513a, 0xed6925, 0xf8850f, 0xfca50a, 0xfac62d, 0xf2e661, 0xfcffa4}
)

// At is the colour of v, which is clamped to [0, 1]; NaN is 0.
func (m Colormap) At(v float64) color.RGBA {
	if !(v > 0) {
		v = 0
	}
	at := math.Min(v, 1) * float64(len(m)-1)
	i := min(int(at), len(m)-2)
	part := at - float64(i)
	mix := func(shift uint) uint8 {
		a, b := float64(m[i]>>shift&0xff), float64(m[i+1]>>shift&0xff)
		return uint8(math.Round(a + part*(b-a)))
	}
	return color.RGBA{mix(16), mix(8), mix(0), 255}
}
