package search

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godino-ml/godino/tensor"
)

// writeFeatures writes a file of random rows, as an index has it.
func writeFeatures(tb testing.TB, path string, n, d int) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	h := header{dim: d, count: n}
	w.Write(h.bytes())
	rng := rand.New(rand.NewPCG(1, 2))
	row := Rows{make([]float32, d), d}
	var buf []byte
	for range n {
		for j := range row.Data {
			row.Data[j] = float32(rng.Uint32()>>8)/(1<<23) - 1
		}
		if err := row.Normalize(); err != nil {
			tb.Fatal(err)
		}
		buf = appendRow(buf[:0], row.Data)
		w.Write(buf)
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkMillion searches a million features of 384 dimensions, 1.5 GB in a temporary file, beside reading them alone. It needs the
// disk space; -short leaves it out.
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("writes 1.5 GB")
	}
	const n, d = 1_000_000, 384
	path := filepath.Join(b.TempDir(), "features")
	writeFeatures(b, path, n, d)
	dev := tensor.CPU()
	rng := rand.New(rand.NewPCG(3, 4))
	queries := Rows{make([]float32, 64*d), d}
	for i := range queries.Data {
		queries.Data[i] = float32(rng.NormFloat64())
	}
	if err := queries.Normalize(); err != nil {
		b.Fatal(err)
	}
	search := func(b *testing.B, f *featureFile, q int) {
		if _, err := Nearest(dev, f.Rows, Rows{queries.Data[:q*d], d}, 10); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("opened and one query", func(b *testing.B) { // what a command does
		for b.Loop() {
			f, err := openFeatures(path)
			if err != nil {
				b.Fatal(err)
			}
			search(b, f, 1)
			f.unmap()
		}
	})
	f, err := openFeatures(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.unmap()
	b.Run("read alone", func(b *testing.B) {
		sums := make([]float32, dev.Threads()*64)
		for b.Loop() {
			const chunk = rowChunk * d
			dev.Run((n*d+chunk-1)/chunk, func(c, worker int) {
				sums[worker*64] += dev.Kernels().Sum(f.Data[c*chunk : min((c+1)*chunk, n*d)])
			})
		}
		b.ReportMetric(4*n*d*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
	})
	for _, q := range []int{1, 4, 8, 16, 64} {
		b.Run(fmt.Sprintf("queries=%d", q), func(b *testing.B) {
			best := time.Hour
			for b.Loop() {
				start := time.Now()
				search(b, f, q)
				best = min(best, time.Since(start))
			}
			b.ReportMetric(4*n*d/best.Seconds()/1e9, "GB/s")
			b.ReportMetric(2*n*d*float64(q)/best.Seconds()/1e9, "GFLOP/s")
			b.ReportMetric(best.Seconds()*1e3/float64(q), "ms/query")
		})
	}
}
