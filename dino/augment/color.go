package augment

// brightness is torchvision's adjust_brightness: 0 gives black, 1 the picture.
func (s *Scratch) brightness(p *planes, factor float64) {
	s.kernels().BlendGrey(p.pix, 0, float32(factor))
}

// contrast is adjust_contrast: 0 gives the picture's mean grey level, 1 the picture.
func (s *Scratch) contrast(p *planes, factor float64) {
	sum := s.kernels().LumaSum(p.rgb())
	mean := int(float64(sum)/float64(p.w*p.h) + 0.5)
	s.kernels().BlendGrey(p.pix, byte(mean), float32(factor))
}

// saturation is adjust_saturation: 0 gives the grey picture, 1 the picture.
func (s *Scratch) saturation(p *planes, factor float64) {
	r, g, b := p.rgb()
	s.kernels().Saturation(r, g, b, float32(factor))
}

// hue is adjust_hue: the hue in bytes plus factor·255 cut to a byte.
func (s *Scratch) hue(p *planes, factor float64) {
	r, g, b := p.rgb()
	s.kernels().ShiftHue(r, g, b, hueShift(factor))
}

// hueShift is a hue's factor in bytes.
func hueShift(factor float64) byte { return byte(int(factor * 255)) }

func (s *Scratch) grayscale(p *planes) {
	r, g, b := p.rgb()
	s.kernels().Luma(r, r, g, b)
	copy(g, r)
	copy(b, r)
}

// solarize inverts the bytes from threshold on.
func (s *Scratch) solarize(p *planes, threshold byte) { s.kernels().Solarize(p.pix, threshold) }
