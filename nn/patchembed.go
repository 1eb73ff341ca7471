package nn

import "github.com/godino-ml/godino/autograd"

// PatchEmbed is the convolution that turns every patch of an image into a token: kernel and stride are the patch size, so it is a linear
// layer on rows of patches.
type PatchEmbed struct {
	Proj  Linear // weight (D, 3, P, P)
	Patch int
}

// channels of an image: red, green, blue.
const channels = 3

// newPatchEmbed leaves the convolution with PyTorch's default initialisation, as the reference does.
func newPatchEmbed(in initializer, name string, patch, dim int) PatchEmbed {
	fanIn := channels * patch * patch
	return PatchEmbed{
		Proj: Linear{
			Weight: in.uniform(name+".proj.weight", fanIn, dim, channels, patch, patch),
			Bias:   in.uniform(name+".proj.bias", fanIn, dim),
		},
		Patch: patch,
	}
}

// Forward maps images (B, 3, H, W) to patch tokens (B, ⌊H/P⌋·⌊W/P⌋, D).
func (p *PatchEmbed) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	patches := t.Patchify(x, p.Patch)
	y := p.Proj.Forward(t, patches)
	t.Done(patches)
	return y
}
