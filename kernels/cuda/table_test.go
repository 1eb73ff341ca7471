package cuda_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/internal/ptxas"
)

var update = flag.Bool("update", false, "write docs/cuda-kernels.md")

const table = "../../docs/cuda-kernels.md"

// recorder is a GPU of a compute capability that notes launches and does nothing else: what a launcher would start on an H200, at sizes that no interpreter
// could run.
type recorder struct {
	cuda.Driver
	info     cuda.Info
	next     cuda.Ptr
	names    []string // of functions, from 1
	launches []recorded
}

type recorded struct {
	kernel      string
	grid, block cuda.Dim
	shared      int
}

func newRecorder(major int) *recorder {
	return &recorder{info: cuda.Info{Major: major, Multiprocessors: 132, SharedPerBlock: 227 << 10}, next: 1 << 30}
}

func (r *recorder) Info() cuda.Info { return r.info }
func (r *recorder) Sync() error     { return nil }
func (r *recorder) Alloc(bytes int) (cuda.Ptr, error) {
	p := r.next
	r.next += cuda.Ptr((bytes + 255) / 256 * 256)
	return p, nil
}
func (r *recorder) Free(cuda.Ptr) error                                { return nil }
func (r *recorder) Load(ptx []byte) (cuda.Module, error)               { return 1, nil }
func (r *recorder) TensorMap(m *cuda.TensorMap) (e [128]byte, _ error) { return e, nil }
func (r *recorder) Function(m cuda.Module, name string, shared int) (cuda.Function, error) {
	r.names = append(r.names, name)
	return cuda.Function(len(r.names)), nil
}
func (r *recorder) Launch(f cuda.Function, l *cuda.Launch) error {
	r.launches = append(r.launches, recorded{r.names[f-1], l.Grid, l.Block, l.Shared})
	return nil
}
func (r *recorder) Upload(cuda.Stream, cuda.Ptr, []byte) error  { return nil }
func (r *recorder) Copy(dst, src cuda.Ptr, bytes int) error     { return nil }
func (r *recorder) Fill(dst cuda.Ptr, word uint32, n int) error { return nil }

// record is what an operation launches.
func record(t *testing.T, o operation, major int) []recorded {
	r := newRecorder(major)
	d := cuda.NewDevice(r)
	run := o.prepare(&memory{Device: d, noise: map[cuda.Type]cuda.Ptr{}})
	r.launches = nil
	run()
	if err := d.Err(); err != nil {
		t.Fatalf("%s/%s: %v", o.name, o.shape, err)
	}
	return r.launches
}

// allRegisters are those of every kernel, by name.
func allRegisters(t *testing.T) map[string]ptxas.Kernel {
	all := map[string]ptxas.Kernel{}
	for _, name := range sources(t) {
		text, err := os.ReadFile(filepath.Join("ptx", name+".regs"))
		if err != nil {
			t.Fatal(err)
		}
		kernels, err := ptxas.Read(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range kernels {
			all[k.Name] = k
		}
	}
	return all
}

// TestTable makes docs/cuda-kernels.md; with -update it writes it. Whether the file is as it would be written is for .ci/run to ask.
func TestTable(t *testing.T) {
	registers := allRegisters(t)
	var b strings.Builder
	b.WriteString(`# Kernels

Written by ` + "`go test ./kernels/cuda -run TestTable -update`" + ` from the launchers, ptx/*.regs and the work of every operation; no figure here was measured on a GPU.

Sizes are those of a step of ViT-S/16 in bf16 on 64 images with 2 crops of 224 and 8 of 96 pixels: 44,160 tokens. Time is the least that an H200 could
need: the larger of operations at 700 TFLOP/s (tf32 350, float32 50) and bytes, every array once, at 4.3 TB/s. Kernels are those that a GPU of
compute capability 9.0 with 132 multiprocessors starts. Registers are of a thread, shared memory of a block, static and dynamic together. No kernel spills
or has a stack.

| operation | shape | GFLOP | MB | time, µs | kernel | blocks | threads | registers | shared, KB |
|---|---|---|---|---|---|---|---|---|---|
`)
	for _, o := range operations(vitSmall) {
		head := fmt.Sprintf("| %s | %s | %s | %.0f | %.1f |", o.name, o.shape, number(o.products/1e9), o.bytes/1e6, o.bound()*1e6)
		launches := record(t, o, 9)
		if len(launches) == 0 {
			t.Errorf("%s/%s launches nothing", o.name, o.shape)
		}
		for _, l := range launches {
			k, ok := registers[l.kernel]
			if !ok {
				t.Errorf("no registers are known of kernel %s", l.kernel)
			}
			blocks := max(1, l.grid.X) * max(1, l.grid.Y) * max(1, l.grid.Z)
			threads := max(1, l.block.X) * max(1, l.block.Y) * max(1, l.block.Z)
			if k.Registers*threads > 65536 || threads > 1024 {
				t.Errorf("%s/%s: kernel %s cannot run with %d threads of %d registers", o.name, o.shape, l.kernel, threads, k.Registers)
			}
			if shared := k.Shared + l.shared; shared > 227<<10 {
				t.Errorf("%s/%s: kernel %s asks for %d bytes of shared memory", o.name, o.shape, l.kernel, shared)
			}
			fmt.Fprintf(&b, "%s `%s` | %d | %d | %d | %.1f |\n", head, l.kernel, blocks, threads, k.Registers, float64(k.Shared+l.shared)/1024)
			head = "| | | | | |"
		}
	}
	b.WriteString("\n## All kernels\n\n| kernel | registers | static shared memory, bytes |\n|---|---|---|\n")
	var names []string
	for name := range registers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| `%s` | %d | %d |\n", name, registers[name].Registers, registers[name].Shared)
	}
	if *update {
		if err := os.WriteFile(table, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// number has no decimals where they would say nothing.
func number(x float64) string {
	switch {
	case x == 0:
		return ""
	case x < 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
