package dino

import (
	"context"
	"testing"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
	"github.com/godino-ml/godino/tensor"
)

// The crops that a GPU makes of uncropped batches are those of the others, bit for bit, whether the loader keeps pictures or not.
func TestLoaderUncropped(t *testing.T) {
	ds := dataset.FromFunc("drawn", 9, nil, nil, func(i int) (*dataset.RGB, error) {
		img := dataset.NewRGB(12+5*i, 30-2*i)
		for k := range img.Pix {
			img.Pix[k] = byte(i*31 + k*k)
		}
		return img, nil
	})
	for _, cache := range []int64{1 << 20, 4 << 10, -1} {
		opts := LoaderOptions{Batch: 3, Crops: loaderCrops(), Seed: 7, Workers: 3, CacheBytes: cache}
		loaders := [2]*Loader{}
		for i := range loaders {
			opts.Uncropped = i == 1
			l, err := NewLoader(ds, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := l.Start(context.Background(), 0, 0); err != nil {
				t.Fatal(err)
			}
			loaders[i] = l
		}
		dev := tensor.NewGPU(cudatest.New(t))
		c := opts.Crops
		global, local := tensor.New(dev, 2*3, 3, c.GlobalSize, c.GlobalSize), tensor.New(dev, c.LocalNumber*3, 3, c.LocalSize, c.LocalSize)
		feed := tensor.NewCropFeed(dev, 2)
		var want []*Batch
		for step := range 7 { // through two epochs; the feed is a batch ahead
			b, err := loaders[1].Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			b.sendUncropped(feed)
			loaders[1].Recycle(b)
			if b, err = loaders[0].Next(context.Background()); err != nil {
				t.Fatal(err)
			}
			want = append(want, b)
			if step == 0 {
				continue
			}
			feed.Take(c.Mean, c.Std, global, local)
			for i, pair := range [][2][]float32{{global.Floats(), want[0].Global}, {local.Floats(), want[0].Local}} {
				for k, x := range pair[0] {
					if x != pair[1][k] {
						t.Fatalf("cache %d, step %d: element %d of the %s crops is %g on the GPU, %g on the CPU", cache, step-1, k, [2]string{"large", "small"}[i], x, pair[1][k])
					}
				}
			}
			want = want[1:]
		}
	}
}

// TestTrainerUncropped: a trainer on a GPU takes the same crops from uncropped batches as from others, sent ahead or not.
func TestTrainerUncropped(t *testing.T) {
	c := tinyConfig()
	c.BatchSize, c.Accum = 2, 2
	dev := tensor.NewGPU(cudatest.New(t))
	tr, err := NewTrainer(dev, c, 8)
	if err != nil {
		t.Fatal(err)
	}
	ds := drawn(8, nil)
	var loaders [2]*Loader
	for i := range loaders {
		l, err := NewLoader(ds, LoaderOptions{Batch: c.BatchSize, Accum: c.Accum, Crops: c.Crops(), Seed: 3, Uncropped: i == 1})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Start(context.Background(), 0, 0); err != nil {
			t.Fatal(err)
		}
		loaders[i] = l
	}
	next := func(l *Loader) (list []*Batch) {
		for range c.Accum {
			b, err := l.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, b)
		}
		return list
	}
	for step := range 3 {
		whole, uncropped := next(loaders[0]), next(loaders[1])
		if step == 1 {
			tr.Prefetch(uncropped...)
		}
		want, got := tr.take(whole), tr.take(uncropped)
		for i := range want {
			if got[i].slot != i {
				t.Errorf("step %d: batch %d is in slot %d", step, i, got[i].slot)
			}
			for k, v := range want[i].views {
				if !tensor.SameShape(v.Value, got[i].views[k].Value) || !sameBits(got[i].views[k].Value.Floats(), v.Value.Floats()) {
					t.Errorf("step %d, batch %d: crops of size %d differ", step, i, k)
				}
			}
			want[i].done()
			got[i].done()
		}
	}
}

// TestRunUncropped: a run on a GPU, which makes the crops itself and is sent the next step's pictures while it works, is that on the CPU.
func TestRunUncropped(t *testing.T) {
	ds := pictures(t, t.TempDir(), 3)
	crops := cudatest.Launches()["crops_rows"]
	var stats [2][]StepStats
	for i, dev := range []*tensor.Device{tensor.NewCPU(kernels.Best(), 1), gpu(t)} {
		o := tinyOptions(t, ds)
		o.Config = gpuConfig()
		o.Config.Epochs, o.Config.KNNFreq = 1, 0
		o.Device = dev
		if err := train(t, context.Background(), o, Events{Step: func(s StepStats) { stats[i] = append(stats[i], s) }}); err != nil {
			t.Fatal(err)
		}
	}
	if len(stats[1]) != 3 || len(stats[0]) != 3 {
		t.Fatalf("%d steps on the CPU, %d on the GPU, want 3", len(stats[0]), len(stats[1]))
	}
	untimed := func(s StepStats) StepStats {
		s.Seconds, s.ImagesPerSecond, s.Wait, s.Memory, s.ETA = 0, 0, 0, 0, 0
		return s
	}
	for i, want := range stats[0] {
		compareStats(t, i, untimed(stats[1][i]), untimed(want), 1e-4)
	}
	if n := cudatest.Launches()["crops_rows"] - crops; !cudatest.Hardware() && n != 2*3 { // two sizes
		t.Errorf("%d launches make the crops of 3 steps", n)
	}
}
