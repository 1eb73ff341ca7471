package dino

import "math"

// Schedule is what changes during a run, as pure functions of the step (counted from 0 over the whole run) and of the epoch.
type Schedule struct {
	LR          func(step int) float64
	WeightDecay func(step int) float64
	Momentum    func(step int) float64 // of the teacher's moving average
	TeacherTemp func(epoch int) float64
}

// Schedule is the configuration's schedule for epochs of that many steps.
func (c *Config) Schedule(stepsPerEpoch int) Schedule {
	total := c.Epochs * stepsPerEpoch
	lr := Cosine{
		Base:   c.LR * float64(c.ImagesPerStep()) / 256, // linear scaling rule (Goyal et al., arXiv:1706.02677)
		Final:  c.MinLR,
		Warmup: int(c.WarmupEpochs * float64(stepsPerEpoch)),
		Total:  total,
	}
	temp := Warmup{From: c.WarmupTeacherTemp, To: c.TeacherTemp, Over: c.WarmupTeacherTempEpochs}
	return Schedule{
		LR:          lr.At,
		WeightDecay: Cosine{Base: c.WeightDecay, Final: c.WeightDecayEnd, Total: total}.At,
		Momentum:    Cosine{Base: c.MomentumTeacher, Final: 1, Total: total}.At,
		TeacherTemp: temp.At,
	}
}

// Cosine goes from 0 to Base in Warmup steps, linearly, and from there to Final along half a cosine, which it would reach at step Total.
type Cosine struct {
	Base, Final   float64
	Warmup, Total int
}

// At is the value of step i. The first step of a warm-up has the value 0 and its last one Base, as numpy's linspace: a warm-up of a
// single step is that 0. Steps past Total have Final.
func (c Cosine) At(i int) float64 {
	if i < c.Warmup {
		return Warmup{To: c.Base, Over: c.Warmup}.At(i)
	}
	if i >= c.Total {
		return c.Final
	}
	return c.Final + (c.Base-c.Final)*(1+math.Cos(math.Pi*float64(i-c.Warmup)/float64(c.Total-c.Warmup)))/2
}

// Warmup goes from From to To in Over values and stays there.
type Warmup struct {
	From, To float64
	Over     int
}

// At is value i: From at 0, To from Over−1 on; if Over is 1, From at 0 and To from 1 on.
func (w Warmup) At(i int) float64 {
	switch {
	case i >= w.Over:
		return w.To
	case w.Over == 1:
		return w.From
	case i == w.Over-1:
		return w.To // exactly
	}
	return w.From + float64(i)*(w.To-w.From)/float64(w.Over-1)
}
