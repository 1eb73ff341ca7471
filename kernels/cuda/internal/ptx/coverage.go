package ptx

import (
	"fmt"
	"maps"
	"slices"
)

// What an instruction did at least once: it was done by some lane, or the lanes that came to a branch passed it.
const (
	done   = 1
	passed = 2
)

// noteCoverage adds what the block did to what is known of its program.
func (b *block) noteCoverage() {
	p := b.run.program
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.covered == nil {
		p.covered = make([]uint8, len(p.code))
	}
	for i, x := range b.covered {
		p.covered[i] |= x
	}
	clear(b.covered)
}

// Launches is how often each kernel was run in this process, those of one name in several modules together.
func Launches() map[string]int {
	n := map[string]int{}
	parsed.Range(func(_, m any) bool {
		for name, k := range m.(*module).kernels {
			n[name] += int(k.launches.Load())
		}
		return true
	})
	return n
}

// LaunchesOf is how often each kernel of a module was run in this process.
func LaunchesOf(text []byte) (map[string]int, error) {
	m, err := read(text)
	if err != nil {
		return nil, err
	}
	n := map[string]int{}
	for name, k := range m.kernels {
		n[name] = int(k.launches.Load())
	}
	return n, nil
}

// Uncovered lists the instructions of a module's kernels that no launch of this process has done, and branches that were never taken or never passed.
// Launches that failed do not count.
func Uncovered(text []byte) ([]string, error) {
	m, err := read(text)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m.kernels)) {
		k := m.kernels[name]
		if k.launches.Load() == 0 {
			list = append(list, fmt.Sprintf("%d: kernel %s was never launched", k.line, name))
			continue
		}
		p := k.program
		p.mutex.Lock()
		for i := range p.code {
			var x uint8
			if p.covered != nil {
				x = p.covered[i]
			}
			in := &p.code[i]
			what := ""
			switch {
			case in.line == 0: // the end that compile adds
			case x == 0:
				what = "never done"
			case in.kind == branch && in.guard >= 0 && x == done:
				what = "always taken"
			case in.kind == branch && in.guard >= 0 && x == passed:
				what = "never taken"
			}
			if what != "" {
				list = append(list, fmt.Sprintf("%d: %s: %s (%s)", in.line, name, in.text, what))
			}
		}
		p.mutex.Unlock()
	}
	return list, nil
}
