package tensor

import "github.com/godino-ml/godino/kernels/cuda"

// Recorder runs a pass that is the same again and again. On a GPU it records the pass the third time (by then all memory has been taken), and from
// then on runs the recording, which costs the program one call: what the pass does on the CPU is not done again, and what it reads of changing
// numbers it has to read from Scalars.
type Recorder struct {
	dev   *Device
	kinds map[any]*recording
}

type recording struct {
	runs  int
	graph cuda.Graph
}

// eagerRuns are the runs of a kind of pass before it is recorded.
const eagerRuns = 2

// NewRecorder makes a recorder that has recorded nothing.
func NewRecorder(dev *Device) *Recorder { return &Recorder{dev: dev, kinds: map[any]*recording{}} }

// Run runs the pass. kind, which has to be comparable, tells passes that differ in shapes or in what they do: each is recorded by itself.
func (r *Recorder) Run(kind any, pass func()) {
	g := r.dev.gpu
	if g == nil {
		pass()
		return
	}
	k := r.kinds[kind]
	if k == nil {
		k = &recording{}
		r.kinds[kind] = k
	}
	k.runs++
	if k.runs <= eagerRuns {
		pass()
		return
	}
	if k.graph == 0 {
		k.graph = g.Capture(pass)
	}
	g.Replay(k.graph)
}

// Recorded says whether passes of that kind are run from a recording.
func (r *Recorder) Recorded(kind any) bool { return r.kinds[kind] != nil && r.kinds[kind].graph != 0 }

// Forget gives all recordings back: what they read and write may go away.
func (r *Recorder) Forget() {
	for _, k := range r.kinds {
		if k.graph != 0 {
			r.dev.gpu.FreeGraph(k.graph)
		}
	}
	clear(r.kinds)
}
