package dino

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
)

func loaderCrops() augment.MultiCrop {
	m := augment.Reference()
	m.GlobalSize, m.LocalSize, m.LocalNumber = 8, 4, 3
	return m
}

// drawn is a dataset of n small pictures, of which those that bad names fail.
func drawn(n int, bad func(i int) bool) *dataset.Dataset {
	return dataset.FromFunc("drawn", n, nil, nil, func(i int) (*dataset.RGB, error) {
		if bad != nil && bad(i) {
			return nil, fmt.Errorf("picture %d is broken", i)
		}
		img := dataset.NewRGB(12, 10)
		for k := range img.Pix {
			img.Pix[k] = byte(i*31 + k*k)
		}
		return img, nil
	})
}

var seedOfHashes = maphash.MakeSeed()

// sum is a batch in short: place, samples and a hash of all bits.
func (b *Batch) sum() string {
	var h maphash.Hash
	h.SetSeed(seedOfHashes)
	var word [4]byte
	for _, s := range [][]float32{b.Global, b.Local} {
		for _, v := range s {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			h.Write(word[:])
		}
	}
	return fmt.Sprintf("%d/%d/%d %v %x", b.Epoch, b.Step, b.Pass, b.Indices, h.Sum64())
}

// batches are the sums of n batches from (epoch, step) on.
func batches(t *testing.T, ds *dataset.Dataset, opts LoaderOptions, epoch, step, n int) []string {
	t.Helper()
	l, err := NewLoader(ds, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Start(context.Background(), epoch, step); err != nil {
		t.Fatal(err)
	}
	var sums []string
	for range n {
		b, err := l.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, b.sum())
		l.Recycle(b)
	}
	return sums
}

func TestLoaderSameBits(t *testing.T) {
	ds := drawn(23, func(i int) bool { return i%7 == 3 })
	opts := LoaderOptions{Batch: 4, Crops: loaderCrops(), Seed: 11, MaxBad: 1}
	want := batches(t, ds, opts, 0, 0, 17) // three epochs of five steps, and two
	if want[0] == want[5] || strings.Split(want[0], " ")[0] != "0/0/0" || strings.Split(want[16], " ")[0] != "3/1/0" {
		t.Fatalf("batches %q", want)
	}
	for _, workers := range []int{2, 8} {
		for _, prefetch := range []int{1, 5} {
			for _, cache := range []int64{-1, 2000, 1 << 20} {
				o := opts
				o.Workers, o.Prefetch, o.CacheBytes = workers, prefetch, cache
				if got := batches(t, ds, o, 0, 0, 17); !slices.Equal(got, want) {
					t.Errorf("%d workers, %d ahead, cache of %d: other batches", workers, prefetch, cache)
				}
			}
		}
	}
	opts.Workers = 3
	if got := batches(t, ds, opts, 1, 2, 10); !slices.Equal(got, want[7:]) {
		t.Error("started at epoch 1, step 2: other batches than those after epoch 1, step 1")
	}
	opts.Seed++
	if got := batches(t, ds, opts, 0, 0, 17); got[0] == want[0] {
		t.Error("another seed gives the same batch")
	}
}

// The samples of a batch are those of one pass over the epoch's order, whatever it is divided into.
func TestLoaderEpochs(t *testing.T) {
	ds := drawn(23, nil)
	for _, c := range []struct {
		batch, accum int
		keep         bool
		steps        int
		sizes        []int // of the first epoch's batches
	}{
		{4, 1, false, 5, []int{4, 4, 4, 4, 4}},
		{4, 1, true, 6, []int{4, 4, 4, 4, 4, 3}},
		{4, 2, false, 2, []int{4, 4, 4, 4}},
		{4, 2, true, 3, []int{4, 4, 4, 4, 4, 3}},
		{23, 1, false, 1, []int{23}},
		{30, 1, true, 1, []int{23}},
	} {
		l, err := NewLoader(ds, LoaderOptions{Batch: c.batch, Accum: c.accum, KeepLast: c.keep, Crops: loaderCrops(), Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if l.StepsPerEpoch() != c.steps {
			t.Errorf("%+v: %d steps", c, l.StepsPerEpoch())
		}
		if err := l.Start(context.Background(), 0, 0); err != nil {
			t.Fatal(err)
		}
		var order [2][]int
		for epoch := range order {
			for k, size := range c.sizes {
				b, err := l.Next(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				if b.Epoch != epoch || b.Step != k/c.accum || b.Pass != k%c.accum || len(b.Indices) != size {
					t.Errorf("%+v: batch %d is epoch %d, step %d, pass %d with %d samples", c, k, b.Epoch, b.Step, b.Pass, len(b.Indices))
				}
				if len(b.Global) != 2*size*3*64 || len(b.Local) != 3*size*3*16 {
					t.Errorf("%+v: %d and %d floats", c, len(b.Global), len(b.Local))
				}
				order[epoch] = append(order[epoch], b.Indices...)
				l.Recycle(b)
			}
		}
		l.Close()
		if slices.Equal(order[0], order[1]) {
			t.Errorf("%+v: two epochs in the same order", c)
		}
		for _, o := range order {
			slices.Sort(o)
			if len(slices.Compact(o)) != len(o) {
				t.Errorf("%+v: a sample comes twice in an epoch", c)
			}
		}
	}
}

// Views lie where the layout says, and are those that augment makes under the documented key.
func TestLoaderLayout(t *testing.T) {
	ds := drawn(9, nil)
	m := loaderCrops()
	l, err := NewLoader(ds, LoaderOptions{Batch: 3, Crops: m, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Start(context.Background(), 2, 1); err != nil {
		t.Fatal(err)
	}
	b, err := l.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var s augment.Scratch
	for slot, sample := range b.Indices {
		img, _ := ds.Load(sample)
		for v := range m.Views() {
			n := 3 * m.Size(v) * m.Size(v)
			want := make([]float32, n)
			m.View(&s, want, img, v, augment.CropStream(5, 2, sample, v))
			got := b.Global
			at := (v*3 + slot) * n
			if v >= 2 {
				got, at = b.Local, ((v-2)*3+slot)*n
			}
			if !slices.Equal(got[at:at+n], want) {
				t.Errorf("sample %d, view %d: other pixels", sample, v)
			}
		}
	}
}

func TestLoaderBadImages(t *testing.T) {
	ds := drawn(40, func(i int) bool { return i == 7 || i == 12 })
	run := func(limit float64) (told []string, err error) {
		l, err := NewLoader(ds, LoaderOptions{Batch: 8, Crops: loaderCrops(), Workers: 4, MaxBad: limit,
			OnBad: func(b BadSample) { told = append(told, b.Path) }})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Start(context.Background(), 0, 0); err != nil {
			t.Fatal(err)
		}
		for range 15 {
			b, err := l.Next(context.Background())
			if err != nil {
				if _, again := l.Next(context.Background()); again != err {
					t.Errorf("after an error Next says %v", again)
				}
				return told, err
			}
			for _, v := range b.Global {
				if v == 0 { // no byte is normalised to exactly 0: a place left empty
					t.Fatal("a slot was not filled")
				}
			}
			clear(b.Global)
			l.Recycle(b)
		}
		if len(l.Bad()) != len(told) {
			t.Errorf("%d bad images listed, %d told", len(l.Bad()), len(told))
		}
		return told, nil
	}
	told, err := run(0.05)
	if slices.Sort(told); err != nil || !slices.Equal(told, []string{"drawn/000007", "drawn/000012"}) {
		t.Errorf("bad images told: %v (%v)", told, err)
	}
	_, err = run(0.049)
	var bad *BadDataError
	if !errors.As(err, &bad) || len(bad.Bad) != 2 || bad.Of != 40 || !strings.Contains(err.Error(), "picture 12 is broken") {
		t.Errorf("error %v", err)
	}
	ds = drawn(40, func(int) bool { return true })
	if _, err = run(1); !errors.As(err, &bad) {
		t.Errorf("no good image at all: %v", err)
	}
}

func TestLoaderPanicBecomesError(t *testing.T) {
	ds := dataset.FromFunc("panics", 4, nil, nil, func(i int) (*dataset.RGB, error) { panic("of the decoder") })
	l, err := NewLoader(ds, LoaderOptions{Batch: 2, Crops: loaderCrops(), Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Start(context.Background(), 0, 0)
	if _, err := l.Next(context.Background()); err == nil || !strings.Contains(err.Error(), "of the decoder") || !strings.Contains(err.Error(), "panics/00000") {
		t.Errorf("error %v", err)
	}
	err = EvalBatches(context.Background(), ds, augment.Square(4), EvalOptions{MaxBad: 1}, func(EvalBatch) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "of the decoder") {
		t.Errorf("evaluation: error %v", err)
	}
}

// All goroutines end when the context does, at whatever point, and when Close is called.
func TestLoaderEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	for taken := range 6 {
		for _, byContext := range []bool{false, true} {
			l, err := NewLoader(drawn(20, nil), LoaderOptions{Batch: 3, Crops: loaderCrops(), Workers: 5, Prefetch: 3})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			if err := l.Start(ctx, 0, 0); err != nil {
				t.Fatal(err)
			}
			for range taken {
				if _, err := l.Next(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if byContext {
				cancel()
				for err == nil { // batches already made may still come
					_, err = l.Next(context.Background())
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("after cancelling: %v", err)
				}
				l.pipeline.running.Wait()
			}
			l.Close()
			l.Close()
			cancel()
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond) // goroutines that have said they are done may not have returned
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

// No more is made ahead than asked for.
func TestLoaderPrefetchIsBounded(t *testing.T) {
	var loads atomic.Int64
	ds := dataset.FromFunc("counted", 1000, nil, nil, func(i int) (*dataset.RGB, error) {
		loads.Add(1)
		return dataset.NewRGB(4, 4), nil
	})
	l, err := NewLoader(ds, LoaderOptions{Batch: 10, Crops: loaderCrops(), Workers: 4, Prefetch: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Start(context.Background(), 0, 0)
	if _, err := l.Next(context.Background()); err != nil {
		t.Fatal(err)
	}
	last := int64(-1)
	for last != loads.Load() { // until nothing happens any more
		last = loads.Load()
		time.Sleep(50 * time.Millisecond)
	}
	if last > 10*(1+2) {
		t.Errorf("%d samples made with one batch taken and two ahead", last)
	}
}

func TestLoaderCacheDecodesOnce(t *testing.T) {
	var loads atomic.Int64
	ds := dataset.FromFunc("counted", 10, nil, nil, func(i int) (*dataset.RGB, error) {
		loads.Add(1)
		return dataset.NewRGB(4, 4), nil
	})
	batches(t, ds, LoaderOptions{Batch: 5, Crops: loaderCrops()}, 0, 0, 8)
	if n := loads.Load(); n != 10 {
		t.Errorf("10 images decoded %d times in four epochs", n)
	}
	loads.Store(0)
	batches(t, ds, LoaderOptions{Batch: 5, Crops: loaderCrops(), CacheBytes: 3 * (48 + 128)}, 0, 0, 2)
	if n := loads.Load(); n < 10 {
		t.Fatalf("%d images decoded", n)
	}
	loads.Store(0)
	c := newImageCache(ds, 3*(48+128))
	for range 2 {
		for i := range 10 {
			c.load(i, new(dataset.RGB))
		}
	}
	if n := loads.Load(); n != 17 {
		t.Errorf("with room for three, 10 images twice were decoded %d times, want 17", n)
	}
}

func TestLoaderRefuses(t *testing.T) {
	good := LoaderOptions{Batch: 4, Crops: loaderCrops()}
	for i, spoil := range []func(o *LoaderOptions){
		func(o *LoaderOptions) { o.Batch = 0 },
		func(o *LoaderOptions) { o.Batch = 11 },
		func(o *LoaderOptions) { o.Accum = 3 },
		func(o *LoaderOptions) { o.Accum = math.MaxInt },
		func(o *LoaderOptions) { o.Batch = math.MaxInt },
		func(o *LoaderOptions) { o.Crops = augment.MultiCrop{} },
	} {
		o := good
		spoil(&o)
		if _, err := NewLoader(drawn(10, nil), o); err == nil {
			t.Errorf("options %d are accepted", i)
		}
	}
	l, err := NewLoader(drawn(10, nil), good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Next(context.Background()); err == nil {
		t.Error("Next before Start")
	}
	if err := l.Start(context.Background(), 0, 2); err == nil {
		t.Error("started at step 2 of 2")
	}
}

func TestEvalBatches(t *testing.T) {
	ds := drawn(21, func(i int) bool { return i == 0 || i == 5 || i == 6 || i == 20 })
	e := augment.Square(6)
	const n = 3 * 6 * 6
	var s augment.Scratch
	for _, o := range []EvalOptions{{}, {Batch: 4, Workers: 3}, {Batch: 1, Workers: 8}} {
		o.MaxBad = 0.2
		var told []int
		o.OnBad = func(b BadSample) { told = append(told, b.Index) }
		pixels, indices, err := Pixels(context.Background(), ds, e, o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(told, []int{0, 5, 6, 20}) || len(indices) != 17 || !slices.IsSorted(indices) || len(pixels) != 17*n {
			t.Fatalf("%+v: bad %v, good %v, %d floats", o, told, indices, len(pixels))
		}
		want := make([]float32, n)
		for k, i := range indices {
			img, err := ds.Load(i)
			if err != nil {
				t.Fatal(err)
			}
			e.Apply(&s, want, img)
			if !slices.Equal(pixels[k*n:(k+1)*n], want) {
				t.Errorf("%+v: image %d has other pixels", o, i)
			}
		}
	}
	var bad *BadDataError
	if _, _, err := Pixels(context.Background(), ds, e, EvalOptions{MaxBad: 0.1}); !errors.As(err, &bad) {
		t.Errorf("too many bad images: %v", err)
	}
	stop := errors.New("enough")
	if err := EvalBatches(context.Background(), ds, e, EvalOptions{MaxBad: 1}, func(EvalBatch) error { return stop }); err != stop {
		t.Errorf("the function's error is returned as %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err := EvalBatches(ctx, ds, e, EvalOptions{Batch: 1, MaxBad: 1}, func(EvalBatch) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// BenchmarkLoader makes batches as they are trained on, of pictures like CIFAR's that are decoded already, with one worker.
func BenchmarkLoader(b *testing.B) {
	crops := augment.Reference().NoBlur()
	crops.GlobalSize, crops.LocalSize = 32, 16
	ds := dataset.FromFunc("cifar", 5000, nil, nil, func(i int) (*dataset.RGB, error) {
		img := dataset.NewRGB(32, 32)
		for k := range img.Pix {
			img.Pix[k] = byte(i*31 + k*k)
		}
		return img, nil
	})
	const batch = 32
	l, err := NewLoader(ds, LoaderOptions{Batch: batch, Crops: crops})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if err := l.Start(context.Background(), 0, 0); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		batch, err := l.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		l.Recycle(batch)
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "images/s")
}
