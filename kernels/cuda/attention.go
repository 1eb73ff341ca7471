package cuda

import (
	"fmt"
	"math"
)

// attentionCores is what tensor cores do for heads of D elements in bf16: the kernels of attention_dD.cu, of one or two tiles of 16 rows a warp.
type attentionCores struct {
	forward2, backward2 bool // kernels of two tiles exist; those of one tile always do
	queries             int  // of a block in the backward
}

var attentionOfCores = map[int]attentionCores{
	32:  {true, true, 64},
	48:  {true, true, 64},
	64:  {true, true, 64},
	80:  {true, false, 64},
	96:  {false, false, 32},
	128: {false, false, 32},
}

// attentionWidth is the name of the kernels of attention.cu for heads of dim elements, which is how many their rows have room for; and how many of 4 warps' rows a
// block has, in the forward and in the backward.
func attentionWidth(t Type, dim int) (width, rows, backwardRows int) {
	switch {
	case dim <= 64:
		return 64, 32, 32
	case dim <= 128 && t == Float32:
		return 128, 32, 32
	case dim <= 256:
		return 256, 16, 8
	}
	panic(fmt.Sprintf("cuda: heads of %d elements: attention takes up to 256", dim))
}

// attentionShared is the shared memory of a block of attention.cu: matrices of width columns with so many rows in all, and scores of the rows of its warps.
func attentionShared(width, matrixRows, rows int) int { return 4 * (matrixRows*(width+4) + 32*rows) }

// attentionScale is the factor of the scores in exponents of base 2.
func attentionScale(dim int) float32 { return float32(math.Log2E / math.Sqrt(float64(dim))) }

// AttentionForward computes y (B, N, heads·dim) and lse (B, heads, N), float32, of qkv (B, N, 3·heads·dim), all but lse of type t.
func (d *Device) AttentionForward(y, lse, qkv Ptr, t Type, b, n, heads, dim int) {
	c := heads * dim
	samples(b, n, func(from, count int) {
		y, lse, qkv := y.Add(from*n*c, t), lse.Add(from*n*heads, Float32), qkv.Add(from*n*3*c, t)
		grid := func(rows int) Dim { return Dim{ceilDiv(n, rows), heads, count} }
		if cores, ok := attentionOfCores[dim]; ok && t == BFloat16 && aligned16(y, qkv) {
			tiles, warps := 1, min(ceilDiv(n, 16), 8)
			if n > 128 && cores.forward2 {
				tiles, warps = 2, 4
			}
			blocks := min(ceilDiv(n, 64), 2)
			shared := blocks * 2 * min(64, 16*ceilDiv(n, 16)) * 2 * (dim + 8)
			d.launch(fmt.Sprintf("attention_d%d", dim), fmt.Sprintf("attention_forward_d%dx%d_bf16", dim, tiles), grid(16*tiles*warps), Dim{X: 32 * warps}, shared,
				P(y), P(lse), P(qkv), I(n), F(attentionScale(dim)))
			return
		}
		width, rows, _ := attentionWidth(t, dim)
		d.launch("attention", fmt.Sprintf("attention_forward_%d_%v", width, t), grid(rows), Dim{X: 128}, attentionShared(width, rows+2*32, rows),
			P(y), P(lse), P(qkv), I(n), I(dim), F(attentionScale(dim)))
	})
}

// AttentionBackward computes dqkv, or adds to it, of dy and what AttentionForward left in y and lse.
func (d *Device) AttentionBackward(dqkv, dy, qkv, y, lse Ptr, t Type, b, n, heads, dim int, add bool) {
	c := heads * dim
	samples(b, n, func(from, count int) {
		dqkv, qkv := dqkv.Add(from*n*3*c, t), qkv.Add(from*n*3*c, t)
		dy, y, lse := dy.Add(from*n*c, t), y.Add(from*n*c, t), lse.Add(from*n*heads, Float32)
		if cores, ok := attentionOfCores[dim]; ok && t == BFloat16 && aligned16(dqkv, dy, qkv, y) {
			tiles, warps, keys, shared := d.attentionChunks(cores, n, dim)
			var partial Ptr
			if keys < n {
				partial = d.workspace(4 * count * n * c)
			}
			d.launch(fmt.Sprintf("attention_d%d", dim), fmt.Sprintf("attention_backward_d%dx%d_bf16", dim, tiles), Dim{1, heads, count}, Dim{X: 32 * warps}, shared,
				P(dqkv), P(dy), P(qkv), P(y), P(lse), P(partial), I(n), I(keys), F(attentionScale(dim)), Flag(add))
			return
		}
		width, _, rows := attentionWidth(t, dim)
		grid, shared := Dim{ceilDiv(n, rows), heads, count}, attentionShared(width, 2*rows+2*32, rows)
		delta := d.workspace(4 * count * n * heads)
		d.launch("attention", fmt.Sprintf("attention_backward_q_%d_%v", width, t), grid, Dim{X: 128}, shared,
			P(dqkv), P(delta), P(dy), P(qkv), P(y), P(lse), I(n), I(dim), F(attentionScale(dim)), Flag(add))
		d.launch("attention", fmt.Sprintf("attention_backward_kv_%d_%v", width, t), grid, Dim{X: 128}, shared,
			P(dqkv), P(delta), P(dy), P(qkv), P(lse), I(n), I(dim), F(attentionScale(dim)), Flag(add))
	})
}

// attentionChunks is how a block of the backward on tensor cores goes about n keys: by chunks of as many tiles of 16 as its warps take at once, or as the GPU's
// shared memory has room for. Full chunks and a rest are faster than equal ones, whose warps would have one tile here and two there.
func (d *Device) attentionChunks(cores attentionCores, n, dim int) (tiles, warps, keys, shared int) {
	tiles, warps = 1, 8
	if cores.backward2 {
		if n <= 64 {
			warps = 4 // of one tile
		} else {
			tiles = 2
		}
	}
	// As struct Room.
	row, queries := 2*(dim+8), min(cores.queries, 16*ceilDiv(n, 16))
	blocks := min(ceilDiv(n, cores.queries), 2)
	room := func(keys int) int {
		return 2*keys*row + (2*blocks+1)*queries*row + keys*2*(cores.queries+8) + 3*cores.queries*4
	}

	chunk := min(ceilDiv(n, 16), tiles*warps)
	for chunk > 1 && room(16*chunk) > d.info.SharedPerBlock {
		chunk--
	}
	if chunk <= warps {
		warps = ceilDiv(chunk, tiles)
	}
	return tiles, warps, 16 * chunk, room(16 * chunk)
}

// AttentionWeights computes p (B, heads, N, N), the softmax of the scores, of qkv (B, N, 3·heads·dim), both of type t.
func (d *Device) AttentionWeights(p, qkv Ptr, t Type, b, n, heads, dim int) {
	attentionWidth(t, dim) // of at most 256
	samples(b, n, func(from, count int) {
		d.launch("attention", "attention_weights_"+t.String(), Dim{ceilDiv(n, 16), heads, count}, Dim{X: 128}, attentionShared(256, 16+32, 0),
			P(p.Add(from*heads*n*n, t)), P(qkv.Add(from*n*3*heads*dim, t)), I(n), I(dim), F(attentionScale(dim)))
	})
}

// samples calls f for as many of b samples at once as a grid's third dimension has room for, unless they have no elements.
func samples(b, n int, f func(from, count int)) {
	for from := 0; from < b && n > 0; from += maxGrid {
		f(from, min(maxGrid, b-from))
	}
}

// aligned16 says whether rows of multiples of 16 bytes from these addresses allow vectors of 16 bytes.
func aligned16(rows ...Ptr) bool { return vectors(4, rows...) }
