package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

func TestBench(t *testing.T) {
	want(t, exitDone, []string{"multiply-add, reference", "GFLOP/s", "forward", "images/s", "1 thread"}, "bench", "--quick", "bounds", "attention", "step")
	want(t, exitUsage, []string{"stairs", "step"}, "bench", "stairs")
	want(t, exitUsage, []string{"quantum", "reference"}, "bench", "--kernels", "quantum")
	want(t, exitUsage, []string{"bf16"}, "bench", "--kernels", "reference", "--precision", "int3")
	var r benchReport
	out := want(t, exitDone, nil, "bench", "--quick", "--json", "--kernels", "reference", "products", "embed")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	parts := map[string]int{}
	for _, x := range r.Results {
		parts[x.Part]++
		if !(x.Rate > 0 && x.Share > 0 && x.Seconds > 0) || x.Kernels != "reference" || !slices.Contains(measure.Threads(), x.Threads) {
			t.Errorf("%+v", x)
		}
	}
	if n := len(measure.Threads()); r.Interrupted || !r.Quick || parts["products"] != 6*n || parts["embed"] != n || len(parts) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestBenchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errOut bytes.Buffer
	if status := run(ctx, []string{"bench"}, &out, &errOut); status != exitDone || !strings.Contains(out.String(), "stopped") {
		t.Errorf("status %d: %s%s", status, &out, &errOut)
	}
}

// TestBenchLeavesOut: what would take minutes is not begun unless it is asked for.
func TestBenchLeavesOut(t *testing.T) {
	dev := tensor.NewCPU(kernels.Reference(), 1)
	runs := 0
	prepare := func(*tensor.Device) (measure.Work, error) {
		return measure.Work{Images: 1, FLOPs: 1, Do: func() { runs++; time.Sleep(time.Millisecond) }}, nil
	}
	b := &benchRun{ctx: context.Background(), c: &benchCommand{}, part: "step"}
	if r := b.median(dev, 1e15, prepare); r.LeftOut == "" || runs != 0 {
		t.Errorf("%+v after %d runs", r, runs)
	}
	b.c.Parts = []string{"step"}
	if r := b.median(dev, 1e15, prepare); r.LeftOut != "" || runs < 4 || !(r.Rate > 0 && r.Rate <= 1000) {
		t.Errorf("%+v after %d runs", r, runs)
	}
}
