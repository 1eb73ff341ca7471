package dino

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestReferenceIsValid(t *testing.T) {
	c := Reference()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Views() != 10 || c.StepsPerEpoch(1_281_167) != 20018 {
		t.Errorf("%d views, %d steps", c.Views(), c.StepsPerEpoch(1_281_167))
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := json.Unmarshal(text, &back); err != nil || back != c {
		t.Errorf("JSON does not keep it: %+v, error %v", back, err)
	}
	// Every field has a name of its own in the reference's style.
	names := configNames()
	for i, n := range names {
		if n == "" || strings.ToLower(n) != n || slices.Contains(names[:i], n) {
			t.Errorf("field %d is called %q", i, n)
		}
	}
	for _, n := range withoutEffect {
		if !slices.Contains(names, n) {
			t.Errorf("withoutEffect names %q, which is no setting", n)
		}
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	c := Reference()
	c.Arch, c.OutDim, c.LR, c.TeacherTemp, c.WarmupEpochs, c.Optimizer = "vit_huge", 1, math.NaN(), 0, 200, "adam"
	c.LocalCropsSize, c.GlobalCropsScale, c.MomentumTeacher, c.Accum = 8, [2]float64{0.5, 0.4}, 1.5, 0
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"vit_huge", "out_dim is 1", "lr is NaN", "teacher_temp 0", "warmup_epochs is 200 with epochs 100", `"adam"`,
		"local_crops_size 8 is smaller than patch_size 16", "global_crops_scale is 0.5 0.4", "momentum_teacher is 1.5", "accum is 0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %q:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 10 {
		t.Errorf("%d lines, want 10:\n%v", n, err)
	}
}

func TestAutoConfig(t *testing.T) {
	for _, test := range []struct {
		info    DataInfo
		want    string // of arch, out_dim, momentum, patch, crops, blur, batch norm, epochs of a frozen last layer
		warning bool
	}{
		{DataInfo{813, 128}, "vit_tiny 1024 0.99 8 96 48 true true 0", true},
		{DataInfo{50000, 32}, "vit_small 4096 0.99 4 32 16 false true 0", false},
		{DataInfo{10000, 400}, "vit_tiny 4096 0.99 16 224 96 true true 0", false},
		{DataInfo{300000, 256}, "vit_small 16384 0.996 16 224 96 true false 1", false},
		{DataInfo{1281167, 375}, "vit_small 65536 0.996 16 224 96 true false 1", false},
		{DataInfo{40, 64}, "vit_tiny 1024 0.99 8 64 32 false true 0", true},
		{DataInfo{1, 0}, "vit_tiny 1024 0.99 16 224 96 true true 0", true},
	} {
		c, reasons := AutoConfig(test.info)
		text, _ := json.Marshal([]any{c.Arch, c.OutDim, c.MomentumTeacher, c.PatchSize, c.GlobalCropsSize, c.LocalCropsSize, c.Blur, c.UseBNInHead, c.FreezeLastLayer})
		if got := strings.NewReplacer("[", "", "]", "", `"`, "", ",", " ").Replace(string(text)); got != test.want {
			t.Errorf("%+v: %s, want %s", test.info, got, test.want)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", test.info, err)
		}
		if c.StepsPerEpoch(test.info.Images) < 1 {
			t.Errorf("%+v: no step in an epoch of %d", test.info, c.BatchSize)
		}
		if len(reasons) == 0 || reasons[0].Warning != test.warning {
			t.Errorf("%+v: reasons %v", test.info, reasons)
		}
	}
	c, _ := AutoConfig(DataInfo{Images: 2_000_000, ShortSide: 400})
	if c != Reference() {
		t.Errorf("two million photos: %+v, want the reference's settings", c)
	}
}

// The oracles of the paper's recipe: 100 epochs of 2502 steps of 512 images.
func TestScheduleOracles(t *testing.T) {
	c := Reference()
	c.BatchSize = 512
	s := c.Schedule(2502)
	for _, o := range []struct {
		name      string
		got, want float64
	}{
		{"lr[0]", s.LR(0), 0}, {"lr[1]", s.LR(1), 1e-3 / 25019}, {"lr[2502]", s.LR(2502), 1e-4}, {"lr[25019]", s.LR(25019), 1e-3},
		{"lr[25020]", s.LR(25020), 1e-3}, {"lr[125100]", s.LR(125100), 5.8724e-4},
		{"wd[125100]", s.WeightDecay(125100), 0.22}, {"m[125100]", s.Momentum(125100), 0.998},
		{"wd[0]", s.WeightDecay(0), 0.04}, {"m[0]", s.Momentum(0), 0.996}, {"tau[0]", s.TeacherTemp(0), 0.04},
	} {
		if !(math.Abs(o.got-o.want) <= 1e-4*o.want) {
			t.Errorf("%s is %g, want %g", o.name, o.got, o.want)
		}
	}
	if last := s.Momentum(250199); last >= 1 {
		t.Errorf("the last momentum is %g: 1 is approached, never reached", last)
	}
}

func TestShortWarmups(t *testing.T) {
	for _, test := range []struct {
		c    Cosine
		want []float64
	}{
		{Cosine{Base: 1, Final: 0, Warmup: 0, Total: 2}, []float64{1, 0.5, 0}},
		{Cosine{Base: 1, Final: 0, Warmup: 1, Total: 3}, []float64{0, 1, 0.5, 0}}, // numpy's linspace(0, 1, 1) is [0]
		{Cosine{Base: 1, Final: 0, Warmup: 2, Total: 4}, []float64{0, 1, 1, 0.5, 0}},
		{Cosine{Base: 1, Final: 0, Warmup: 3, Total: 3}, []float64{0, 0.5, 1, 0}}, // warm-up alone
		{Cosine{Base: 1, Final: 0, Warmup: 0, Total: 0}, []float64{0}},
	} {
		for i, want := range test.want {
			if got := test.c.At(i); !(math.Abs(got-want) < 1e-15) {
				t.Errorf("%+v at %d: %g, want %g", test.c, i, got, want)
			}
		}
	}
	w := Warmup{From: 0.04, To: 0.07, Over: 1}
	if w.At(0) != 0.04 || w.At(1) != 0.07 {
		t.Errorf("a warm-up of one epoch gives %g, %g", w.At(0), w.At(1))
	}
	// A fraction of an epoch: half of 5 steps are 2.
	c := Reference()
	c.WarmupEpochs, c.BatchSize = 0.5, 256
	if s := c.Schedule(5); s.LR(0) != 0 || s.LR(1) != c.LR || s.LR(2) != c.LR {
		t.Errorf("half an epoch of 5 steps: %g, %g, %g", s.LR(0), s.LR(1), s.LR(2))
	}
}
