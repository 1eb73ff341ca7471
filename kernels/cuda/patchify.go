package cuda

// PatchifyForward writes the patches of img (count, channels, height, width) to y (count, ⌊height/patch⌋·⌊width/patch⌋, channels·patch²). Pixels to the right
// and below the last whole patch are left out. The types are those of y and img; a float32 y has a float32 img.
func (d *Device) PatchifyForward(y, img Ptr, yt, imgt Type, count, channels, height, width, patch int) {
	d.launch("patchify", "patchify_forward_"+yt.String()+"_"+imgt.String(), patchWarps(count, height, width, patch), Dim{X: 256}, 0,
		P(y), P(img), I(count), I(channels), I(height), I(width), I(patch))
}

// PatchifyBackward writes dy to the pixels of dimg, or adds it, and zero to pixels in no patch.
func (d *Device) PatchifyBackward(dimg, dy Ptr, imgt, yt Type, count, channels, height, width, patch int, add bool) {
	if !add && (height%patch != 0 || width%patch != 0) {
		d.Clear(dimg, count*channels*height*width, imgt)
	}
	d.launch("patchify", "patchify_backward_"+yt.String()+"_"+imgt.String(), patchWarps(count, height, width, patch), Dim{X: 256}, 0,
		P(dimg), P(dy), I(count), I(channels), I(height), I(width), I(patch), Flag(add))
}

func patchWarps(count, height, width, patch int) Dim {
	return Dim{X: ceilDiv(count*(height/patch)*(width/patch), 8)}
}
