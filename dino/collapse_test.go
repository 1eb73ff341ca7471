package dino

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// collapsing are options of a small run whose teacher is uniform from the start: its temperature is far too high.
func collapsing(t *testing.T) Options {
	o := tinyOptions(t, pictures(t, t.TempDir(), 17))
	o.Config.WarmupTeacherTemp, o.Config.TeacherTemp, o.Config.WarmupEpochs, o.Config.Epochs, o.Config.OutDim = 5, 5, 0, 3, 256
	o.Config.FreezeLastLayer, o.Config.LR = 0, 0.1
	return o
}

// Collapse is named within an epoch of its coming, with what to do.
func TestCollapseIsNamed(t *testing.T) {
	o := collapsing(t)
	o.OnCollapse = StopOnCollapse
	var said []string
	err := train(t, context.Background(), o, Events{Warning: func(w Warning) { said = append(said, w.Message) }})
	if !errors.Is(err, ErrCollapsed) || len(said) != 1 || !strings.Contains(said[0], "uniform collapse") || !strings.Contains(said[0], "Lower teacher_temp") {
		t.Errorf("the run ends with %v, having said %q", err, said)
	}
}

func TestCollapseDetector(t *testing.T) {
	c := Reference() // 64 images a step: 128 rows
	d := newCollapseDetector(&c)
	lnK := math.Log(65536)
	for _, test := range []struct {
		name                    string
		epoch                   int
		entropy, kl, prototypes float64
		want                    collapse
	}{
		{"uniform", 20, lnK - 0.001, 0.001, 60, uniformCollapse},
		{"constant", 20, 0.01, 0.002, 1, constantCollapse},
		{"rise towards ln K during warm-up", 3, lnK - 0.05, 0.01, 1, ""},
		{"healthy", 20, 4, 0.9, 40, ""},
		{"high loss, still learning", 20, lnK - 0.2, 0.8, 40, ""},
		{"uniform teacher, student far from it", 20, lnK - 0.01, 0.8, 40, uniformCollapse},
		{"sharp, still learning", 20, 0.05, 2, 40, ""},
		{"two prototypes", 20, 4, 1.2, 2, fewPrototypes},
		{"sure, of six things", 20, 0.5, 0.8, 6, constantCollapse},
		{"sure, of many things", 20, 0.5, 0.8, 20, ""},
		{"six prototypes, not sure", 20, 6, 0.3, 6, ""},
	} {
		if got, _ := d.judge(test.epoch, test.entropy, test.kl, test.prototypes); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	c.BatchSize = 8 // 16 rows are too few to count prototypes by
	d = newCollapseDetector(&c)
	if got, _ := d.judge(20, 4, 1.2, 1); got != "" {
		t.Errorf("a batch of 8: %q", got)
	}
}

// A run that adapts changes its schedule where the collapse is named; resumed from there or from before, it ends with the same bytes.
func TestCollapseAdapts(t *testing.T) {
	o := collapsing(t)
	o.OnCollapse = AdaptOnCollapse
	o.OutputDir = t.TempDir()
	var said []string
	var temps []float64
	events := Events{Warning: func(w Warning) { said = append(said, w.Message) }, Step: func(s StepStats) {
		if s.StepInEpoch == 0 {
			temps = append(temps, s.TeacherTemp)
		}
	}}
	if err := train(t, context.Background(), o, events); err != nil {
		t.Fatal(err)
	}
	// The first epoch that is judged is the second; the third has another temperature, and after it nothing is left to adapt.
	if len(said) != 2 || !strings.Contains(said[0], "Adapted: from here teacher_temp 3.5,") || strings.Contains(said[1], "Adapted") {
		t.Errorf("said %q", said)
	}
	if len(temps) != 3 || temps[1] != 5 || math.Abs(temps[2]-3.5) > 1e-9 {
		t.Errorf("teacher temperatures %v", temps)
	}
	want, err := os.ReadFile(filepath.Join(o.OutputDir, CheckpointName))
	if err != nil {
		t.Fatal(err)
	}
	for stop := 1; stop < 9; stop++ {
		o := o
		o.OutputDir = t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		steps := 0
		err := train(t, ctx, o, Events{Step: func(StepStats) {
			if steps++; steps == stop {
				cancel()
			}
		}})
		cancel()
		if err == nil {
			break // the whole run has fewer steps
		}
		if !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		o.Resume = ResumeLatest
		if err := train(t, context.Background(), o, Events{}); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(o.OutputDir, CheckpointName))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("interrupted after %d steps and resumed, the run ends otherwise", stop)
		}
	}
}

func TestAdaptationStaysWithinBounds(t *testing.T) {
	s := Schedule{LR: func(int) float64 { return 1e-3 }, WeightDecay: func(int) float64 { return 0.04 }, Momentum: func(int) float64 { return 0 }, TeacherTemp: func(int) float64 { return 0.04 }}
	var cold, warm, slow adaptation
	for step := range 50 {
		cold, warm, slow = cold.against(uniformCollapse, step), warm.against(constantCollapse, step), slow.against(fewPrototypes, step)
	}
	if got := cold.schedule(s).TeacherTemp(0); got != 0.02 {
		t.Errorf("lowered without end, the temperature is %g", got)
	}
	if got := warm.schedule(s).TeacherTemp(0); got != studentTemp {
		t.Errorf("raised without end, the temperature is %g", got)
	}
	if got := slow.schedule(s).Momentum(0); got != 0.999 {
		t.Errorf("raised without end, the momentum is %g", got)
	}
	if got := (adaptation{}).against(fewPrototypes, 1).schedule(s).Momentum(0); math.Abs(got-0.9) > 1e-12 {
		t.Errorf("a momentum of 0 becomes %g", got)
	}
	s.Momentum = func(int) float64 { return 0.9996 }
	if got := slow.schedule(s).Momentum(0); got != 0.9996 {
		t.Errorf("a momentum beyond the bound becomes %g", got)
	}
}
