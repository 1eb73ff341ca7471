package tensor

// Patchify rearranges images into rows of patches, so that a convolution whose stride is its kernel size is one matrix product:
//
//	y[b, i·cols+j, (c·patch+u)·patch+v] = img[b, c, i·patch+u, j·patch+v]
//
// Pixels to the right and below the last whole patch are left out, as a convolution without padding does.

// PatchifyForward writes the patches of img (B, C, H, W) to y (B, ⌊H/patch⌋·⌊W/patch⌋, C·patch²): the order (channel, y, x) within a row is
// that of a flattened convolution weight.
func PatchifyForward(y, img *Tensor, patch int) {
	rows := checkPatchify("PatchifyForward", y, img, patch)
	c := img.shape[1]
	if g := y.dev.gpu; g != nil {
		g.PatchifyForward(y.ptr, img.ptr, y.typ, img.typ, img.shape[0], c, img.shape[2], img.shape[3], patch)
		return
	}
	y.dev.Run(img.shape[0]*rows, func(chunk, _ int) {
		forPatchRows(y, img, c, patch, rows, chunk, func(p, pixels []float32) { copy(p, pixels) })
	})
}

// PatchifyBackward undoes PatchifyForward: it writes dy to the pixels of dimg (added to them if add), and zero to pixels in no patch.
func PatchifyBackward(dimg, dy *Tensor, patch int, add bool) {
	if dimg == nil {
		return
	}
	rows := checkPatchify("PatchifyBackward", dy, dimg, patch)
	c := dimg.shape[1]
	if g := dy.dev.gpu; g != nil {
		g.PatchifyBackward(dimg.ptr, dy.ptr, dimg.typ, dy.typ, dimg.shape[0], c, dimg.shape[2], dimg.shape[3], patch, add)
		return
	}
	if !add && (dimg.shape[2]%patch != 0 || dimg.shape[3]%patch != 0) {
		clear(dimg.data)
	}
	dy.dev.Run(dimg.shape[0]*rows, func(chunk, _ int) {
		forPatchRows(dy, dimg, c, patch, rows, chunk, func(p, pixels []float32) {
			if !add {
				copy(pixels, p)
				return
			}
			for i, v := range p {
				pixels[i] += v
			}
		})
	})
}

// forPatchRows calls f for every line of pixels that a row of patches holds: p is the line in y, pixels the line in img. chunk counts rows
// of patches through the batch.
func forPatchRows(y, img *Tensor, c, patch, rows, chunk int, f func(p, pixels []float32)) {
	h, w := img.shape[2], img.shape[3]
	cols := w / patch
	b, i := chunk/rows, chunk%rows
	width := c * patch * patch
	out := y.data[chunk*cols*width:]
	for ch := range c {
		for u := range patch {
			line := img.data[((b*c+ch)*h+i*patch+u)*w:]
			at := (ch*patch + u) * patch
			for j := range cols {
				f(out[j*width+at:][:patch], line[j*patch:][:patch])
			}
		}
	}
}

// checkPatchify checks the shapes and returns how many rows of patches an image has.
func checkPatchify(op string, y, img *Tensor, patch int) (rows int) {
	const want = "y (B, ⌊H/P⌋·⌊W/P⌋, C·P²), img (B, C, H, W), P > 0"
	check(patch > 0 && len(y.shape) == 3 && len(img.shape) == 4, op, want, y, img)
	rows, cols := img.shape[2]/patch, img.shape[3]/patch
	check(y.shape[0] == img.shape[0] && y.shape[1] == rows*cols && y.shape[2] == img.shape[1]*patch*patch, op, want, y, img)
	return rows
}
