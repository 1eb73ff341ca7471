package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// TestFeed: arrays come in the order in which they were sent, at addresses that repeat; more than there are buffers for are refused.
func TestFeed(t *testing.T) {
	d := cudatest.New(t)
	f := d.NewFeed(3, 2)
	defer f.Close()
	send := func(x byte) {
		f.Send(func(to []byte) { copy(to, []byte{x, x + 1, x + 2}) })
	}
	var addresses []cuda.Ptr
	send(0)
	for i := range byte(6) {
		send(i + 1)
		p := f.Take()
		addresses = append(addresses, p)
		if got := cudatest.GetBytes(d, p, 3); got[0] != i || got[2] != i+2 {
			t.Errorf("array %d is %v", i, got)
		}
		f.Done()
	}
	if addresses[0] == addresses[1] || addresses[0] != addresses[2] || addresses[1] != addresses[5] || f.Sent() != 1 {
		t.Errorf("addresses %x, %d sent", addresses, f.Sent())
	}
	send(8)
	defer func() {
		if recover() == nil {
			t.Error("a third array was sent")
		}
	}()
	send(9)
}

// TestGraph: what was captured is done when it is replayed, as often as it is, and not before; memory cannot be taken in it.
func TestGraph(t *testing.T) {
	d := cudatest.New(t)
	x := cudatest.Put(d, cuda.Float32, []float32{1, 2, 3, 4})
	d.Fill(x, cuda.Float32, 1, 1) // loads the kernel
	g := d.Capture(func() { d.Fill(x.Add(1, cuda.Float32), cuda.Float32, 7, 2) })
	if got := cudatest.Get(d, x, cuda.Float32, 4); got[1] != 2 {
		t.Errorf("captured work was done: %v", got)
	}
	for range 2 {
		d.Clear(x, 4, cuda.Float32)
		d.Replay(g)
		if got := cudatest.Get(d, x, cuda.Float32, 4); got[0] != 0 || got[1] != 7 || got[2] != 7 || got[3] != 0 {
			t.Errorf("replayed: %v", got)
		}
	}
	d.FreeGraph(g)
	d.Capture(func() { d.Alloc(4) })
	if err := cudatest.ExpectError(d); err == nil {
		t.Error("memory was taken while a graph was captured")
	}
}

// TestFeedGrows: arrays of any size, also larger than all before.
func TestFeedGrows(t *testing.T) {
	d := cudatest.New(t)
	f := d.NewFeed(0, 2)
	defer f.Close()
	for i, n := range []int{1, 5, 3, 100, 7, 1000, 50} {
		f.SendBytes(n, func(to []byte) {
			if len(to) != n {
				t.Fatalf("room for %d bytes of %d", len(to), n)
			}
			for k := range to {
				to[k] = byte(i + k)
			}
		})
		for k, x := range cudatest.GetBytes(d, f.Take(), n) {
			if x != byte(i+k) {
				t.Fatalf("array %d: byte %d is %d", i, k, x)
			}
		}
		f.Done()
	}
}
