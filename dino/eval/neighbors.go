package eval

import (
	"fmt"
	"slices"

	"github.com/godino-ml/godino/tensor"
)

// Similarities are computed in blocks of queries × bank rows: 512 × 2048 floats are 4 MB, and no block is ever larger, however many
// images there are.
const (
	queryBlock = 512
	bankBlock  = 2048
)

// Neighbors are the K nearest bank rows of each query, nearest first.
type Neighbors struct {
	K          int
	Index      []int32   // (queries, K)
	Similarity []float32 // (queries, K), cosines
}

// Nearest finds the k bank rows with the largest cosine to each query; between equal ones the lower index wins. k is cut to the bank's
// length.
func Nearest(dev *tensor.Device, queries, bank Features, k int) (*Neighbors, error) {
	if err := queries.check("query"); err != nil {
		return nil, err
	}
	if err := bank.check("bank"); err != nil {
		return nil, err
	}
	if queries.Dim != bank.Dim {
		return nil, fmt.Errorf("features of %d and of %d dimensions cannot be compared", queries.Dim, bank.Dim)
	}
	if k < 1 {
		return nil, fmt.Errorf("%d neighbours: at least 1 is needed", k)
	}
	n, m, d := queries.Len(), bank.Len(), bank.Dim
	k = min(k, m)
	queryScale, bankScale := queries.inverseNorms(), bank.inverseNorms()
	dev = dev.Host() // features are in the program's memory
	q := tensor.New(dev, min(queryBlock, n), d)
	b := tensor.New(dev, min(bankBlock, m), d)
	c := tensor.New(dev, q.Dim(0), b.Dim(0))
	found := &Neighbors{K: k, Index: make([]int32, n*k), Similarity: make([]float32, n*k)}

	for qi := 0; qi < n; qi += queryBlock {
		rows := min(queryBlock, n-qi)
		qb := q.Slice(0, rows)
		copyScaled(qb.Data(), queries.Data[qi*d:], queryScale[qi:qi+rows], d)
		nearest := make([]nearestK, rows)
		for bi := 0; bi < m; bi += bankBlock {
			cols := min(bankBlock, m-bi)
			bb := b.Slice(0, cols)
			copyScaled(bb.Data(), bank.Data[bi*d:], bankScale[bi:bi+cols], d)
			similarity := tensor.FromSlice(dev, c.Data()[:rows*cols], rows, cols)
			tensor.Gemm(similarity, qb, bb, false, true, 1, 0) // (rows, D)·(cols, D)ᵀ
			const perChunk = 32
			dev.Run((rows+perChunk-1)/perChunk, func(chunk, _ int) {
				for r := chunk * perChunk; r < min((chunk+1)*perChunk, rows); r++ {
					nearest[r].offer(similarity.Data()[r*cols:(r+1)*cols], bi, k)
				}
			})
		}
		for r := range nearest {
			slices.SortFunc(nearest[r], func(a, b neighbor) int {
				if before(a, b) {
					return -1
				}
				return 1 // no two have the same index
			})
			for j, x := range nearest[r] {
				found.Index[(qi+r)*k+j], found.Similarity[(qi+r)*k+j] = x.index, x.similarity
			}
		}
	}
	return found, nil
}

// copyScaled copies len(scale) rows of d, each times its scale.
func copyScaled(dst, src []float32, scale []float32, d int) {
	for i, s := range scale {
		row := dst[i*d : (i+1)*d]
		for j, v := range src[i*d : (i+1)*d] {
			row[j] = v * s
		}
	}
}

type neighbor struct {
	similarity float32
	index      int32
}

// before says whether a is nearer than b.
func before(a, b neighbor) bool {
	return a.similarity > b.similarity || a.similarity == b.similarity && a.index < b.index
}

// nearestK is a heap of the nearest so far, the farthest of them on top.
type nearestK []neighbor

// offer tries the similarities to bank rows first, first+1, ...
func (h *nearestK) offer(similarity []float32, first, k int) {
	for j, s := range similarity {
		// Indices grow, so an equal similarity never displaces one that is kept.
		if len(*h) == k && !(s > (*h)[0].similarity) {
			continue
		}
		x := neighbor{s, int32(first + j)}
		if len(*h) < k {
			*h = append(*h, x)
			h.up(len(*h) - 1)
			continue
		}
		(*h)[0] = x
		h.down()
	}
}

func (h nearestK) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !before(h[parent], h[i]) {
			return
		}
		h[parent], h[i] = h[i], h[parent]
		i = parent
	}
}

func (h nearestK) down() {
	for i := 0; ; {
		farthest := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if before(h[farthest], h[child]) {
				farthest = child
			}
		}
		if farthest == i {
			return
		}
		h[i], h[farthest] = h[farthest], h[i]
		i = farthest
	}
}
