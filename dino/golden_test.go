package dino

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"testing"

	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// closeTo fails the test unless every element of got is within tol of want.
func closeTo(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	worst, at := 0.0, 0
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= worst) { // NaN is worst
			worst, at = d, i
		}
	}
	if !(worst <= tol) {
		t.Errorf("%s: element %d is %g, want %g: off by %.3g, allowed %.3g", what, at, got[at], want[at], worst, tol)
	}
}

func largest(x []float32) float64 {
	m := 0.0
	for _, v := range x {
		m = max(m, math.Abs(float64(v)))
	}
	return m
}

// numbers reads the numbers of a sentence of a golden file's metadata.
func numbers(t *testing.T, g *golden.File, key string) []float64 {
	t.Helper()
	var list []float64
	for _, s := range regexp.MustCompile(`[0-9]*\.?[0-9]+(?:e-?[0-9]+)?`).FindAllString(g.Metadata[key], -1) {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func TestGoldenSchedules(t *testing.T) {
	g := golden.Open(t, "schedules.safetensors")
	// "base 0.0005*64/256, final 1e-6, 100 epochs x 7 steps, warm-up 10 epochs from 0"
	lr := numbers(t, g, "lr")
	wd, momentum, temp := numbers(t, g, "wd"), numbers(t, g, "momentum"), numbers(t, g, "teacher_temp")
	if len(lr) != 8 || len(wd) != 2 || len(momentum) != 2 || len(temp) < 3 {
		t.Fatalf("metadata reads as lr %v, wd %v, momentum %v, teacher_temp %v", lr, wd, momentum, temp)
	}
	c := Reference()
	c.LR, c.BatchSize, c.MinLR, c.Epochs, c.WarmupEpochs = lr[0], int(lr[1]), lr[3], int(lr[4]), lr[6]
	c.WeightDecay, c.WeightDecayEnd = wd[0], wd[1]
	c.MomentumTeacher = momentum[0]
	c.WarmupTeacherTemp, c.TeacherTemp, c.WarmupTeacherTempEpochs = temp[0], temp[1], int(temp[2])
	s := c.Schedule(int(lr[5]))
	compare := func(name string, f func(int) float64, scale float64) {
		want := g.Get(name).Float
		got := make([]float32, len(want))
		for i := range got {
			got[i] = float32(f(i))
		}
		closeTo(t, name, got, want, 1e-6*scale)
	}
	compare("lr", s.LR, lr[0]*lr[1]/256)
	compare("wd", s.WeightDecay, 1)
	compare("momentum", s.Momentum, 1)
	compare("teacher_temp", s.TeacherTemp, 1)

	// "warm-up 3 epochs of 3": nothing but warm-up. Its values give base and length.
	if epochs := numbers(t, g, "short_warmup_only"); len(epochs) != 2 || epochs[0] != epochs[1] {
		t.Fatalf("short_warmup_only is %q: it should be warm-up alone", g.Metadata["short_warmup_only"])
	}
	only := g.Get("short_warmup_only").Float
	n := len(only)
	compare("short_warmup_only", Cosine{Base: float64(only[n-1]), Final: 1e-6, Warmup: n, Total: n}.At, float64(only[n-1]))
}

// trainMeta is the metadata "config" of dino_train.safetensors.
type trainMeta struct {
	ViT struct {
		Img, Patch, D, Depth, Heads int
	} `json:"vit"`
	Head struct {
		K, Hidden, Bottleneck int
	} `json:"head"`
	Batch, Local, NLocal, Epochs int
	StepsPerEpoch                int       `json:"steps_per_epoch"`
	ClipGrad                     float64   `json:"clip_grad"`
	LR                           []float64 `json:"lr"`
	WeightDecay                  []float64 `json:"weight_decay"`
	Momentum                     []float64 `json:"momentum_teacher"`
	TeacherTemp                  []float64 `json:"teacher_temp_per_epoch"`
	Freeze                       int       `json:"freeze_last_layer_epochs"`
	StudentTemp                  float64   `json:"student_temp"`
	CenterMomentum               float64   `json:"center_momentum"`
	AdamW                        struct {
		Betas [2]float64
		Eps   float64
	} `json:"adamw"`
}

// goldenTrainer is the trainer at the golden file's start, on its schedules.
func goldenTrainer(t *testing.T, g *golden.File, dev *tensor.Device) (*Trainer, trainMeta) {
	t.Helper()
	var m trainMeta
	g.Meta("config", &m)
	if m.StudentTemp != studentTemp || m.CenterMomentum != centerMomentum {
		t.Fatalf("%s has student temperature %g and centre momentum %g: they are constants of the method, %g and %g", g.Path, m.StudentTemp, m.CenterMomentum, studentTemp, centerMomentum)
	}
	c := Reference()
	c.NormLastLayer = !g.Has("step0.grad.head.last_layer.weight_g") // frozen, it has no gradient
	c.Arch = fmt.Sprintf("vit:dim=%d,depth=%d,heads=%d,mlp_ratio=%v", m.ViT.D, m.ViT.Depth, m.ViT.Heads,
		float64(g.Get("init.backbone.blocks.0.mlp.fc1.weight").Shape[0])/float64(m.ViT.D))
	c.PatchSize, c.GlobalCropsSize, c.DropPathRate = m.ViT.Patch, m.ViT.Img, 0
	c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = m.Head.K, m.Head.Hidden, m.Head.Bottleneck
	c.LocalCropsNumber, c.LocalCropsSize = m.NLocal, m.Local
	c.BatchSize, c.Epochs, c.ClipGrad, c.FreezeLastLayer, c.WarmupEpochs = m.Batch, m.Epochs, m.ClipGrad, m.Freeze, 0
	tr, err := NewTrainer(dev, c, m.Batch*m.StepsPerEpoch)
	if err != nil {
		t.Fatal(err)
	}
	o := tr.Optimizer.(*nn.AdamW)
	o.Beta1, o.Beta2, o.Eps = m.AdamW.Betas[0], m.AdamW.Betas[1], m.AdamW.Eps
	at := func(list []float64) func(int) float64 { return func(i int) float64 { return list[i] } }
	tr.schedule = Schedule{LR: at(m.LR), WeightDecay: at(m.WeightDecay), Momentum: at(m.Momentum), TeacherTemp: at(m.TeacherTemp)}
	for i, p := range tr.Student.Params() {
		a := g.Get("init." + p.Name)
		if len(a.Float) != p.Value.Len() {
			t.Fatalf("%s has %v elements, want %v", p.Name, p.Value.Shape(), a.Shape)
		}
		p.Value.SetFloats(a.Float)
		tr.Teacher.Params()[i].Value.SetFloats(a.Float)
	}
	return tr, m
}

func goldenBatch(g *golden.File, m trainMeta, step int) *Batch {
	b := &Batch{}
	for v := range 2 + m.NLocal {
		crop := g.Get(fmt.Sprintf("step%d.crop%d", step, v)).Float
		if v < 2 {
			b.Global = append(b.Global, crop...)
		} else {
			b.Local = append(b.Local, crop...)
		}
	}
	return b
}

func TestGoldenTrain(t *testing.T) {
	for _, table := range kernels.Tables() {
		t.Run(table.Name, func(t *testing.T) { goldenTrain(t, tensor.NewCPU(table, 2), math.MaxInt) })
	}
}

// TestGPUGoldenTrain: in float32 a GPU is as near to PyTorch as the CPU is. The interpreter has time for two steps.
func TestGPUGoldenTrain(t *testing.T) {
	steps := 2
	if cudatest.Hardware() {
		steps = math.MaxInt
	}
	goldenTrain(t, gpu(t), steps)
}

// goldenTrain makes at most so many of the golden steps.
func goldenTrain(t *testing.T, dev *tensor.Device, steps int) {
	g := golden.Open(t, "dino_train.safetensors")
	tr, m := goldenTrainer(t, g, dev)
	losses := g.Get("losses").Float
	for i, want := range losses {
		if i == steps {
			return
		}
		batch := goldenBatch(g, m, i)
		// Logits before the step, as the step computes them.
		if name := fmt.Sprintf("step%d.student_out", i); g.Has(name) {
			student := tr.Student.Forward(tr.still, tr.take([]*Batch{batch})[0].views, nil)
			closeTo(t, name, student.Value.Floats(), g.Get(name).Float, 1e-4)
			tr.still.Reset()
			name = fmt.Sprintf("step%d.teacher_out", i)
			teacher := tr.Teacher.Forward(tr.still, tr.take([]*Batch{batch})[0].views[:1], nil)
			closeTo(t, name, teacher.Value.Floats(), g.Get(name).Float, 1e-4)
			tr.still.Reset()
		}
		tolerance := 1e-4
		if i > 0 {
			tolerance = 1e-3
		}
		tr.inspect = func() {
			compared := 0
			for _, p := range tr.trained {
				name := fmt.Sprintf("step%d.grad.%s", i, p.Name)
				if g.Has(name) {
					want := g.Get(name).Float
					closeTo(t, name, p.Grad.Floats(), want, tolerance*largest(want))
					compared++
				}
			}
			if want := len(g.Names(fmt.Sprintf("step%d.grad.", i))); compared != want {
				t.Errorf("step %d: compared %d gradients of %d", i, compared, want)
			}
		}
		s, err := tr.Step(batch)
		if err != nil {
			t.Fatal(err)
		}
		// From one build of PyTorch to another: 1e-5 at the first step, up to 1e-4 later.
		lossTolerance := 1e-5
		if i > 0 {
			lossTolerance = 1e-4
		}
		if d := math.Abs(s.Loss - float64(want)); !(d <= lossTolerance) {
			t.Errorf("step %d: loss %.7f, want %.7f: off by %.2g, allowed %.2g", i, s.Loss, want, d, lossTolerance)
		}
		closeTo(t, fmt.Sprintf("step%d.center", i), tr.Loss.Center.Floats(), g.Get(fmt.Sprintf("step%d.center", i)).Float, 1e-4)
	}
	for _, n := range []struct {
		name   string
		params []nn.Param
	}{{"student", tr.Student.Params()}, {"teacher", tr.Teacher.Params()}} {
		for _, p := range n.params {
			name := "final." + n.name + "." + p.Name
			closeTo(t, name, p.Value.Floats(), g.Get(name).Float, 2e-3)
		}
	}
}
