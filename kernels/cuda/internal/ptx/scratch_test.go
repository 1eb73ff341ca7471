package ptx

import (
	"encoding/binary"
	"math"
	"math/rand"
	"os"
	"testing"
	"time"

	"github.com/godino-ml/godino/kernels/cuda"
)

func TestScratch(t *testing.T) {
	text, err := os.ReadFile("/work/shared/proto/cuda/cu/mma.clang.sm_80.ptx")
	if err != nil {
		t.Skip()
	}
	for _, modes := range []Modes{{}, {Lazy: true}, {Reverse: true}, {true, true}} {
		d := New(modes, 8, 0, nil)
		m, err := d.Load(text)
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.Function(m, "gemm_nt", 0)
		if err != nil {
			t.Fatal(err)
		}
		const N = 256
		a := make([]byte, N*N*2)
		A := make([]float32, N*N)
		for i := range A {
			u := toBF16(bits32(rand.Float32() - .5))
			A[i] = f32(u << 16)
			little.PutUint16(a[2*i:], uint16(u))
		}
		pa, _ := d.Alloc(len(a))
		pc, _ := d.Alloc(N * N * 4)
		d.Upload(cuda.Compute, pa, a)
		var args []byte
		args = binary.LittleEndian.AppendUint64(args, uint64(pc))
		args = binary.LittleEndian.AppendUint64(args, uint64(pa))
		args = binary.LittleEndian.AppendUint64(args, uint64(pa))
		for range 3 {
			args = binary.LittleEndian.AppendUint32(args, N)
		}
		t0 := time.Now()
		if err := d.Launch(f, &cuda.Launch{Grid: cuda.Dim{X: N / 64, Y: N / 64}, Block: cuda.Dim{X: 128}, Args: args}); err != nil {
			t.Fatal(err)
		}
		dt := time.Since(t0).Seconds()
		out := make([]byte, N*N*4)
		if err := d.Download(out, pc); err != nil {
			t.Fatal(err)
		}
		var e, s float64
		for i := range N {
			for j := range N {
				v := 0.0
				for k := range N {
					v += float64(A[i*N+k]) * float64(A[j*N+k])
				}
				x := float64(f32(little.Uint32(out[4*(i*N+j):])))
				e += (x - v) * (x - v)
				s += v * v
			}
		}
		t.Logf("gemm %v %.3fs %.2f GFLOP/s err %.2g", modes, dt, 2*N*N*N/dt/1e9, math.Sqrt(e/s))
		// softmax
		f, err = d.Function(m, "softmax_row", 0)
		if err != nil {
			t.Fatal(err)
		}
		R, C := 512, 197
		b := make([]byte, R*C*4)
		for i := range R * C {
			little.PutUint32(b[4*i:], bits32(rand.Float32()))
		}
		px, _ := d.Alloc(len(b))
		py, _ := d.Alloc(len(b))
		d.Upload(cuda.Compute, px, b)
		args = binary.LittleEndian.AppendUint64(nil, uint64(py))
		args = binary.LittleEndian.AppendUint64(args, uint64(px))
		args = binary.LittleEndian.AppendUint32(args, uint32(C))
		t0 = time.Now()
		if err := d.Launch(f, &cuda.Launch{Grid: cuda.Dim{X: R / 4}, Block: cuda.Dim{X: 128}, Args: args}); err != nil {
			t.Fatal(err)
		}
		dt = time.Since(t0).Seconds()
		t.Logf("softmax %.3fs %.2f M elements/s, %d warp instr %.0f M lane-ops/s", dt, float64(R*C)/dt/1e6, Executed.Load(), float64(Executed.Load())*32/dt/1e6)
	}
}
