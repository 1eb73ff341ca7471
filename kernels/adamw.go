package kernels

// AdamWCoefficients are the numbers of one AdamW step that are the same for every element: the bias corrections are folded in.
type AdamWCoefficients struct {
	Decay       float32 // 1 − lr·weight decay, multiplied to the parameter first (decoupled decay)
	Beta1       float32
	Beta2       float32
	StepSize    float32 // lr / (1 − β1^t)
	InvSqrtBias float32 // 1 / √(1 − β2^t)
	Eps         float32
	GradScale   float32 // multiplied to the gradient first: clipping
}
