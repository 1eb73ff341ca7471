package dino

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/godino-ml/godino/tensor"
)

// A backbone comes back from a run's checkpoint with the teacher's weights or the student's; what is wrong is told apart.
func TestLoadBackbone(t *testing.T) {
	o := tinyOptions(t, pictures(t, t.TempDir(), 17))
	o.OutputDir = t.TempDir()
	if err := train(t, context.Background(), o, Events{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(o.OutputDir, CheckpointName)
	trainer, _, err := LoadTrainer(tensor.CPU(), path)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]*Network{"": trainer.Teacher, "student": trainer.Student} {
		b, err := LoadBackbone(tensor.CPU(), path, BackboneOptions{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		if b.Side != o.Config.GlobalCropsSize || b.Config().PatchSize != o.Config.PatchSize {
			t.Errorf("%q: images of %d, patches of %d", key, b.Side, b.Config().PatchSize)
		}
		for i, p := range b.Params() {
			for j, v := range p.Value.Floats() {
				if w := want.Backbone.Params()[i].Value.Floats()[j]; v != w {
					t.Fatalf("%q: %s[%d] = %g, want %g", key, p.Name, j, v, w)
				}
			}
		}
	}
	var arch *ArchError
	if _, err := LoadBackbone(tensor.CPU(), path, BackboneOptions{Arch: "vit_giant"}); !errors.As(err, &arch) {
		t.Errorf("an architecture that does not exist: %v", err)
	}
	var checkpoint *CheckpointError
	for _, o := range []BackboneOptions{{Arch: "vit_tiny"}, {Key: "nobody"}} {
		if _, err := LoadBackbone(tensor.CPU(), path, o); !errors.As(err, &checkpoint) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := LoadBackbone(tensor.CPU(), path+"x", BackboneOptions{}); !errors.As(err, &checkpoint) {
		t.Errorf("a file that is not there: %v", err)
	}
}
