package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels"
)

// bf16Tables are the tables that have products in bf16, and the plain one with those of plain Go.
func bf16Tables() []*kernels.Table {
	tables := []*kernels.Table{kernels.WithBF16(kernels.Reference())}
	for _, t := range kernels.Tables() {
		if t.GemmBF16 != nil {
			tables = append(tables, t)
		}
	}
	return tables
}

func inBF16(t *testing.T, dev *Device) *Device {
	t.Helper()
	dev, err := dev.WithPrecision(BF16)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func TestPrecisionRefused(t *testing.T) {
	dev := NewCPU(kernels.Reference(), 1)
	defer dev.pool.Close()
	if got, err := dev.WithPrecision(BF16); got != nil || err == nil || !strings.Contains(err.Error(), "bf16") ||
		!strings.Contains(err.Error(), "AVX512_BF16") && !strings.Contains(err.Error(), "the reference kernels") {
		t.Errorf("bf16 with the reference kernels: %v", err)
	}
	if got, err := dev.WithPrecision(Float32); got != dev || err != nil {
		t.Errorf("float32: another device, or %v", err)
	}
	for _, p := range []Precision{Float32, BF16} {
		if got, err := ParsePrecision(p.String()); got != p || err != nil {
			t.Errorf("%s reads as %v, %v", p, got, err)
		}
	}
	if _, err := ParsePrecision("fp8"); err == nil || !strings.Contains(err.Error(), "float32 or bf16") {
		t.Errorf("fp8: %v", err)
	}
}

// TestLinearBF16: a layer in bf16 is the float32 layer of rounded inputs, weights and gradients; the sums, the bias and what is added to stay
// float32. Its bits do not depend on the threads.
func TestLinearBF16(t *testing.T) {
	rounded := func(x *Tensor) *Tensor {
		y := New(x.dev, x.shape...)
		for i, v := range x.data {
			b := math.Float32bits(v)
			y.data[i] = math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
		}
		return y
	}
	for _, table := range bf16Tables() {
		for _, s := range [][3]int{{1, 1, 1}, {197, 96, 130}, {40, 33, 1025}, {9001, 31, 33}} { // the last one's dw is cut along its terms
			rows, in, out := s[0], s[1], s[2]
			if table.Name == "reference" && rows > 1000 {
				continue
			}
			r := rand.New(rand.NewPCG(1, uint64(rows)))
			var one *[4][]float32 // of one thread
			for threads := 1; threads <= 3; threads++ {
				name := fmt.Sprintf("%s %v, %d threads", table.Name, s, threads)
				exact := NewCPU(table, threads)
				dev := inBF16(t, exact)
				random := func(shape ...int) *Tensor {
					x := New(dev, shape...)
					for i := range x.data {
						x.data[i] = float32(r.NormFloat64())
					}
					return x
				}
				r = rand.New(rand.NewPCG(1, uint64(rows)))
				x, w, bias, dy, dw := random(rows, in), random(out, in), random(out), random(rows, out), random(out, in)
				layer := func(dev *Device, x, w, dy *Tensor) [4]*Tensor {
					on := func(x *Tensor) *Tensor { return FromSlice(dev, slices.Clone(x.data), x.shape...) }
					y, dx, dw, dbias := New(dev, rows, out), New(dev, rows, in), on(dw), on(bias)
					LinearForward(y, on(x), on(w), on(bias))
					LinearBackward(dx, dw, dbias, on(dy), on(x), on(w), false, true)
					return [4]*Tensor{y, dx, dw, dbias}
				}
				got, want := layer(dev, x, w, dy), layer(exact, rounded(x), rounded(w), rounded(dy))
				plain := layer(exact, x, w, dy)
				for i, what := range []string{"y", "dx", "dw", "dbias"} {
					near(t, name+" "+what, got[i], want[i], 1e-5)
					near(t, name+" "+what+", beside float32", got[i], plain[i], 0.02)
					if rows > 1 && slices.Equal(got[i].data, plain[i].data) {
						t.Errorf("%s: %s is that of float32", name, what)
					}
				}
				if one == nil {
					one = &[4][]float32{got[0].data, got[1].data, got[2].data, got[3].data}
				}
				for i := range got {
					if !slices.Equal(got[i].data, one[i]) {
						t.Errorf("%s: result %d has other bits than with one thread", name, i)
					}
				}
				c, d := New(dev, rows, out), New(exact, rows, out)
				Gemm(c, x, w, false, true, 1, 0)
				Gemm(d, x, w, false, true, 1, 0)
				if !slices.Equal(c.data, d.data) {
					t.Errorf("%s: a product that is no layer's is not in float32", name)
				}
				exact.pool.Close()
			}
		}
	}
}

// TestAttentionBF16: attention in bf16 is near that of float32, and not the same; its bits do not depend on the threads.
func TestAttentionBF16(t *testing.T) {
	for _, table := range bf16Tables() {
		const b, n, heads, d = 2, 37, 3, 24
		var one [2][]float32
		for threads := 1; threads <= 3; threads++ {
			exact := NewCPU(table, threads)
			name := fmt.Sprintf("%s, %d threads", table.Name, threads)
			attention := func(dev *Device) (y, dqkv *Tensor) {
				r := rand.New(rand.NewPCG(4, 4))
				random := func(shape ...int) *Tensor {
					x := New(dev, shape...)
					for i := range x.data {
						x.data[i] = float32(r.NormFloat64())
					}
					return x
				}
				qkv, dy := random(b, n, 3*heads*d), random(b, n, heads*d)
				y, dqkv = New(dev, b, n, heads*d), New(dev, b, n, 3*heads*d)
				lse := New(dev, b, heads, n)
				AttentionForward(y, lse, qkv, heads)
				AttentionBackward(dqkv, dy, qkv, y, lse, heads, false)
				return y, dqkv
			}
			y, dqkv := attention(inBF16(t, exact))
			wantY, wantD := attention(exact)
			near(t, name+": y", y, wantY, 0.02)
			near(t, name+": dqkv", dqkv, wantD, 0.02)
			if slices.Equal(y.data, wantY.data) || slices.Equal(dqkv.data, wantD.data) {
				t.Errorf("%s: the results are those of float32", name)
			}
			if threads == 1 {
				one = [2][]float32{y.data, dqkv.data}
			}
			if !slices.Equal(y.data, one[0]) || !slices.Equal(dqkv.data, one[1]) {
				t.Errorf("%s: other bits than with one thread", name)
			}
			exact.pool.Close()
		}
	}
}
