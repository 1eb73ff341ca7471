package ptx

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
)

func download(t *testing.T, d *Driver, p cuda.Ptr) uint32 {
	t.Helper()
	b := make([]byte, 4)
	if err := d.Download(b, p); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint32(b)
}

// Copies of the other stream: with Lazy nobody who has not waited finds them.
func TestStreams(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		d := New(Modes{Lazy: lazy}, 8, 0)
		p, _ := d.Alloc(4)
		h, _ := d.HostMemory(4)
		e, _ := d.NewEvent()
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		check(d.Fill(p, 1, 1))
		binary.LittleEndian.PutUint32(h, 2)
		check(d.Upload(cuda.Copies, p, h))
		check(d.Record(e, cuda.Copies))
		if got := download(t, d, p); (got == 1) != lazy {
			t.Errorf("lazy %v: %d before the copy is waited for", lazy, got)
		}
		binary.LittleEndian.PutUint32(h, 3) // too early: the copy may read it
		check(d.Wait(cuda.Compute, e))
		if got := download(t, d, p); (got == 3) != lazy {
			t.Errorf("lazy %v: %d behind the wait", lazy, got)
		}
		check(d.Upload(cuda.Copies, p, []byte{4, 0, 0, 0}))
		check(d.Sync())
		if got := download(t, d, p); got != 4 {
			t.Errorf("%d after Sync", got)
		}
		if err := d.DownloadLater(cuda.Compute, make([]byte, 4), p); err == nil {
			t.Error("a later download to ordinary memory")
		}
		check(d.FreeHostMemory(h))
		if d.FreeHostMemory(h) == nil {
			t.Error("host memory freed twice")
		}
	}
}

func TestGraphs(t *testing.T) {
	d := New(Modes{}, 8, 0)
	p, _ := d.Alloc(8)
	h, _ := d.HostMemory(4)
	outside, _ := d.NewEvent()
	d.Record(outside, cuda.Copies)
	if err := d.BeginCapture(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"alloc":         func() error { _, err := d.Alloc(1); return err }(),
		"free":          d.Free(p),
		"download":      d.Download(make([]byte, 4), p),
		"sync":          d.Sync(),
		"begin":         d.BeginCapture(),
		"replay":        d.Replay(1),
		"upload":        d.Upload(cuda.Compute, p, []byte{1}),
		"event outside": d.Wait(cuda.Compute, outside),
	} {
		if err == nil {
			t.Errorf("%s while a graph is captured: no error", name)
		}
	}
	for _, err := range []error{d.Upload(cuda.Compute, p, h), d.Copy(p+4, p, 4)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	g, err := d.EndCapture()
	if err != nil {
		t.Fatal(err)
	}
	if d.Download(make([]byte, 4), p) == nil {
		t.Error("captured work was done")
	}
	for i := range uint32(3) {
		binary.LittleEndian.PutUint32(h, i)
		if err := d.Replay(g); err != nil {
			t.Fatal(err)
		}
		if got := download(t, d, p+4); got != i {
			t.Errorf("%d, want %d", got, i)
		}
	}
	if d.FreeGraph(g) != nil || d.Replay(g) == nil || d.FreeGraph(g) == nil {
		t.Error("a freed graph")
	}
}

func TestMemory(t *testing.T) {
	d := New(Modes{}, 8, 0)
	p, _ := d.Alloc(64)
	q, _ := d.Alloc(64)
	if p%256 != 0 || q < p+64+redZone/2 {
		t.Errorf("%x %x", p, q)
	}
	d.Fill(p, 7, 16)
	d.Forget(p+4, 4)
	b := make([]byte, 8)
	want := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q", err, text)
		}
	}
	want(d.Download(b, p), "nobody wrote")
	want(d.Download(b, p+60), "byte 60 of an allocation of 64")
	want(d.Copy(p+4, p, 8), "overlap")
	want(d.Fill(p+2, 0, 1), "not aligned")
	want(d.Free(p+4), "no allocation")
	if err := d.Copy(q, p, 8); err != nil { // what is undefined is copied as such
		t.Error(err)
	}
	want(d.Download(b, q), "nobody wrote")
	if err := d.Free(p); err != nil {
		t.Error(err)
	}
	want(d.Free(p), "second free")
	want(d.Upload(cuda.Compute, p, b), "freed")
	_, err := snippetRun{driver: d}.run("mov.u64 %qx, "+hex(uint64(p))+"; ld.global.u32 %x, [%qx];", "x", nil)
	want(err, "freed")
}
