package nn

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

var optimizerNames = []string{"adamw", "sgd", "lars"}

// someParams are a weight, a bias, a norm's weight and a last layer, with random values.
func someParams(dev *tensor.Device) []Param {
	var params []Param
	for i, p := range []struct {
		name  string
		shape []int
	}{{"fc.weight", []int{4, 3}}, {"fc.bias", []int{4}}, {"norm.weight", []int{4}}, {"last_layer.weight_v", []int{5, 4}}} {
		x := tensor.New(dev, p.shape...)
		r := tensor.Stream(uint64(i))
		for j := range x.Data() {
			x.Data()[j] = float32(r.NormFloat64())
		}
		params = append(params, Param{p.name, autograd.NewParam(x)})
	}
	return params
}

// setGrads gives the parameters random gradients of that key.
func setGrads(params []Param, key uint64) {
	for i, p := range params {
		if p.Grad == nil {
			continue
		}
		r := tensor.Stream(key, uint64(i))
		for j := range p.Grad.Data() {
			p.Grad.Data()[j] = float32(r.NormFloat64())
		}
	}
}

func values(params []Param) (out [][]float32) {
	for _, p := range params {
		out = append(out, slices.Clone(p.Value.Data()))
	}
	return out
}

func newOptimizer(t *testing.T, name string, params []Param) Optimizer {
	t.Helper()
	o, err := NewOptimizer(name, params)
	if err != nil {
		t.Fatal(err)
	}
	if o.Name() != name {
		t.Errorf("NewOptimizer(%q) is %q", name, o.Name())
	}
	return o
}

func isLastLayer(name string) bool { return strings.HasPrefix(name, "last_layer") }

// TestDecayGroups steps with gradients of zero: only decay changes anything.
func TestDecayGroups(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	for _, name := range optimizerNames {
		params := someParams(dev)
		before := values(params)
		newOptimizer(t, name, params).Step(0.1, 0.5, nil, nil, nil)
		for i, p := range params {
			changed := !slices.Equal(before[i], p.Value.Data())
			if want := i == 0 || i == 3; changed != want {
				t.Errorf("%s: %s decays: %v, want %v", name, p.Name, changed, want)
			}
		}
	}
	// AdamW's decay is p·(1 − lr·decay), whatever the gradient.
	params := someParams(dev)
	before := values(params)
	NewAdamW(params).Step(0.1, 0.5, nil, nil, nil)
	for j, v := range params[0].Value.Data() {
		if want := before[0][j] * 0.95; !(math.Abs(float64(v-want)) <= 1e-6) {
			t.Errorf("%v decays to %v, want %v", before[0][j], v, want)
		}
	}
}

// TestSkip: a skipped parameter changes in nothing, and takes its first step later as if it were new.
func TestSkip(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	for _, name := range optimizerNames {
		params, fresh := someParams(dev), someParams(dev)
		o, late := newOptimizer(t, name, params), newOptimizer(t, name, fresh)
		before := values(params)
		for step := range uint64(3) {
			setGrads(params, step)
			o.Step(0.1, 0.5, nil, isLastLayer, nil)
		}
		if !slices.Equal(before[3], params[3].Value.Data()) || slices.Equal(before[0], params[0].Value.Data()) {
			t.Errorf("%s: the skipped parameter has changed, or another has not", name)
		}
		for i, want := range []int64{3, 3, 3, 0} {
			if got := o.State()[i].Steps; got != want {
				t.Errorf("%s: %s has taken %d steps, want %d", name, params[i].Name, got, want)
			}
		}
		for step := range uint64(2) {
			setGrads(params, 10+step)
			setGrads(fresh, 10+step)
			o.Step(0.1, 0.5, nil, nil, nil)
			late.Step(0.1, 0.5, nil, nil, nil)
		}
		if !slices.Equal(params[3].Value.Data(), fresh[3].Value.Data()) {
			t.Errorf("%s: a parameter that was skipped first does not step as a new one", name)
		}
	}
}

// TestFrozenParams are in no group.
func TestFrozenParams(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	for _, name := range optimizerNames {
		params := someParams(dev)
		params[3].Freeze()
		o := newOptimizer(t, name, params)
		before := values(params)
		setGrads(params, 1)
		o.Step(0.1, 0.5, new(Clip).PerTensor(params, 1), nil, nil)
		if !slices.Equal(before[3], params[3].Value.Data()) || len(o.State()) != 3 {
			t.Errorf("%s: a frozen parameter is part of the optimizer", name)
		}
	}
}

// TestResume: four steps, and two steps, state, two steps, give the same bits.
func TestResume(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	for _, name := range optimizerNames {
		steps := func(o Optimizer, params []Param, from, to uint64) {
			for step := from; step < to; step++ {
				setGrads(params, step)
				var skip func(string) bool
				if step == 0 {
					skip = isLastLayer
				}
				o.Step(0.1, 0.5, new(Clip).PerTensor(params, 1), skip, nil)
			}
		}
		params := someParams(dev)
		steps(newOptimizer(t, name, params), params, 0, 4)
		want := values(params)

		first := someParams(dev)
		o := newOptimizer(t, name, first)
		steps(o, first, 0, 2)
		second := someParams(dev)
		for i, v := range values(first) {
			copy(second[i].Value.Data(), v)
		}
		resumed := newOptimizer(t, name, second)
		if err := resumed.LoadState(o.State()); err != nil {
			t.Fatal(err)
		}
		steps(o, first, 2, 3) // the state was copied: this changes nothing
		steps(resumed, second, 2, 4)
		for i, v := range values(second) {
			if !slices.Equal(v, want[i]) {
				t.Errorf("%s: %s differs after resuming", name, second[i].Name)
			}
		}
	}
}

// TestLoadStateRefuses what does not fit, and then changes nothing.
func TestLoadStateRefuses(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	params := someParams(dev)
	for name, change := range map[string]func(s []ParamState) []ParamState{
		"want 4":        func(s []ParamState) []ParamState { return s[:3] },
		`"other"`:       func(s []ParamState) []ParamState { s[2].Name = "other"; return s },
		"-1 steps":      func(s []ParamState) []ParamState { s[2].Steps = -1; return s },
		"1 tensors":     func(s []ParamState) []ParamState { s[2].Tensors = s[2].Tensors[:1]; return s },
		`"exp_what"`:    func(s []ParamState) []ParamState { s[2].Tensors[0].Name = "exp_what"; return s },
		"shape [2 2]":   func(s []ParamState) []ParamState { s[2].Tensors[1].Value = tensor.New(dev, 2, 2); return s },
		"no exp_avg_sq": func(s []ParamState) []ParamState { s[2].Tensors[1].Value = nil; return s },
	} {
		o := NewAdamW(params)
		from := NewAdamW(params)
		setGrads(params, 1)
		from.Step(0.1, 0.1, nil, nil, nil)
		err := o.LoadState(change(from.State()))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %s", err, name)
		}
		if o.State()[0].Steps != 0 {
			t.Errorf("%s: a refused state is loaded in part", name)
		}
	}
	if _, err := NewOptimizer("adam", params); err == nil || !strings.Contains(err.Error(), "adamw") {
		t.Errorf("unknown optimizer: error %v", err)
	}
}

// TestClipPerTensor steps as if every gradient had been scaled to the largest norm, and leaves small ones alone.
func TestClipPerTensor(t *testing.T) {
	dev := tensor.NewCPU(kernels.Best(), 1)
	for _, name := range optimizerNames {
		const most = 0.5
		params, scaled := someParams(dev), someParams(dev)
		setGrads(params, 1)
		setGrads(scaled, 1)
		tensor.Scale(params[1].Grad, 0.01)
		tensor.Scale(scaled[1].Grad, 0.01)
		clip := new(Clip).PerTensor(params, most)
		var total float64
		for i, p := range scaled {
			var sum float64
			for _, g := range p.Grad.Data() {
				sum += float64(g) * float64(g)
			}
			total += sum
			norm := math.Sqrt(sum)
			if !(math.Abs(clip.Norms[i]-norm) <= 1e-5*norm) {
				t.Errorf("%s has norm %g, want %g", p.Name, clip.Norms[i], norm)
			}
			if norm > most != (i != 1) {
				t.Fatalf("the norm %g of %s is no case", norm, p.Name)
			}
			tensor.Scale(p.Grad, float32(min(1, most/(norm+1e-6))))
		}
		if got := clip.Norm(); !(math.Abs(got-math.Sqrt(total)) <= 1e-5*got) {
			t.Errorf("norm of all %g, want %g", got, math.Sqrt(total))
		}
		newOptimizer(t, name, params).Step(0.1, 0.5, clip, nil, nil)
		newOptimizer(t, name, scaled).Step(0.1, 0.5, nil, nil, nil)
		for i, p := range params {
			for j, v := range p.Value.Data() {
				if d := math.Abs(float64(v - scaled[i].Value.Data()[j])); !(d <= 1e-6) {
					t.Fatalf("%s: %s clipped is %v, want %v", name, p.Name, v, scaled[i].Value.Data()[j])
				}
			}
		}
	}
	params := someParams(dev)
	setGrads(params, 1)
	if clip := new(Clip).PerTensor(params, 0); clip.scale(params[0]) != 1 || clip.Norms[0] == 0 {
		t.Error("a maximum of 0 clips, or does not measure")
	}
	params[0].Grad.Data()[2] = float32(math.NaN())
	if clip := new(Clip).PerTensor(params, 1); !math.IsNaN(clip.Norms[0]) || !math.IsNaN(clip.Norm()) {
		t.Error("NaN in a gradient does not show in its norm")
	}
}
