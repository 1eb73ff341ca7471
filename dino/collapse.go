package dino

import (
	"errors"
	"fmt"
	"math"
)

// ErrCollapsed is wrapped by the error of a run that was told to stop on collapse.
var ErrCollapsed = errors.New("the features have collapsed")

// collapse is a way to fail of the method.
type collapse string

const (
	uniformCollapse  collapse = "uniform collapse"
	constantCollapse collapse = "constant collapse"
	fewPrototypes    collapse = "few prototypes"
)

// collapseDetector watches whole epochs. Uniform and constant collapse end with KL(t‖s) near 0, for there is nothing left to learn: with the teacher's
// entropy near ln K its output is uniform, near 0 it is the same prototype for every image. Between them lies a teacher that sorts all images into
// a handful of prototypes, as one that follows the student without inertia does. An early rise of the loss towards ln K is normal, so that it speaks only of
// epochs after the warm-ups.
type collapseDetector struct {
	after int     // the first epoch that is judged
	lnK   float64 // ln of the output dimension
	rows  float64 // of the teacher in a batch
	most  float64 // prototypes that a batch can use
}

func newCollapseDetector(c *Config) collapseDetector {
	after := max(int(math.Ceil(c.WarmupEpochs)), c.FreezeLastLayer, 1)
	rows := globalViews * c.ImagesPerStep()
	return collapseDetector{after: after, lnK: math.Log(float64(c.OutDim)), rows: float64(rows), most: float64(min(rows, c.OutDim))}
}

// judge is the collapse that an epoch's means show, and the figures that it is known by; "" if there is none. prototypes is the mean number that were the
// teacher's largest for some crop of a batch.
func (d collapseDetector) judge(epoch int, entropy, kl, prototypes float64) (c collapse, figures string) {
	if epoch < d.after {
		return "", ""
	}
	// In a healthy run KL is some tenths of a nat at least. A low entropy alone is none: each image may have a prototype of its own. But a
	// teacher this near to uniform has nothing to teach, however far the student still is from it. The argmax of a uniform teacher is chance,
	// so the number of prototypes says something of others alone; a small batch has too few rows for it.
	const small, tiny, few, enough = 0.02, 0.005, 0.035, 32
	const sharp, several = 0.15, 0.08 // together they are a teacher without a centre that tells images apart by their prototype hardly at all
	flat := kl < small*d.lnK
	switch {
	case entropy > (1-tiny)*d.lnK || flat && entropy > (1-small)*d.lnK:
		return uniformCollapse, fmt.Sprintf("the loss stays at ln(out_dim) = %.3f, because the teacher finds every prototype as likely (entropy %.3f, KL %.4f)", d.lnK, entropy, kl)
	case flat && entropy < small*d.lnK:
		return constantCollapse, fmt.Sprintf("the teacher says the same of every image (entropy %.4f of ln(out_dim) = %.3f, KL %.4f)", entropy, d.lnK, kl)
	case d.most >= enough && prototypes < few*d.most:
		return fewPrototypes, fmt.Sprintf("the teacher sorts the %.0f crops of a batch into %.1f of %.0f prototypes", d.rows, prototypes, math.Exp(d.lnK))
	case d.most >= enough && entropy < sharp*d.lnK && prototypes < several*d.most:
		return constantCollapse, fmt.Sprintf("the teacher is sure (entropy %.3f of ln(out_dim) = %.3f) and says one of %.1f things of the %.0f crops of a batch", entropy, d.lnK, prototypes, d.rows)
	}
	return "", ""
}

// remedy is what a person can do.
func (c collapse) remedy() string {
	switch c {
	case uniformCollapse:
		return "Lower teacher_temp and warmup_teacher_temp (0.04 or less), lr or out_dim; on small data momentum_teacher 0.99"
	case constantCollapse:
		return "Raise teacher_temp or warmup_teacher_temp, lower lr, keep norm_last_layer true, and give larger batches so that the centre is estimated well"
	}
	return "Raise momentum_teacher (0.99 or more), so that the teacher lags behind the student; lower lr; on small data use_bn_in_head"
}

// adaptation is what a run that may change its settings has changed, on top of its configuration; the zero adaptation is nothing. It is part of a
// checkpoint.
type adaptation struct {
	Temp float64 `json:"temp,omitempty"` // ln of the factor of the teacher's temperature
	LR   float64 `json:"lr,omitempty"`   // ln of the factor of the learning rate
	Lag  float64 `json:"lag,omitempty"`  // ln of the factor of 1 − momentum
	Step int     `json:"step,omitempty"` // when it was last changed: before that step
}

// against is what to change next against a collapse, from that step on.
func (a adaptation) against(c collapse, step int) adaptation {
	a.Step = step
	switch c {
	case uniformCollapse:
		a.Temp += math.Log(0.7)
	case constantCollapse:
		a.Temp += math.Log(1.25)
		a.LR += math.Log(0.5)
	case fewPrototypes:
		a.Lag += math.Log(0.1)
		a.LR += math.Log(0.5)
	}
	return a
}

// schedule is s with the changes. However often there are some, the teacher's temperature stays between 0.02 and the student's, 0.1, unless the
// configuration has it beyond; and the momentum is not raised beyond 0.999.
func (a adaptation) schedule(s Schedule) Schedule {
	if a == (adaptation{}) {
		return s
	}
	temp, lr, lag := math.Exp(a.Temp), math.Exp(a.LR), math.Exp(a.Lag)
	return Schedule{
		LR:          func(step int) float64 { return lr * s.LR(step) },
		WeightDecay: s.WeightDecay,
		Momentum: func(step int) float64 {
			m := s.Momentum(step)
			return max(m, min(1-lag*(1-m), 0.999))
		},
		TeacherTemp: func(epoch int) float64 {
			t := s.TeacherTemp(epoch)
			return min(max(temp*t, min(t, 0.02)), max(t, studentTemp))
		},
	}
}

// text says what is changed, with the values of its step, in that epoch.
func (a adaptation) text(s Schedule, epoch int) string {
	s = a.schedule(s)
	return fmt.Sprintf("from here teacher_temp %.3g, momentum_teacher %.4g, lr %.3g", s.TeacherTemp(epoch), s.Momentum(a.Step), s.LR(a.Step))
}
