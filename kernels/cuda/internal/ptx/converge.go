package ptx

// Lanes of a warp that went another way meet again. The warp runs the lanes with the lowest pc first, which is where they meet unless the compiler has put a
// part of the way behind the place: then those that are there have to wait, as on a GPU.

// missing says that some of the lanes named by want are not here, where an instruction needs them, but are sure to come: the instruction is done again when
// they have. It fails, with why, if they may never come.
func (w *warp) missing(m, want uint32, why func()) bool {
	absent := want & w.live() &^ m
	if absent == 0 {
		return false
	}
	if absent&w.mask != 0 {
		why() // they are here, and the guard has let them pass
	}
	for _, s := range w.others {
		if s.mask&absent != 0 && !w.b.run.program.leads(s.pc, w.pc) {
			why()
		}
	}
	w.signal = retry
	return true
}

// leads says whether every way from pc leads to place.
func (p *program) leads(pc, place int) bool {
	key := [2]int{pc, place}
	if known, ok := p.ways.Load(key); ok {
		return known.(bool)
	}
	seen := make([]bool, len(p.code))
	var ends func(pc int) bool // whether a way from pc ends without having come to place
	ends = func(pc int) bool {
		for ; pc != place; pc++ {
			if pc >= len(p.code) {
				return true
			}
			if seen[pc] {
				return false
			}
			seen[pc] = true
			switch in := &p.code[pc]; {
			case in.kind == leave:
				return true
			case in.kind == branch && in.guard < 0:
				pc = int(in.target) - 1
			case in.kind == branch && ends(int(in.target)):
				return true
			}
		}
		return false
	}
	leads := !ends(pc)
	p.ways.Store(key, leads)
	return leads
}
