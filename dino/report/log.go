package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/godino-ml/godino/dino"
)

// Log is what log.jsonl says of a run. However long it is, what is kept of its steps is bounded.
type Log struct {
	Epochs    []dino.EpochStats
	Warnings  []dino.Warning // the latest of them
	Collapses []dino.Warning // all warnings of a collapse
	LastStep  *dino.StepStats
	// Lines counts what was read.
	Lines int

	steps   course
	path    string
	offset  int64
	highest int // the largest number of steps done that a line has told of
}

// mostWarnings are kept: a damaged data set may give one for every image.
const mostWarnings = 100

// ReadLog reads the log of the run in dir.
func ReadLog(dir string) (*Log, error) {
	l := &Log{path: filepath.Join(dir, dino.LogName)}
	return l, l.Update()
}

// Update reads what was added since. A log that a resumed run has cut is read anew. A last line that is not whole is left for the next time.
func (l *Log) Update() error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", l.path)
	}
	if info.Size() < l.offset {
		*l = Log{path: l.path}
	}
	err = l.read(f)
	if errors.Is(err, errCut) {
		*l = Log{path: l.path}
		err = l.read(f)
	}
	return err
}

// errCut is a log that goes back: it was cut and has grown again beyond where it had been read to.
var errCut = errors.New("the log was cut")

func (l *Log) read(f *os.File) error {
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		return err
	}
	first := l.offset == 0
	return eachLine(f, func(line []byte) error {
		if err := l.add(line, first); err != nil {
			if errors.Is(err, errCut) {
				return err
			}
			return fmt.Errorf("%s, line %d: %w", l.path, l.Lines+1, err)
		}
		l.offset += int64(len(line))
		l.Lines++
		return nil
	})
}

// eachLine calls f with the whole lines of a log: the last one may be half written.
func eachLine(r io.Reader, f func(line []byte) error) error {
	b := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := b.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(line); err != nil {
			return err
		}
	}
}

func (l *Log) add(line []byte, first bool) error {
	e, err := parse(line)
	if err != nil && !first {
		return errCut // the offset is in the middle of another line
	}
	if err != nil {
		return err
	}
	switch {
	case e.step != nil:
		if e.step.Step < l.highest && !first {
			return errCut
		}
		l.highest, l.LastStep = max(l.highest, e.step.Step+1), e.step
		l.steps.add(e.step)
	case e.epoch != nil:
		if e.epoch.Step < l.highest && !first {
			return errCut
		}
		l.highest = max(l.highest, e.epoch.Step)
		l.Epochs = append(l.Epochs, *e.epoch)
	case e.warning != nil:
		if l.Warnings = append(l.Warnings, *e.warning); len(l.Warnings) > mostWarnings {
			l.Warnings = l.Warnings[1:]
		}
		if e.warning.Kind == "collapse" {
			l.Collapses = append(l.Collapses, *e.warning)
		}
	}
	return nil
}

// event is a line of the log: one of the three, or none of a kind not known here.
type event struct {
	step    *dino.StepStats
	epoch   *dino.EpochStats
	warning *dino.Warning
}

func parse(line []byte) (e event, err error) {
	var kind struct{ Event string }
	if err := json.Unmarshal(line, &kind); err != nil {
		return e, err
	}
	switch kind.Event {
	case "step":
		err = json.Unmarshal(line, &e.step)
	case "epoch":
		err = json.Unmarshal(line, &e.epoch)
	case "warning":
		err = json.Unmarshal(line, &e.warning)
	}
	return e, err
}

// stepsPerEpoch is 0 if no epoch was finished.
func (l *Log) stepsPerEpoch() int {
	for i := len(l.Epochs) - 1; i >= 0; i-- {
		if e := l.Epochs[i]; e.Epoch >= 0 {
			return e.Step / (e.Epoch + 1)
		}
	}
	return 0
}

// figure is a number that every step has.
type figure int

const (
	loss figure = iota
	entropy
	kl
	centerNorm
	prototypes
	learningRate
	momentum
	teacherTemp
	gradNorm
	speed
	figures // how many
)

func figuresOf(s *dino.StepStats) [figures]float64 {
	return [figures]float64{loss: s.Loss, entropy: s.Entropy, kl: s.KL, centerNorm: s.CenterNorm, prototypes: float64(s.Prototypes),
		learningRate: s.LR, momentum: s.Momentum, teacherTemp: s.TeacherTemp, gradNorm: s.GradNorm, speed: s.ImagesPerSecond}
}

// course is the means of figures over spans of steps of one length, which doubles when there are too many.
type course struct {
	spans  []span
	stride int
	lnK    float64
}

type span struct {
	steps int
	at    float64 // sum of the steps' numbers
	sum   [figures]float64
}

const mostSpans = 800

// add takes a step in; one that was skipped has no figures.
func (c *course) add(s *dino.StepStats) {
	if s.Skipped != "" {
		return
	}
	c.lnK, c.stride = s.LnK, max(c.stride, 1)
	if n := len(c.spans); n == 0 || c.spans[n-1].steps >= c.stride {
		if n == mostSpans {
			for i := range n / 2 {
				c.spans[i] = c.spans[2*i].and(c.spans[2*i+1])
			}
			c.spans, c.stride = c.spans[:n/2], 2*c.stride
		}
		c.spans = append(c.spans, span{})
	}
	last := &c.spans[len(c.spans)-1]
	*last = last.and(span{1, float64(s.Step + 1), figuresOf(s)})
}

func (a span) and(b span) span {
	a.steps += b.steps
	a.at += b.at
	for i := range a.sum {
		a.sum[i] += b.sum[i]
	}
	return a
}

// curve is a figure over epochs, or over steps if perEpoch is 0.
func (c *course) curve(f figure, perEpoch int) (x, y []float64) {
	for _, s := range c.spans {
		n := float64(s.steps)
		x, y = append(x, s.at/n/float64(max(perEpoch, 1))), append(y, s.sum[f]/n)
	}
	return x, y
}
