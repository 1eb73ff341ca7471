package dino

// Batch is what one pass trains on: the crops of B images, view-major, normalised. (loader.go's Batch takes this one's place.)
type Batch struct {
	Global []float32 // (2B, 3, G, G)
	Local  []float32 // (L·B, 3, S, S)
}
