package ptx

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Modes are the freedoms of the hardware that tests should try both ways.
type Modes struct {
	Lazy    bool // asynchronous copies land when they are waited for, not at once
	Reverse bool // of the warps of a block the last runs first, and of the blocks others
}

// launch is one run of a kernel.
type launch struct {
	memory  *memory
	modes   Modes
	kernel  *kernel
	program *program
	grid    [3]int
	threads [3]int
	cluster [3]int
	dynamic int    // bytes of shared memory
	several bool   // more than one block
	tag     uint32 // of this launch in shadows
	params  []byte
	stop    atomic.Bool
}

// block is a thread block.
type block struct {
	run      *launch
	k        *kernel
	code     []instr
	index    [3]int
	number   int // in the grid
	threads  [3]int
	warps    []*warp
	shared   shared
	barriers [16]barrier
	cluster  *cluster
	rank     int            // in the cluster
	events   int            // counts what may let a waiting warp go on
	covered  []uint8        // what instructions did: see coverage.go
	began    uint64         // the clock of its warps at its start
	copied   uint64         // the clock of its copies by TMA, which count as those of one warp more
	more     map[string]any // state of instructions in other files, empty at the block's start
}

// cluster is the blocks that run together; one where the launch has no clusters.
type cluster struct {
	blocks []*block
}

// split is a group of lanes of a warp that went another way.
type split struct {
	pc   int
	mask uint32
}

type signal uint8

const (
	goOn  signal = iota
	yield        // after this instruction other lanes and warps shall run: what this one waits for depends on them
	wait         // after this instruction the warp stops until somebody clears its waiting
	retry        // as yield, and the instruction is done again
)

// warp is 32 threads.
type warp struct {
	b    *block
	id   int
	r    [][32]uint32 // registers by class; predicates are bits by lane
	q    [][32]uint64
	p    []uint32
	defR []uint32 // which lanes of each register have a value
	defQ []uint32
	defP []uint32

	pc       int
	mask     uint32  // lanes that run
	others   []split // by pc
	avoid    uint32  // lanes that yielded
	limit    int     // pc at which the lanes that run may meet others
	signal   signal
	waiting  bool
	done     bool
	count    int // instructions
	local    []byte
	localDef []byte
	last     *allocation // that the warp used last
	clock    []uint64    // by warp: what of its life this warp knows to be over
	met      uint16      // how often its lanes have waited for each other
	async    async
	loaded   map[string]string // by register, why it has no value
	more     map[string]any
}

func (w *warp) live() uint32 {
	m := w.mask
	for _, s := range w.others {
		m |= s.mask
	}
	return m
}

// regroup chooses the lanes that run next: those with the lowest pc, joined by all others that are there. False: nobody can run now.
func (w *warp) regroup() bool {
	if w.mask != 0 {
		w.others = append(w.others, split{w.pc, w.mask})
		w.mask = 0
	}
	best := -1
	for i, s := range w.others {
		if s.mask&w.avoid == 0 && (best < 0 || s.pc < w.others[best].pc) {
			best = i
		}
	}
	if best < 0 {
		w.avoid = 0
		w.limit = -1
		return false
	}
	w.pc = w.others[best].pc
	w.limit = math.MaxInt
	rest := w.others[:0]
	for _, s := range w.others {
		if s.pc == w.pc {
			w.mask |= s.mask
			continue
		}
		rest = append(rest, s)
		if s.pc > w.pc {
			w.limit = min(w.limit, s.pc)
		}
	}
	w.others = rest
	w.avoid &^= w.mask
	if w.avoid != 0 || len(rest) > 0 && w.limit == math.MaxInt {
		w.limit = -1
	}
	return true
}

// tooLong is the number of instructions after which a warp is said to run for ever.
const tooLong = 1 << 24

// resume runs the warp until it ends, waits or yields.
func (w *warp) resume() {
	code := w.b.code
	covered := w.b.covered
	for {
		if w.mask == 0 || w.pc >= w.limit {
			if w.mask == 0 && len(w.others) == 0 {
				w.done = true
				return
			}
			if !w.regroup() {
				return
			}
		}
		pc := w.pc
		in := &code[pc]
		m := w.mask
		if in.guard >= 0 {
			if u := m &^ w.defP[in.guard]; u != 0 {
				w.undefined(w.b.run.program.names[classPred][in.guard], u)
			}
			p := w.p[in.guard]
			if in.negate {
				p = ^p
			}
			m &= p
		}
		w.count++
		switch in.kind {
		case plain:
			if m != 0 {
				covered[pc] |= done
				in.run(w, m)
				if w.signal != goOn {
					s := w.signal
					w.signal = goOn
					if s != retry {
						w.pc = pc + 1
					}
					if s == wait {
						return
					}
					if len(w.others) == 0 {
						return
					}
					w.avoid |= w.mask
					w.limit = -1
					continue
				}
			}
			w.pc = pc + 1
		case branch:
			switch m {
			case 0:
				covered[pc] |= passed
				w.pc = pc + 1
			case w.mask:
				covered[pc] |= done
				w.pc = int(in.target)
			default:
				covered[pc] |= done | passed
				w.others = append(w.others, split{int(in.target), m})
				w.mask &^= m
				w.pc = pc + 1
				w.limit = -1
			}
			if w.count > tooLong {
				w.fail(-1, "the kernel does not end: the warp has run %d instructions", w.count)
			}
			if w.b.run.stop.Load() {
				panic(errStopped)
			}
		case leave:
			if m != 0 {
				covered[pc] |= done
			}
			w.mask &^= m
			w.pc = pc + 1
			if len(w.others) > 0 {
				w.limit = -1
			}
		}
	}
}

// start makes the warps of a block ready to run it.
func (b *block) start(number int) {
	g := b.run.grid
	b.number = number
	b.index = [3]int{number % g[0], number / g[0] % g[1], number / g[0] / g[1]}
	b.barriers = [16]barrier{}
	b.more = nil
	b.shared.reset()
	p := b.run.program
	threads := b.threads[0] * b.threads[1] * b.threads[2]
	b.forgetProducts()
	now := b.copied + 1
	for _, w := range b.warps {
		now = max(now, w.clock[w.id]+1)
	}
	b.began, b.copied = now, now
	for _, w := range b.warps {
		for i := range w.clock {
			w.clock[i] = now
		}
		w.pc, w.limit, w.others, w.avoid = 0, math.MaxInt, w.others[:0], 0
		w.mask = ^uint32(0)
		if rest := threads - w.id*32; rest < 32 {
			w.mask = 1<<rest - 1
		}
		w.done, w.waiting, w.signal, w.count, w.last = false, false, goOn, 0, nil
		w.async = async{list: w.async.list[:0]}
		w.loaded, w.more = nil, nil
		clear(w.defR)
		clear(w.defQ)
		clear(w.defP)
		clear(w.localDef)
		for _, c := range p.consts {
			switch c.class {
			case class32:
				w.defR[c.reg] = ^uint32(0)
			case class64:
				w.defQ[c.reg] = ^uint32(0)
			case classPred:
				w.defP[c.reg] = ^uint32(0)
			}
		}
		for _, s := range p.specials {
			w.defR[s.reg] = ^uint32(0)
			for l := range 32 {
				w.r[s.reg][l] = s.value(w, l)
			}
		}
	}
}

// size is what blocks have to have in common to be used again.
type size struct {
	program *program
	threads [3]int
	shared  int
}

// resting are blocks that a launch has done with, by size.
var resting sync.Map // of size to *sync.Pool of *block

func (l *launch) pool() *sync.Pool {
	key := size{l.program, l.threads, l.sharedBytes()}
	p, ok := resting.Load(key)
	if !ok {
		p, _ = resting.LoadOrStore(key, &sync.Pool{})
	}
	return p.(*sync.Pool)
}

// block is a block for a launch.
func (l *launch) block(pool *sync.Pool, c *cluster, rank int) *block {
	b, ok := pool.Get().(*block)
	if !ok {
		return newBlock(l, c, rank)
	}
	b.run, b.cluster, b.rank = l, c, rank
	return b
}

func newBlock(l *launch, c *cluster, rank int) *block {
	b := &block{run: l, k: l.kernel, covered: make([]uint8, len(l.program.code)), code: l.program.code, threads: l.threads, cluster: c, rank: rank}
	n := (l.threads[0]*l.threads[1]*l.threads[2] + 31) / 32
	b.shared.make(l.sharedBytes(), n)
	p := l.program
	for i := range n {
		w := &warp{b: b, id: i, clock: make([]uint64, n+1)}
		w.r, w.q, w.p = make([][32]uint32, len(p.names[class32])), make([][32]uint64, len(p.names[class64])), make([]uint32, len(p.names[classPred]))
		w.defR, w.defQ, w.defP = make([]uint32, len(w.r)), make([]uint32, len(w.q)), make([]uint32, len(w.p))
		w.local, w.localDef = make([]byte, 32*p.local), make([]byte, 32*p.local)
		for _, c := range p.consts {
			switch c.class {
			case class32:
				for l := range 32 {
					w.r[c.reg][l] = uint32(c.bits)
				}
			case class64:
				for l := range 32 {
					w.q[c.reg][l] = c.bits
				}
			case classPred:
				w.p[c.reg] = -uint32(c.bits)
			}
		}
		b.warps = append(b.warps, w)
	}
	return b
}

func (l *launch) sharedBytes() int {
	if l.dynamic == 0 {
		return l.kernel.staticSize
	}
	return roundUp(l.kernel.staticSize, 16) + l.dynamic
}

// stuck is how many rounds in which warps did nothing but yield are a deadlock.
const stuck = 10000

// executed counts the instructions of warps that ran.
var executed atomic.Int64

// runAll runs the blocks of a cluster to their end, warp by warp.
func (c *cluster) runAll() {
	var order []*warp
	for _, b := range c.blocks {
		order = append(order, b.warps...)
	}
	if c.blocks[0].run.modes.Reverse {
		slices.Reverse(order)
	}
	idle := 0
	for left := len(order); left > 0; {
		events := 0
		for _, b := range c.blocks {
			events += b.events
		}
		ran, ended := false, false
		for _, w := range order {
			if w.done || w.waiting {
				continue
			}
			ran = true
			w.resume()
			if w.done {
				left--
				ended = true
			}
		}
		for _, b := range c.blocks {
			events -= b.events
		}
		if idle++; ended || events != 0 {
			idle = 0
		}
		if !ran || idle > stuck {
			c.deadlock(order)
		}
	}
}

// run runs all blocks.
func (l *launch) run() error {
	blocks := l.grid[0] * l.grid[1] * l.grid[2]
	size := l.cluster[0] * l.cluster[1] * l.cluster[2]
	clusters := blocks / size
	var next atomic.Int64
	var mutex sync.Mutex
	var first error
	pool := l.pool()
	worker := func() {
		c := &cluster{}
		for i := range size {
			c.blocks = append(c.blocks, l.block(pool, c, i))
		}
		defer func() {
			switch r := recover().(type) {
			case nil:
			case *Fault:
				l.stop.Store(true)
				mutex.Lock()
				if first == nil {
					first = r
				}
				mutex.Unlock()
			default:
				if r != errStopped {
					panic(r)
				}
			}
		}()
		for !l.stop.Load() {
			n := int(next.Add(1)) - 1
			if n >= clusters {
				for _, b := range c.blocks {
					b.noteCoverage()
					b.run, b.cluster, b.more = nil, nil, nil
					for _, w := range b.warps {
						w.last, w.more = nil, nil
					}
					pool.Put(b)
				}
				return
			}
			n = shuffle(n, clusters)
			if l.modes.Reverse {
				n = clusters - 1 - n
			}
			l.place(c, n)
			c.runAll()
			for _, b := range c.blocks {
				for _, w := range b.warps {
					executed.Add(int64(w.count))
				}
			}
		}
	}
	workers := min(runtime.GOMAXPROCS(0), clusters)
	var group sync.WaitGroup
	for range workers - 1 {
		group.Go(worker)
	}
	worker()
	group.Wait()
	return first
}

// place starts the blocks of cluster n.
func (l *launch) place(c *cluster, n int) {
	across := [3]int{l.grid[0] / l.cluster[0], l.grid[1] / l.cluster[1], l.grid[2] / l.cluster[2]}
	base := [3]int{n % across[0] * l.cluster[0], n / across[0] % across[1] * l.cluster[1], n / across[0] / across[1] * l.cluster[2]}
	for i, b := range c.blocks {
		x := base[0] + i%l.cluster[0]
		y := base[1] + i/l.cluster[0]%l.cluster[1]
		z := base[2] + i/l.cluster[0]/l.cluster[1]
		b.start(x + l.grid[0]*(y+l.grid[1]*z))
	}
}

// shuffle is an order of n blocks that a GPU might have had: a permutation.
func shuffle(i, n int) int {
	step := n*5/8 | 1
	for gcd(step, n) != 1 {
		step += 2
	}
	return int((uint64(i)*uint64(step) + uint64(n/3)) % uint64(n))
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
