package dino

import (
	"runtime/metrics"
	"time"
)

// pace averages over the last steps, so that its figures follow what the machine does now.
type pace struct {
	steps [32]paceStep
	n     int
}

type paceStep struct {
	images          int
	seconds, waited float64
}

func (p *pace) add(images int, seconds, waited float64) {
	p.steps[p.n%len(p.steps)] = paceStep{images, seconds, waited}
	p.n++
}

// figures are images a second, the share of time spent waiting for the loader, and the time that left steps will take.
func (p *pace) figures(left int) (imagesPerSecond, wait float64, eta time.Duration) {
	var sum paceStep
	n := min(p.n, len(p.steps))
	for _, s := range p.steps[:n] {
		sum.images += s.images
		sum.seconds += s.seconds
		sum.waited += s.waited
	}
	if sum.seconds <= 0 {
		return 0, 0, 0
	}
	return float64(sum.images) / sum.seconds, sum.waited / sum.seconds, time.Duration(sum.seconds / float64(n) * float64(left) * float64(time.Second))
}

// memoryInUse is how many bytes the process holds.
func memoryInUse() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
