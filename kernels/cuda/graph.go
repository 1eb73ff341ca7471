package cuda

import "fmt"

// Capture records what work launches as a graph instead of doing it. Work may not take memory, wait, or copy from or to memory of the program that is not
// page-locked; nor may it launch a kernel for the first time.
func (d *Device) Capture(work func()) Graph {
	if d.err != nil {
		return 0
	}
	if err := d.driver.BeginCapture(); err != nil {
		d.fail(fmt.Errorf("cuda: recording a graph: %w", err))
		return 0
	}
	work()
	g, err := d.driver.EndCapture()
	if err != nil {
		d.fail(fmt.Errorf("cuda: recording a graph: %w", err))
	}
	return g
}

// Replay does what a graph has recorded.
func (d *Device) Replay(g Graph) {
	if d.err == nil {
		if err := d.driver.Replay(g); err != nil {
			d.fail(fmt.Errorf("cuda: running a graph: %w", err))
		}
	}
}

// FreeGraph gives a graph's memory back.
func (d *Device) FreeGraph(g Graph) {
	if d.err == nil {
		d.fail(d.driver.FreeGraph(g))
	}
}
