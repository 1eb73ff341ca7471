package tensor

import "github.com/godino-ml/godino/kernels/cuda"

// Pairs lists, for every row of one matrix, the rows of another that it is compared with. It is read only.
type Pairs struct {
	rows [][]int

	// The same for a GPU: row r is compared with index[start[r]:start[r+1]].
	start, index     []int32
	startOn, indexOn resident[int32]
}

// NewPairs makes Pairs of such lists, which may be empty.
func NewPairs(rows [][]int) *Pairs {
	p := &Pairs{rows: rows, start: make([]int32, 1, len(rows)+1)}
	for _, list := range rows {
		for _, i := range list {
			p.index = append(p.index, int32(i))
		}
		p.start = append(p.start, int32(len(p.index)))
	}
	return p
}

// on are start (R+1) and index in the memory of d's GPU.
func (p *Pairs) on(d *Device) (start, index cuda.Ptr) {
	return p.startOn.at(d, p.start), p.indexOn.at(d, p.index)
}
