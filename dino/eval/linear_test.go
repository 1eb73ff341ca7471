package eval

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// plainLinear is the classifier and its training once more, in float64, as PyTorch's linear, cross_entropy and SGD are defined.
type plainLinear struct {
	dim, classes int
	w, b, mw, mb []float64
}

func plainOf(l *Linear) *plainLinear {
	p := &plainLinear{dim: l.Dim(), classes: l.Classes()}
	for _, v := range l.Weight.Value.Data() {
		p.w = append(p.w, float64(v))
	}
	p.b, p.mw, p.mb = make([]float64, p.classes), make([]float64, len(p.w)), make([]float64, p.classes)
	return p
}

func (p *plainLinear) step(rows []float32, labels []int, lr float64) (loss float64) {
	dw, db := make([]float64, len(p.w)), make([]float64, p.classes)
	n := float64(len(labels))
	for i, label := range labels {
		x := rows[i*p.dim : (i+1)*p.dim]
		logits, sum := make([]float64, p.classes), 0.0
		for c := range logits {
			logits[c] = p.b[c]
			for j, v := range x {
				logits[c] += p.w[c*p.dim+j] * float64(v)
			}
			sum += math.Exp(logits[c])
		}
		loss -= (logits[label] - math.Log(sum)) / n
		for c := range logits {
			d := math.Exp(logits[c]) / sum / n
			if c == label {
				d -= 1 / n
			}
			db[c] += d
			for j, v := range x {
				dw[c*p.dim+j] += d * float64(v)
			}
		}
	}
	for i, g := range dw {
		p.mw[i] = 0.9*p.mw[i] + g
		p.w[i] -= lr * p.mw[i]
	}
	for i, g := range db {
		p.mb[i] = 0.9*p.mb[i] + g
		p.b[i] -= lr * p.mb[i]
	}
	return loss
}

func clouds(n, dim, classes int, spread float64, seed uint64) Features {
	r := rand.New(rand.NewPCG(seed, 5))
	f := Features{Dim: dim}
	for i := range n {
		label := i % classes
		f.Labels = append(f.Labels, label)
		for j := range dim {
			v := spread * r.NormFloat64()
			if j == label {
				v++
			}
			f.Data = append(f.Data, float32(v))
		}
	}
	return f
}

func TestLinearStepAgainstDefinition(t *testing.T) {
	f := clouds(37, 11, 5, 1, 1)
	for _, table := range kernels.Tables() {
		l := NewLinear(tensor.NewCPU(table, 2), f.Dim, 5, 9)
		p := plainOf(l)
		for step := range 20 {
			lr := 0.5 / float64(1+step)
			got, want := l.Step(f.Data, f.Labels, lr), p.step(f.Data, f.Labels, lr)
			if !(math.Abs(got-want) <= 1e-5) {
				t.Fatalf("%s, step %d: loss %v, want %v", table.Name, step, got, want)
			}
		}
		for _, part := range []struct {
			name string
			got  []float32
			want []float64
		}{{"weight", l.Weight.Value.Data(), p.w}, {"bias", l.Bias.Value.Data(), p.b}} {
			for i, want := range part.want {
				if !(math.Abs(float64(part.got[i])-want) <= 1e-5) {
					t.Fatalf("%s: after 20 steps %s %d is %v, want %v", table.Name, part.name, i, part.got[i], want)
				}
			}
		}
	}
}

func TestLinearLearnsWhatIsSeparable(t *testing.T) {
	train, test := clouds(200, 16, 10, 0.05, 1), clouds(100, 16, 10, 0.05, 2)
	var bits []float32
	for _, threads := range []int{1, 3} {
		l := NewLinear(tensor.NewCPU(kernels.Best(), threads), 16, 10, 0)
		if r, err := l.Score(test); err != nil || r.Top1 > 50 {
			t.Errorf("before training: %+v, %v", r, err)
		}
		for range 100 {
			l.Step(train.Data, train.Labels, 1)
		}
		r, err := l.Score(test)
		if err != nil || r.Top1 != 100 || r.Top5 != 100 || r.Ranks != 5 || !(r.Loss < 0.3) || !slices.Equal(r.Predicted, test.Labels) {
			t.Errorf("top-1 %v, top-%d %v, loss %v, %v", r.Top1, r.Ranks, r.Top5, r.Loss, err)
		}
		if bits == nil {
			bits = slices.Clone(l.Weight.Value.Data())
		} else if !slices.Equal(bits, l.Weight.Value.Data()) {
			t.Error("other bits with another number of threads")
		}
		sum := 0.0
		for _, p := range l.Probabilities(test.Data[:16]) {
			sum += float64(p)
		}
		if !(math.Abs(sum-1) <= 1e-5) {
			t.Errorf("probabilities add up to %v", sum)
		}
	}
}

// TestLinearScore: ranks by hand. The weight is the identity, so that features are scores.
func TestLinearScore(t *testing.T) {
	l := NewLinear(tensor.CPU(), 6, 6, 0)
	w := l.Weight.Value.Data()
	clear(w)
	for i := range 6 {
		w[i*6+i] = 1
	}
	f := Features{Dim: 6, Labels: []int{0, 1, 5, 3}, Data: []float32{
		3, 2, 1, 0, 0, 0, // right
		3, 3, 1, 0, 0, 0, // a draw with a lower class: second
		5, 4, 3, 2, 1, 0, // the last of six
		9, 8, 7, 6, 6, 1, // fourth: a draw with a higher class
	}}
	r, err := l.Score(f)
	if err != nil || r.Top1 != 25 || r.Top5 != 75 || !slices.Equal(r.Predicted, []int{0, 0, 0, 0}) {
		t.Errorf("%+v, %v", r, err)
	}
	for name, spoil := range map[string]func(f *Features){
		"dimensions": func(f *Features) { f.Dim, f.Labels = 12, f.Labels[:2] },
		"labels":     func(f *Features) { f.Labels = f.Labels[:3] },
		"class 7":    func(f *Features) { f.Labels = []int{0, 7, 0, 0} },
		"NaN":        func(f *Features) { f.Data = slices.Clone(f.Data); f.Data[3] = float32(math.NaN()) },
		"numbers":    func(f *Features) { f.Data = nil },
	} {
		bad := f
		spoil(&bad)
		if _, err := l.Score(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
