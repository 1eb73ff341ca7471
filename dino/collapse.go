package dino

import (
	"errors"
	"fmt"
	"math"
)

// ErrCollapsed is wrapped by the error of a run that was told to stop on collapse.
var ErrCollapsed = errors.New("the features have collapsed")

// collapseDetector watches whole epochs. Both collapses end with KL(t‖s) near 0, for there is nothing left to learn: with the teacher's
// entropy near ln K its output is uniform, near 0 it is the same prototype for every image. An early rise of the loss towards ln K is
// normal, so that it speaks only of epochs after the warm-ups.
type collapseDetector struct {
	after int     // the first epoch that is judged
	lnK   float64 // ln of the output dimension
}

func newCollapseDetector(c *Config) collapseDetector {
	after := max(int(math.Ceil(c.WarmupEpochs)), c.FreezeLastLayer, 1)
	return collapseDetector{after: after, lnK: math.Log(float64(c.OutDim))}
}

// judge names the collapse that an epoch's means show, and what to do; "" if there is none.
func (d collapseDetector) judge(epoch int, entropy, kl float64) string {
	if epoch < d.after {
		return ""
	}
	// In a healthy run KL is some tenths of a nat at least. A low entropy alone is none: each image may have a prototype of its own. But a
	// teacher this near to uniform has nothing to teach, however far the student still is from it.
	const small, tiny = 0.02, 0.005
	flat := kl < small*d.lnK
	switch {
	case entropy > (1-tiny)*d.lnK || flat && entropy > (1-small)*d.lnK:
		return fmt.Sprintf("uniform collapse: the loss stays at ln(out_dim) = %.3f, because the teacher finds every prototype as likely (entropy %.3f, KL %.4f). "+
			"Lower teacher_temp and warmup_teacher_temp (0.04 or less), lr or out_dim; on small data momentum_teacher 0.99", d.lnK, entropy, kl)
	case flat && entropy < small*d.lnK:
		return fmt.Sprintf("constant collapse: the teacher says the same of every image (entropy %.4f of ln(out_dim) = %.3f, KL %.4f). "+
			"Raise teacher_temp or warmup_teacher_temp, lower lr, keep norm_last_layer true, and give larger batches so that the centre is estimated well", entropy, d.lnK, kl)
	}
	return ""
}
