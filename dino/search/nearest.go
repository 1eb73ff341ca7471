package search

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/godino-ml/godino/tensor"
)

// Rows are features of length 1, one a row.
type Rows struct {
	Data []float32 // (N, D)
	Dim  int       // D
}

// Len is N.
func (r Rows) Len() int {
	if r.Dim <= 0 {
		return 0
	}
	return len(r.Data) / r.Dim
}

// Row is row i.
func (r Rows) Row(i int) []float32 { return r.Data[i*r.Dim : (i+1)*r.Dim : (i+1)*r.Dim] }

func (r Rows) check(what string) error {
	if r.Dim < 1 || len(r.Data)%r.Dim != 0 {
		return fmt.Errorf("%s: %d numbers are no rows of %d", what, len(r.Data), r.Dim)
	}
	return nil
}

// Match is a row that was found.
type Match struct {
	Row        int
	Similarity float64 // cosine
}

// nearer orders matches: the most similar first, equal ones by row.
func nearer(a, b Match) int {
	return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.Row, b.Row))
}

const (
	// A few queries are compared row by row, which reads the rows once at the speed of memory; more of them by products of blocks.
	fewQueries = 4
	rowChunk   = 1024 // rows of a task, with few queries
	// Of a product: (queryBlock, D)·(rowBlock, D)ᵀ is 1 MB of similarities.
	queryBlock, rowBlock = 64, 4096
)

// Nearest finds for each query the k rows with the largest cosine, nearest first; between equal ones the lower row comes first. k is cut to
// the number of rows. Queries have length 1, as rows have. A row that is not of numbers up to length 1 is an error: the index is damaged.
func Nearest(dev *tensor.Device, rows, queries Rows, k int) ([][]Match, error) {
	dev = dev.Host() // the index is in the program's memory
	if err := rows.check("rows"); err != nil {
		return nil, err
	}
	if err := queries.check("queries"); err != nil {
		return nil, err
	}
	if rows.Dim != queries.Dim {
		return nil, fmt.Errorf("features of %d and of %d dimensions cannot be compared", queries.Dim, rows.Dim)
	}
	if k < 1 {
		return nil, fmt.Errorf("%d neighbours: at least 1 is needed", k)
	}
	k = min(k, rows.Len())
	found := make([][]Match, queries.Len())
	if k == 0 {
		return found, nil
	}
	for first := 0; first < queries.Len(); first += queryBlock {
		last := min(first+queryBlock, queries.Len())
		some := Rows{queries.Data[first*rows.Dim : last*rows.Dim], rows.Dim}
		nearest := nearestByProduct
		if some.Len() <= fewQueries {
			nearest = nearestByRow
		}
		if err := nearest(dev, rows, some, k, found[first:last]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// nearestByRow compares every row with every query: each thread keeps what it finds, and the finds are put together.
func nearestByRow(dev *tensor.Device, rows, queries Rows, k int, found [][]Match) error {
	n, q := rows.Len(), queries.Len()
	dot := dev.Kernels().Dot
	finds := make([]finder, dev.Threads()*q)
	var damaged damage
	dev.Run((n+rowChunk-1)/rowChunk, func(chunk, worker int) {
		mine := finds[worker*q : (worker+1)*q]
		for j := range mine {
			if mine[j].k == 0 {
				mine[j] = newFinder(rows, queries.Row(j), k)
			}
		}
		var similarity [rowChunk]float32
		first := chunk * rowChunk
		last := min(first+rowChunk, n)
		for j := range mine {
			of := queries.Row(j)
			for i := first; i < last; i++ {
				similarity[i-first] = dot(rows.Row(i), of)
			}
			if bad := mine[j].offer(similarity[:last-first], first); bad >= 0 {
				damaged.note(bad)
			}
		}
	})
	if err := damaged.err(); err != nil {
		return err
	}
	for j := range found {
		var all []candidate
		for w := range dev.Threads() {
			all = append(all, finds[w*q+j].candidates...)
		}
		f := newFinder(rows, queries.Row(j), k)
		f.candidates = all
		found[j] = f.best()
	}
	return nil
}

// nearestByProduct compares by products of queries and blocks of rows.
func nearestByProduct(dev *tensor.Device, rows, queries Rows, k int, found [][]Match) error {
	n, q, d := rows.Len(), queries.Len(), rows.Dim
	finds := make([]finder, q)
	for j := range finds {
		finds[j] = newFinder(rows, queries.Row(j), k)
	}
	similarity := make([]float32, q*min(rowBlock, n))
	var damaged damage
	for first := 0; first < n; first += rowBlock {
		cols := min(rowBlock, n-first)
		dev.Gemm(false, true, q, cols, d, 1, queries.Data, d, rows.Data[first*d:], d, 0, similarity, cols) // (Q, D)·(cols, D)ᵀ
		dev.Run(q, func(j, _ int) {
			if bad := finds[j].offer(similarity[j*cols:(j+1)*cols], first); bad >= 0 {
				damaged.note(bad)
			}
		})
		if err := damaged.err(); err != nil {
			return err
		}
	}
	dev.Run(q, func(j, _ int) { found[j] = finds[j].best() })
	return nil
}

// damage is the first row that is no feature.
type damage struct{ row atomic.Int64 } // its number plus 1, 0 for none

func (d *damage) note(row int) {
	for {
		old := d.row.Load()
		if old != 0 && old <= int64(row)+1 || d.row.CompareAndSwap(old, int64(row)+1) {
			return
		}
	}
}

func (d *damage) err() error {
	if row := d.row.Load(); row != 0 {
		return &DamagedRowError{int(row - 1)}
	}
	return nil
}

// DamagedRowError says that a row is no feature of length 1.
type DamagedRowError struct{ Row int }

func (e *DamagedRowError) Error() string {
	return fmt.Sprintf("row %d is no feature of length 1: the index is damaged; make it anew", e.Row)
}

// rounding bounds how far a product of two rows of length 1 in float32 is from the exact one, in whatever order it is added: n·u/(1−n·u)
// times Σ|x·y| ≤ 1 (N. Higham, Accuracy and Stability of Numerical Algorithms, §3.1), u = 2⁻²⁴. The lengths are 1 up to some u, for
// which, and for the float64 that it is used with, there is an eighth more.
func rounding(dim int) float64 {
	nu := float64(dim+8) / (1 << 24)
	return 1.125 * nu / (1 - min(nu, 0.5))
}

// cosine is the product of two rows, each product exact in float64 and added in order: the same bits on every machine.
func cosine(x, y []float32) float64 {
	var s float64
	y = y[:len(x)]
	for i, v := range x {
		s += float64(v) * float64(y[i])
	}
	return s
}

type candidate struct {
	row        int
	similarity float32 // rounded
	exact      float64
	known      bool // exact is
}

// finder keeps the rows that may be among the k nearest to a query.
type finder struct {
	rows  Rows
	query []float32
	k     int
	slack float32 // of a product, as rounding says

	heap       []float32   // the k largest products so far, the least on top
	cut        float32     // a row whose product is less is not among the nearest
	candidates []candidate // all others
}

func newFinder(rows Rows, query []float32, k int) finder {
	return finder{rows: rows, query: query, k: k, slack: float32(rounding(rows.Dim)), cut: -2}
}

// mostCandidates is how many rows wait for their exact cosine.
func (f *finder) mostCandidates() int { return 4*f.k + 1024 }

// offer tries the products with rows first, first+1, …; it returns the number of the first that is no cosine, or −1.
func (f *finder) offer(similarity []float32, first int) (damaged int) {
	for j, s := range similarity {
		if s < f.cut {
			continue
		}
		if !(s >= -1.01 && s <= 1.01) { // NaN too: it is not less
			return first + j
		}
		f.candidates = append(f.candidates, candidate{row: first + j, similarity: s})
		switch {
		case len(f.heap) < f.k:
			f.heap = append(f.heap, s)
			for i := len(f.heap) - 1; i > 0 && f.heap[i] < f.heap[(i-1)/2]; i = (i - 1) / 2 {
				f.heap[i], f.heap[(i-1)/2] = f.heap[(i-1)/2], f.heap[i]
			}
		case s > f.heap[0]:
			f.heap[0] = s
			f.sink()
		}
		if len(f.heap) == f.k {
			// The exact cosine of the k-th is no less than its product less slack, and that of a row no more than its product and slack.
			f.cut = max(f.cut, f.heap[0]-2*f.slack)
		}
		if len(f.candidates) >= f.mostCandidates() {
			f.prune()
		}
	}
	return -1
}

func (f *finder) sink() {
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(f.heap); child++ {
			if f.heap[child] < f.heap[least] {
				least = child
			}
		}
		if least == i {
			return
		}
		f.heap[i], f.heap[least] = f.heap[least], f.heap[i]
		i = least
	}
}

// prune drops candidates: by their products if that is enough, else, where very many rows are as near, by their exact cosines.
func (f *finder) prune() {
	f.candidates = slices.DeleteFunc(f.candidates, func(c candidate) bool { return c.similarity < f.cut })
	if len(f.candidates) < f.mostCandidates()/2 {
		return
	}
	f.settle()
	if len(f.candidates) == f.k {
		f.cut = max(f.cut, float32(f.candidates[f.k-1].exact)-f.slack)
	}
}

// settle leaves the k nearest of the candidates, in order.
func (f *finder) settle() {
	for i := range f.candidates {
		if c := &f.candidates[i]; !c.known {
			c.exact, c.known = cosine(f.rows.Row(c.row), f.query), true
		}
	}
	slices.SortFunc(f.candidates, func(a, b candidate) int { return nearer(Match{a.row, a.exact}, Match{b.row, b.exact}) })
	f.candidates = f.candidates[:min(f.k, len(f.candidates))]
}

// best are the k nearest.
func (f *finder) best() []Match {
	f.settle()
	m := make([]Match, len(f.candidates))
	for i, c := range f.candidates {
		m[i] = Match{c.row, c.exact}
	}
	return m
}
