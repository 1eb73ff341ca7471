package ptx

import (
	"errors"
	"fmt"
	"math/bits"
)

// Fault is what a kernel did wrong.
type Fault struct {
	Kernel      string
	Line        int    // of the PTX file
	Instruction string // as the file has it
	Block       [3]int
	Warp        int
	Lane        int    // -1: all of the warp
	Thread      [3]int // of Lane
	What        string
}

// Error names the place first.
func (f *Fault) Error() string {
	at := fmt.Sprintf("warp %d", f.Warp)
	if f.Lane >= 0 {
		at = fmt.Sprintf("thread (%d,%d,%d) (warp %d, lane %d)", f.Thread[0], f.Thread[1], f.Thread[2], f.Warp, f.Lane)
	}
	return fmt.Sprintf("%s\n\tat PTX line %d of kernel %s: %s\n\tblock (%d,%d,%d), %s", f.What, f.Line, f.Kernel, f.Instruction, f.Block[0], f.Block[1], f.Block[2], at)
}

// fail ends the launch with a fault of a lane (-1: of the warp) at the instruction that runs.
func (w *warp) fail(lane int, format string, args ...any) {
	f := &Fault{Kernel: w.b.k.name, Block: w.b.index, Warp: w.id, Lane: lane, What: fmt.Sprintf(format, args...)}
	if in := w.b.code; w.pc < len(in) {
		f.Line, f.Instruction = in[w.pc].line, in[w.pc].text
	}
	if lane >= 0 {
		t := w.id*32 + lane
		f.Thread = [3]int{t % w.b.threads[0], t / w.b.threads[0] % w.b.threads[1], t / w.b.threads[0] / w.b.threads[1]}
	}
	panic(f)
}

// undefined fails for the first of the lanes m whose register has no value.
func (w *warp) undefined(name string, m uint32) {
	lane := bits.TrailingZeros32(m)
	if from, ok := w.loaded[name]; ok {
		w.fail(lane, "%s", from)
	}
	w.fail(lane, "register %s is read before it has a value", name)
}

// errStopped ends blocks after another one failed.
var errStopped = errors.New("stopped")
