package cuda

import "encoding/binary"

// Parameter are the arrays of one parameter of N elements: its value P, the moments M and V (SGD has only M), the gradient G, the moving average T, float32; and
// bf16 copies of P and T. Those that there are not are 0: a frozen parameter has no M, V and G.
type Parameter struct {
	N             int
	P, M, V, G, T Ptr
	P16, T16      Ptr
}

// Parameters is a list of parameters on the GPU that kernels go through in one launch: each is cut into chunks, one a block, so that blocks have equal work
// whatever the sizes are. The arrays stay where they are as long as the list is used.
type Parameters struct {
	list, chunks Ptr // Parameter of parameters.cuh, and (parameter, number of the chunk in it) of every chunk
	Count        int
	blocks       int
}

// chunkSize is chunk_size of parameters.cuh.
const chunkSize = 4096

// NewParameters uploads a list.
func (d *Device) NewParameters(list []Parameter) *Parameters {
	var records, chunks []byte
	p := &Parameters{Count: len(list)}
	for i, q := range list {
		records = binary.LittleEndian.AppendUint32(records, uint32(q.N))
		records = binary.LittleEndian.AppendUint32(records, uint32(p.blocks))
		for _, address := range [...]Ptr{q.P, q.M, q.V, q.G, q.T, q.P16, q.T16} {
			records = binary.LittleEndian.AppendUint64(records, uint64(address))
		}
		n := ceilDiv(q.N, chunkSize)
		for c := range n {
			chunks = binary.LittleEndian.AppendUint32(chunks, uint32(i))
			chunks = binary.LittleEndian.AppendUint32(chunks, uint32(c))
		}
		p.blocks += n
	}
	p.list, p.chunks = d.Alloc(len(records)), d.Alloc(len(chunks))
	d.Upload(p.list, records)
	d.Upload(p.chunks, chunks)
	return p
}

// FreeParameters gives a list's own memory back.
func (d *Device) FreeParameters(p *Parameters) {
	d.Free(p.list)
	d.Free(p.chunks)
}
