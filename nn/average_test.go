package nn

import (
	"slices"
	"testing"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// TestAverage: averages that an optimizer brings up to date have the bits of an EMA after its step; frozen and skipped parameters have averages too.
func TestAverage(t *testing.T) {
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 2)
		for _, name := range optimizerNames {
			params, alone := someParams(dev), someParams(dev)
			params[1].Freeze()
			alone[1].Freeze()
			var averages, want []Param
			for i, p := range params {
				averages = append(averages, Param{Name: p.Name, Var: constantOf(p, float32(i))})
				want = append(want, Param{Name: p.Name, Var: constantOf(p, float32(i))})
			}
			average := NewAverage(averages, params)
			o, plain := newOptimizer(t, name, params), newOptimizer(t, name, alone)
			for step := range uint64(3) {
				setGrads(params, step)
				setGrads(alone, step)
				skip := isLastLayer
				if step == 2 {
					skip = nil
				}
				average.Momentum = 0.9 + 0.01*float64(step)
				o.Step(0.1, 0.5, nil, skip, average)
				plain.Step(0.1, 0.5, nil, skip, nil)
				for i, p := range alone {
					tensor.EMA(dev, []*tensor.Tensor{want[i].Value}, []*tensor.Tensor{p.Value}, tensor.Scalar(dev, float32(average.Momentum)))
					if !slices.Equal(params[i].Value.Data(), p.Value.Data()) {
						t.Errorf("%s %s step %d: %s is another one with an average", table.Name, name, step, p.Name)
					}
					if !slices.Equal(averages[i].Value.Data(), want[i].Value.Data()) {
						t.Errorf("%s %s step %d: the average of %s is %v, want %v", table.Name, name, step, p.Name, averages[i].Value.Data(), want[i].Value.Data())
					}
				}
			}
		}
	}
}

// constantOf is a tensor of p's shape that is x everywhere.
func constantOf(p Param, x float32) *autograd.Var {
	v := tensor.New(p.Value.Device(), p.Value.Shape()...)
	tensor.Fill(v, x)
	return autograd.NewConst(v)
}
