package dino

import "github.com/godino-ml/godino/tensor"

// Batch is what one pass trains on: the crops of B images, view-major, normalised.
type Batch struct {
	Global *tensor.Tensor // (2B, 3, G, G)
	Local  *tensor.Tensor // (L·B, 3, S, S); nil without local crops
}
