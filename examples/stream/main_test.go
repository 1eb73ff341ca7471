package main

import (
	"math/rand/v2"
	"testing"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
)

// TestTrain: pictures that fill two batches and a half make two steps, and the student changes by them; other pictures, other steps.
func TestTrain(t *testing.T) {
	c := config()
	c.Arch, c.BatchSize, c.OutDim, c.WarmupEpochs = "vit:dim=32,depth=1,heads=2", 4, 32, 0
	run := func(seed uint64) (*dino.Trainer, []dino.StepStats) {
		pictures := make(chan *dataset.RGB, 10)
		for r := rand.New(rand.NewPCG(seed, 0)); len(pictures) < cap(pictures); {
			pictures <- dataset.FromImage(grating(r, 24))
		}
		close(pictures)
		var steps []dino.StepStats
		trainer, err := train(c, cap(pictures), pictures, func(s dino.StepStats) { steps = append(steps, s) })
		if err != nil {
			t.Fatal(err)
		}
		return trainer, steps
	}
	trainer, steps := run(1)
	if _, other := run(2); len(other) > 0 && len(steps) > 0 && other[0].Loss == steps[0].Loss {
		t.Error("other pictures give the same loss")
	}
	if len(steps) != 2 || trainer.Steps() != trainer.TotalSteps() {
		t.Fatalf("%d steps; the trainer has done %d of %d", len(steps), trainer.Steps(), trainer.TotalSteps())
	}
	for _, s := range steps {
		if s.Images != 4 || !(s.Loss > 0) || !(s.GradNorm > 0) {
			t.Errorf("step %d: %+v", s.Step, s)
		}
	}
	start, err := dino.NewTrainer(trainer.Student.Backbone.ClassToken.Value.Device(), c, 10)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := start.Student.Params()[0].Value.Data(), trainer.Student.Params()[0].Value.Data(); a[0] == b[0] {
		t.Error("the student is as it was at the start")
	}
}
