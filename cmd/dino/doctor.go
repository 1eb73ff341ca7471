package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/tensor"
)

type doctorCommand struct {
	Seconds float64 `default:"2" help:"How long to measure the matrix product; 0 measures nothing."`
	JSON    bool    `name:"json" help:"Print one JSON object."`
}

func (*doctorCommand) Help() string {
	return `Example:
  dino doctor
Prints the CPU and what it can do, the kernels chosen for it, memory, whether a GPU can be used, and how fast a matrix product runs here.`
}

// findings is what doctor reports, in the order it prints.
type findings struct {
	Version      string   `json:"version"`
	CPU          string   `json:"cpu"`
	Features     []string `json:"features"`
	Kernels      string   `json:"kernels"`
	KernelsRun   []string `json:"kernels_available"`
	Forced       string   `json:"godino_kernels"`
	Cores        int      `json:"cores"`
	GOMAXPROCS   int      `json:"gomaxprocs"`
	Cache        [3]int   `json:"cache_bytes"` // L1 data and L2 of a core, L3
	MemoryBytes  int64    `json:"memory_bytes"`
	MemoryLimit  int64    `json:"gomemlimit"` // 0: none
	GPU          string   `json:"gpu"`
	JPEG         string   `json:"jpeg_decoder"`
	GemmGFLOPS   float64  `json:"gemm_gflops"`
	CeilingGFLOP float64  `json:"ceiling_gflops"` // multiply-adds alone, all threads at once
	GemmSize     int      `json:"gemm_size"`
	BF16         string   `json:"bf16"`        // whether --precision bf16 can be had, or why not
	BF16GFLOPS   float64  `json:"bf16_gflops"` // of the product; 0 without
	BF16Ceiling  float64  `json:"bf16_ceiling_gflops"`
	Suggestions  []string `json:"suggestions"`
}

func (d *doctorCommand) Run(ctx context.Context, t *terminal) error {
	if d.Seconds < 0 || d.Seconds > 600 {
		return usageError("--seconds %g: choose 0 to 600", d.Seconds)
	}
	f := examine()
	if d.Seconds > 0 {
		f.GemmSize = 768
		// Half the time goes to the product, half to its ceiling, in turns, so that both see the machine in the same state.
		turn := time.Duration(d.Seconds / 4 * float64(time.Second))
		if f.BF16 == bf16Available {
			turn /= 2
		}
		for range 2 {
			if ctx.Err() != nil {
				break
			}
			f.CeilingGFLOP = max(f.CeilingGFLOP, ceilingSpeed(ctx, tensor.CPU(), turn))
			f.GemmGFLOPS = max(f.GemmGFLOPS, productSpeed(ctx, tensor.CPU(), f.GemmSize, turn))
			if bf16, err := tensor.CPU().WithPrecision(tensor.BF16); err == nil {
				f.BF16Ceiling = max(f.BF16Ceiling, ceilingSpeed(ctx, bf16, turn))
				f.BF16GFLOPS = max(f.BF16GFLOPS, productSpeed(ctx, bf16, f.GemmSize, turn))
			}
		}
	}
	f.Suggestions = f.suggest()
	if d.JSON {
		return json.NewEncoder(t.out).Encode(f)
	}
	return f.print(t.out)
}

func examine() *findings {
	f := &findings{
		Version:    version(),
		CPU:        strings.TrimSpace(cpuid.CPU.BrandName),
		Kernels:    kernels.Best().Name,
		Forced:     os.Getenv("GODINO_KERNELS"),
		Cores:      runtime.NumCPU(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
		Cache:      [3]int{cpuid.CPU.Cache.L1D, cpuid.CPU.Cache.L2, cpuid.CPU.Cache.L3},
		JPEG:       dataset.JPEGDecoder(),
	}
	if f.CPU == "" {
		f.CPU = runtime.GOARCH
	}
	for _, id := range []cpuid.FeatureID{cpuid.AVX2, cpuid.FMA3, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VNNI,
		cpuid.AVX512BF16, cpuid.AMXBF16, cpuid.ASIMD} {
		if cpuid.CPU.Supports(id) {
			f.Features = append(f.Features, id.String())
		}
	}
	for _, t := range kernels.Tables() {
		f.KernelsRun = append(f.KernelsRun, t.Name)
	}
	f.MemoryBytes, _ = measure.MachineMemory()
	if limit := debug.SetMemoryLimit(-1); limit < 1<<62 {
		f.MemoryLimit = limit
	}
	f.BF16 = bf16Available
	if _, err := tensor.CPU().WithPrecision(tensor.BF16); err != nil {
		f.BF16 = "none: " + err.Error()
	}
	f.GPU = gpuLine(cuda.GPUs())
	return f
}

// gpuLine is what doctor says of the GPUs, or of why there are none.
func gpuLine(all []cuda.Info, err error) string {
	if err != nil {
		return "none: " + err.Error()
	}
	var b strings.Builder
	for i, g := range all {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%d: %s", i, g)
		if err := g.Usable(); err != nil {
			fmt.Fprintf(&b, " (cannot be used: %v)", err)
		}
	}
	return b.String()
}

// bf16Available is what doctor says of bf16 where there is no reason why not.
const bf16Available = "can be used: --precision bf16"

// productSpeed runs n×n products on the device for about that long and returns the best one's GFLOP/s.
func productSpeed(ctx context.Context, dev *tensor.Device, n int, d time.Duration) float64 {
	w := measure.Product(dev, measure.Forms[0], [3]int{n, n, n})
	times := w.Times(ctx, d, 1)
	if len(times) == 0 {
		return 0
	}
	return w.FLOPs / float64(times[0].Nanoseconds())
}

// ceilingSpeed measures multiply-adds alone on every thread at once for about that long: what no product of these kernels can exceed on this
// machine.
func ceilingSpeed(ctx context.Context, dev *tensor.Device, d time.Duration) float64 {
	best := 0.0
	for start := time.Now(); best == 0 || time.Since(start) < d && ctx.Err() == nil; {
		best = max(best, measure.Ceiling(dev))
	}
	return best
}

func (f *findings) suggest() []string {
	var s []string
	if f.Forced != "" && f.Forced != f.KernelsRun[len(f.KernelsRun)-1] {
		s = append(s, fmt.Sprintf("GODINO_KERNELS=%s holds this machine back: it can run %s", f.Forced, f.KernelsRun[len(f.KernelsRun)-1]))
	}
	if f.GOMAXPROCS < f.Cores {
		s = append(s, fmt.Sprintf("GOMAXPROCS is %d on %d cores: unset it to use them all", f.GOMAXPROCS, f.Cores))
	}
	if f.GOMAXPROCS > f.Cores {
		s = append(s, fmt.Sprintf("GOMAXPROCS is %d but there are %d cores: threads will wait for each other", f.GOMAXPROCS, f.Cores))
	}
	if f.Kernels == "reference" && runtime.GOARCH == "amd64" && f.Forced == "" {
		s = append(s, "this CPU has no AVX2: training will be several times slower than on one that has")
	}
	if f.MemoryBytes > 0 && f.MemoryBytes < 4<<30 {
		s = append(s, "with less than 4 GB keep to small crops, or use --accum to train with a smaller batch at a time")
	}
	if f.GemmGFLOPS > 0 && f.GemmGFLOPS < 0.6*f.CeilingGFLOP {
		s = append(s, "the product reaches less than 60 % of its ceiling: is something else running on this machine?")
	}
	if len(s) == 0 {
		s = append(s, "nothing to improve")
	}
	return s
}

func (f *findings) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("program", "%s", f.Version)
	row("CPU", "%s", f.CPU)
	row("features", "%s", strings.Join(f.Features, " "))
	reason := "the best this CPU can run"
	if f.Forced != "" {
		reason = "asked for by GODINO_KERNELS=" + f.Forced
	}
	row("kernels", "%s (%s; of %s)", f.Kernels, reason, strings.Join(f.KernelsRun, ", "))
	row("cores", "%d, of which GOMAXPROCS lets %d be used", f.Cores, f.GOMAXPROCS)
	row("caches", "L1 %s, L2 %s a core, L3 %s", bytesText(int64(f.Cache[0])), bytesText(int64(f.Cache[1])), bytesText(int64(f.Cache[2])))
	memory := bytesText(f.MemoryBytes)
	if f.MemoryLimit > 0 {
		memory += ", GOMEMLIMIT " + bytesText(f.MemoryLimit)
	}
	row("memory", "%s", memory)
	row("GPU", "%s", f.GPU)
	row("JPEG", "decoded by %s", f.JPEG)
	if f.GemmGFLOPS > 0 {
		row("product", "%.0f GFLOP/s float32 at %d×%d×%d, %.0f %% of the ceiling of %.0f (multiply-adds alone, %s)",
			f.GemmGFLOPS, f.GemmSize, f.GemmSize, f.GemmSize, 100*f.GemmGFLOPS/f.CeilingGFLOP, f.CeilingGFLOP, plural(tensor.CPU().Threads(), "thread"))
	}
	row("bf16", "%s", f.BF16)
	if f.BF16GFLOPS > 0 {
		row("", "%.0f GFLOP/s at that size, %.0f %% of the ceiling of %.0f", f.BF16GFLOPS, 100*f.BF16GFLOPS/f.BF16Ceiling, f.BF16Ceiling)
	}
	for i, s := range f.Suggestions {
		name := ""
		if i == 0 {
			name = "advice"
		}
		row(name, "%s", s)
	}
	return w.Flush()
}

// bytesText writes a size as a person would: 32 KiB, 23.4 GiB.
func bytesText(n int64) string {
	switch {
	case n <= 0:
		return "unknown"
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 1<<30:
		return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30))
}
