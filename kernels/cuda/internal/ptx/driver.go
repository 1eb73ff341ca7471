package ptx

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/godino-ml/godino/kernels/cuda"
)

// Driver runs kernels in the interpreter. What the compute stream is given is done at once, but what a graph records. What the stream of copies is given is
// done at once, too, or with Modes.Lazy when an event behind it is waited for: a program that does not wait finds the memory as it was.
type Driver struct {
	Edit func(text []byte) []byte // changes PTX before it is loaded, in tests of tests; nil: nobody does

	info      cuda.Info
	modes     Modes
	memory    memory
	modules   []*module
	functions []*kernel
	events    []*event
	host      [][]byte
	copies    []func() error // what the stream of copies has not done yet
	copied    int            // what it has done
	capture   *graph
	graphs    []*graph
}

// event is a place in a stream.
type event struct {
	recorded, captured bool
	time               time.Time
	copies             int // what the stream of copies has been given before it; 0 on the compute stream
}

// graph is what a capture recorded.
type graph struct{ steps []func() error }

// New makes a device of compute capability major.minor.
func New(modes Modes, major, minor int) *Driver {
	info := cuda.Info{Name: "interpreter of PTX", Driver: "none", Major: major, Minor: minor, Multiprocessors: 4, Memory: 1 << 40, SharedPerBlock: 163 << 10}
	if major >= 9 {
		info.SharedPerBlock = 227 << 10
	}
	return &Driver{info: info, modes: modes}
}

// Info describes the device.
func (d *Driver) Info() cuda.Info { return d.info }

var errCapture = errors.New("not allowed while a graph is captured")

func (d *Driver) do(step func() error) error {
	if d.capture != nil {
		d.capture.steps = append(d.capture.steps, step)
		return nil
	}
	return step()
}

// Alloc takes memory of undefined content.
func (d *Driver) Alloc(bytes int) (cuda.Ptr, error) {
	if d.capture != nil {
		return 0, fmt.Errorf("allocation: %w", errCapture)
	}
	if bytes < 0 || int64(bytes) > d.info.Memory-d.memory.used {
		return 0, fmt.Errorf("out of memory: %d bytes asked for, %d in use of %d", bytes, d.memory.used, d.info.Memory)
	}
	return cuda.Ptr(d.memory.alloc(bytes).base), nil
}

// Free gives memory back; accesses fail from then on.
func (d *Driver) Free(p cuda.Ptr) error {
	if d.capture != nil {
		return fmt.Errorf("free: %w", errCapture)
	}
	return d.memory.free(uint64(p))
}

// Forget makes memory undefined again.
func (d *Driver) Forget(p cuda.Ptr, bytes int) {
	d.do(func() error {
		if a, at, err := d.memory.bytes(uint64(p), bytes); err == nil {
			clear(a.defined[at : at+bytes])
		}
		return nil
	})
}

// HostMemory is plain memory, which the driver knows.
func (d *Driver) HostMemory(bytes int) ([]byte, error) {
	m := make([]byte, max(bytes, 1))
	d.host = append(d.host, m)
	return m[:bytes], nil
}

// FreeHostMemory forgets it; copies that read it are done first.
func (d *Driver) FreeHostMemory(m []byte) error {
	for i, h := range d.host {
		if unsafe.SliceData(h) == unsafe.SliceData(m) {
			d.host = slices.Delete(d.host, i, i+1)
			return d.catchUp(d.copied + len(d.copies))
		}
	}
	return errors.New("free of what is not HostMemory")
}

func (d *Driver) isHost(m []byte) bool {
	p := uintptr(unsafe.Pointer(unsafe.SliceData(m)))
	for _, h := range d.host {
		if from := uintptr(unsafe.Pointer(unsafe.SliceData(h))); p >= from && p+uintptr(len(m)) <= from+uintptr(len(h)) {
			return true
		}
	}
	return false
}

// later does a step of the stream of copies, now or when it is waited for.
func (d *Driver) later(step func() error) error {
	d.copies = append(d.copies, step)
	if d.modes.Lazy {
		return nil
	}
	return d.catchUp(d.copied + len(d.copies))
}

// catchUp does the first n of all that the stream of copies was ever given.
func (d *Driver) catchUp(n int) error {
	for d.copied < n {
		step := d.copies[0]
		d.copies = d.copies[1:]
		d.copied++
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

var parsed sync.Map // of [32]byte to *module

// read parses a module. Those of the same text are parsed once in a process.
func read(text []byte) (*module, error) {
	key := sha256.Sum256(text)
	if m, ok := parsed.Load(key); ok {
		return m.(*module), nil
	}
	m, err := parse(string(text))
	if err != nil {
		return nil, err
	}
	first, _ := parsed.LoadOrStore(key, m)
	return first.(*module), nil
}

// Load makes a module of PTX.
func (d *Driver) Load(text []byte) (cuda.Module, error) {
	m, err := read(text)
	if d.Edit != nil {
		if edited := d.Edit(text); !bytes.Equal(edited, text) {
			m, err = parse(string(edited))
		}
	}
	if err != nil {
		return 0, err
	}
	if len(m.globals) > 0 {
		return 0, errors.New("variables of module scope in global memory are unknown to the interpreter")
	}
	d.modules = append(d.modules, m)
	return cuda.Module(len(d.modules)), nil
}

// Function compiles a kernel.
func (d *Driver) Function(m cuda.Module, name string, shared int) (cuda.Function, error) {
	if m == 0 || int(m) > len(d.modules) {
		return 0, fmt.Errorf("module %d is not loaded", m)
	}
	k := d.modules[m-1].kernels[name]
	if k == nil {
		return 0, fmt.Errorf("the module has no kernel %s", name)
	}
	if _, err := k.compile(); err != nil {
		return 0, err
	}
	if limit := d.info.SharedPerBlock; k.staticSize+shared > limit {
		return 0, fmt.Errorf("%d bytes of shared memory asked for, a block has %d", k.staticSize+shared, limit)
	}
	d.functions = append(d.functions, k)
	return cuda.Function(len(d.functions)), nil
}

// Parameters are the offsets and sizes of a kernel's parameters.
func (d *Driver) Parameters(f cuda.Function) [][2]int { return d.functions[f-1].paramSizes }

func dims(d cuda.Dim) [3]int { return [3]int{max(d.X, 1), max(d.Y, 1), max(d.Z, 1)} }

// Launch runs a kernel.
func (d *Driver) Launch(f cuda.Function, l *cuda.Launch) error {
	if f == 0 || int(f) > len(d.functions) {
		return fmt.Errorf("function %d is not loaded", f)
	}
	k := d.functions[f-1]
	p, err := k.compile()
	if err != nil {
		return err
	}
	run := &launch{memory: &d.memory, modes: d.modes, kernel: k, program: p, grid: dims(l.Grid), threads: dims(l.Block), cluster: dims(l.Cluster), dynamic: l.Shared}
	if k.cluster != [3]int{} && l.Cluster == (cuda.Dim{}) {
		run.cluster = k.cluster
	}
	threads := run.threads[0] * run.threads[1] * run.threads[2]
	limit := 1024
	if k.maxThreads > 0 {
		limit = k.maxThreads
	}
	switch {
	case threads > limit:
		return fmt.Errorf("a block of %d threads, the kernel is compiled for at most %d", threads, limit)
	case run.grid[1] > 65535 || run.grid[2] > 65535 || run.grid[0] > 1<<31-1:
		return fmt.Errorf("a grid of %v: y and z are at most 65535", run.grid)
	case len(l.Args) < k.paramBytes:
		return fmt.Errorf("%d bytes of arguments, the kernel has %d", len(l.Args), k.paramBytes)
	case run.sharedBytes() > d.info.SharedPerBlock:
		return fmt.Errorf("%d bytes of shared memory, a block has %d", run.sharedBytes(), d.info.SharedPerBlock)
	}
	for i := range 3 {
		if run.grid[i]%run.cluster[i] != 0 {
			return fmt.Errorf("a grid of %v in clusters of %v", run.grid, run.cluster)
		}
	}
	run.params = append([]byte(nil), l.Args...)
	run.several = run.grid[0]*run.grid[1]*run.grid[2] > 1
	return d.do(func() error {
		k.launches.Add(1)
		d.memory.nextLaunch()
		run.tag = d.memory.launches << 22
		run.stop.Store(false)
		return run.run()
	})
}

// TensorMap encodes a tensor map.
func (d *Driver) TensorMap(m *cuda.TensorMap) ([128]byte, error) {
	if encodeTensorMap == nil {
		return [128]byte{}, errors.New("the interpreter knows no tensor maps")
	}
	return encodeTensorMap(m)
}

// encodeTensorMap is set by the file that reads tensor maps.
var encodeTensorMap func(m *cuda.TensorMap) ([128]byte, error)

// Upload copies to the device: HostMemory when the stream comes to it, other memory as it is now.
func (d *Driver) Upload(s cuda.Stream, dst cuda.Ptr, src []byte) error {
	host := d.isHost(src)
	if d.capture != nil && s == cuda.Compute && !host {
		return errors.New("a copy of ordinary memory cannot be part of a graph: use HostMemory")
	}
	if !host && s != cuda.Compute && d.modes.Lazy {
		src = slices.Clone(src)
	}
	step := func() error {
		a, at, err := d.memory.bytes(uint64(dst), len(src))
		if err == nil {
			copy(a.data[at:], src)
			define(a.defined[at : at+len(src)])
		}
		return err
	}
	if s != cuda.Compute {
		return d.later(step)
	}
	return d.do(step)
}

// Download copies from the device.
func (d *Driver) Download(dst []byte, src cuda.Ptr) error {
	if d.capture != nil {
		return fmt.Errorf("download: %w", errCapture)
	}
	return d.read(dst, src)
}

func (d *Driver) read(dst []byte, src cuda.Ptr) error {
	a, at, err := d.memory.bytes(uint64(src), len(dst))
	if err != nil {
		return err
	}
	for i, x := range a.defined[at : at+len(dst)] {
		if x == 0 {
			return fmt.Errorf("download of memory that nobody wrote: byte %d of %d at %#x", i, len(dst), uint64(src))
		}
	}
	copy(dst, a.data[at:])
	return nil
}

// DownloadLater copies from the device in the order of the stream.
func (d *Driver) DownloadLater(s cuda.Stream, dst []byte, src cuda.Ptr) error {
	if !d.isHost(dst) {
		return errors.New("a copy that is not waited for needs HostMemory")
	}
	step := func() error { return d.read(dst, src) }
	if s != cuda.Compute {
		return d.later(step)
	}
	return d.do(step)
}

// Copy copies within the device, with what is undefined.
func (d *Driver) Copy(dst, src cuda.Ptr, bytes int) error {
	return d.do(func() error {
		a, i, err := d.memory.bytes(uint64(dst), bytes)
		if err != nil {
			return err
		}
		b, j, err := d.memory.bytes(uint64(src), bytes)
		if err != nil {
			return err
		}
		if dst < src+cuda.Ptr(bytes) && src < dst+cuda.Ptr(bytes) {
			return fmt.Errorf("a copy of %d bytes from %#x to %#x, which overlap", bytes, uint64(src), uint64(dst))
		}
		copy(a.data[i:i+bytes], b.data[j:])
		copy(a.defined[i:i+bytes], b.defined[j:])
		return nil
	})
}

// Fill writes words.
func (d *Driver) Fill(dst cuda.Ptr, word uint32, n int) error {
	return d.do(func() error {
		if dst%4 != 0 {
			return fmt.Errorf("fill of words at %#x, which is not aligned to them", uint64(dst))
		}
		a, at, err := d.memory.bytes(uint64(dst), 4*n)
		if err != nil {
			return err
		}
		for i := range n {
			little.PutUint32(a.data[at+4*i:], word)
		}
		define(a.defined[at : at+4*n])
		return nil
	})
}

// NewEvent makes an event.
func (d *Driver) NewEvent() (cuda.Event, error) {
	d.events = append(d.events, &event{})
	return cuda.Event(len(d.events)), nil
}

func (d *Driver) event(e cuda.Event) (*event, error) {
	if e == 0 || int(e) > len(d.events) {
		return nil, fmt.Errorf("event %d does not exist", e)
	}
	return d.events[e-1], nil
}

// Record notes the time and the place.
func (d *Driver) Record(e cuda.Event, s cuda.Stream) error {
	v, err := d.event(e)
	if err != nil {
		return err
	}
	*v = event{recorded: true, time: time.Now(), captured: d.capture != nil && s == cuda.Compute}
	if s != cuda.Compute {
		v.copies = d.copied + len(d.copies)
	}
	return nil
}

// Wait makes sure that the copies before the event are done. An event that was never recorded is not waited for.
func (d *Driver) Wait(s cuda.Stream, e cuda.Event) error {
	v, err := d.event(e)
	switch {
	case err != nil:
		return err
	case v.captured != (d.capture != nil && s == cuda.Compute) && v.recorded:
		return errors.New("a graph cannot wait for an event from outside of it, nor a stream for one from inside of a graph")
	case s != cuda.Compute:
		return nil
	}
	return d.catchUp(v.copies)
}

// SyncEvent makes sure that the copies before the event are done.
func (d *Driver) SyncEvent(e cuda.Event) error {
	v, err := d.event(e)
	switch {
	case err != nil:
		return err
	case v.captured:
		return errors.New("an event of a graph cannot be waited for")
	}
	return d.catchUp(v.copies)
}

// Elapsed is the time between two records, in seconds.
func (d *Driver) Elapsed(from, to cuda.Event) (float64, error) {
	a, err := d.event(from)
	if err != nil {
		return 0, err
	}
	b, err := d.event(to)
	if err != nil {
		return 0, err
	}
	if !a.recorded || !b.recorded || a.captured || b.captured {
		return 0, errors.New("an event that was never recorded")
	}
	return b.time.Sub(a.time).Seconds(), d.catchUp(max(a.copies, b.copies))
}

// Sync makes sure that all copies are done.
func (d *Driver) Sync() error {
	if d.capture != nil {
		return fmt.Errorf("synchronisation: %w", errCapture)
	}
	return d.catchUp(d.copied + len(d.copies))
}

// BeginCapture begins a graph.
func (d *Driver) BeginCapture() error {
	if d.capture != nil {
		return errors.New("a graph is being captured already")
	}
	d.capture = &graph{}
	return nil
}

// EndCapture ends the graph.
func (d *Driver) EndCapture() (cuda.Graph, error) {
	if d.capture == nil {
		return 0, errors.New("no graph is being captured")
	}
	d.graphs = append(d.graphs, d.capture)
	d.capture = nil
	return cuda.Graph(len(d.graphs)), nil
}

// Replay does what the graph recorded.
func (d *Driver) Replay(g cuda.Graph) error {
	if d.capture != nil {
		return fmt.Errorf("running a graph: %w", errCapture)
	}
	if g == 0 || int(g) > len(d.graphs) || d.graphs[g-1] == nil {
		return fmt.Errorf("graph %d does not exist", g)
	}
	for _, step := range d.graphs[g-1].steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// FreeGraph gives a graph back.
func (d *Driver) FreeGraph(g cuda.Graph) error {
	if g == 0 || int(g) > len(d.graphs) || d.graphs[g-1] == nil {
		return fmt.Errorf("graph %d does not exist", g)
	}
	d.graphs[g-1] = nil
	return nil
}

// Close gives all memory back.
func (d *Driver) Close() error {
	err := d.catchUp(d.copied + len(d.copies))
	*d = Driver{info: d.info}
	return err
}
