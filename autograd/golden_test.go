package autograd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godino-ml/godino/internal/golden"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// goldenOps are the operations of ops.safetensors as a tape runs them, by the start of a case's name.
var goldenOps = map[string]func(t *Tape, xs []*Var) *Var{
	"gelu_":              func(t *Tape, xs []*Var) *Var { return t.GELU(xs[0]) },
	"softmax_":           func(t *Tape, xs []*Var) *Var { return t.Softmax(xs[0]) },
	"log_softmax_":       func(t *Tape, xs []*Var) *Var { return t.LogSoftmax(xs[0]) },
	"layernorm_":         func(t *Tape, xs []*Var) *Var { return t.LayerNorm(xs[0], xs[1], xs[2], 1e-6) },
	"linear_":            func(t *Tape, xs []*Var) *Var { return t.Linear(xs[0], xs[1], xs[2]) },
	"l2_normalize_":      func(t *Tape, xs []*Var) *Var { return t.L2Normalize(xs[0], 1e-12) },
	"patch_embed_":       func(t *Tape, xs []*Var) *Var { return t.Linear(t.Patchify(xs[0], xs[1].Value.Dim(-1)), xs[1], xs[2]) },
	"weight_norm_linear": func(t *Tape, xs []*Var) *Var { return t.Prototypes(xs[0], xs[2], xs[1]) },
}

// TestGoldenOps runs every case but attention, whose inputs the file keeps apart and package tensor tests.
func TestGoldenOps(t *testing.T) {
	f := golden.Open(t, "ops.safetensors")
	var cases []string
	f.Meta("cases", &cases)
	for _, table := range kernels.Tables() {
		dev := tensor.NewCPU(table, 2)
		for _, name := range cases {
			if strings.HasPrefix(name, "attention_") {
				continue
			}
			t.Run(table.Name+"/"+name, func(t *testing.T) {
				var run func(t *Tape, xs []*Var) *Var
				for prefix, r := range goldenOps {
					if strings.HasPrefix(name, prefix) {
						run = r
					}
				}
				if run == nil {
					t.Fatalf("no operation for case %s", name)
				}
				get := func(part string) *tensor.Tensor {
					a := f.Get(name + "." + part)
					return tensor.FromSlice(dev, a.Float, a.Shape...)
				}
				var xs []*Var
				for i := 0; f.Has(fmt.Sprintf("%s.x%d", name, i)); i++ {
					xs = append(xs, NewInput(get(fmt.Sprintf("x%d", i))))
				}
				arena := tensor.NewArena(dev)
				arena.Poison()
				tape := NewTape(arena)
				y := run(tape, xs)
				near(t, "y", y.Value, get("y"))
				tape.BackwardFrom(y, get("dy"))
				for i, x := range xs {
					near(t, fmt.Sprintf("dx%d", i), x.Grad, get(fmt.Sprintf("dx%d", i)))
				}
			})
		}
	}
}

// near fails the test unless got has want's shape and is within 1e-5 of it.
func near(t *testing.T, name string, got, want *tensor.Tensor) {
	t.Helper()
	if !tensor.SameShape(got, want) {
		t.Errorf("%s: shape %v, want %v", name, got.Shape(), want.Shape())
		return
	}
	golden.Near(t, name, got.Data(), want.Data(), 1e-5)
}
