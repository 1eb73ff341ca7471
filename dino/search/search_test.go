package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// devices are all kernels of this CPU, with several numbers of threads.
func devices(f func(name string, dev *tensor.Device)) {
	for _, table := range kernels.Tables() {
		for _, threads := range []int{1, 2, 3} {
			f(fmt.Sprintf("%s, %d threads", table.Name, threads), tensor.NewCPU(table, threads))
		}
	}
}

// crowded are rows around a few directions, many of them so near to each other that float32 does not tell them apart, some equal.
func crowded(n, d int, seed uint64) Rows {
	rng := rand.New(rand.NewPCG(seed, 1))
	r := Rows{make([]float32, n*d), d}
	centres := make([]float32, 4*d)
	for i := range centres {
		centres[i] = float32(rng.NormFloat64())
	}
	for i := range n {
		row := r.Row(i)
		copy(row, centres[rng.IntN(4)*d:][:d])
		spread := []float64{0, 1e-7, 1e-4, 0.1, 1}[rng.IntN(5)]
		for j := range row {
			row[j] += float32(spread * rng.NormFloat64())
		}
	}
	if err := r.Normalize(); err != nil {
		panic(err)
	}
	return r
}

func bruteForce(rows Rows, query []float32, k int) []Match {
	m := make([]Match, rows.Len())
	for i := range m {
		var s float64
		for j, v := range rows.Row(i) {
			s += float64(v) * float64(query[j])
		}
		m[i] = Match{i, s}
	}
	slices.SortFunc(m, nearer)
	return m[:min(k, len(m))]
}

func TestNearestIsExact(t *testing.T) {
	for _, c := range []struct{ n, d, q, k int }{{5000, 48, 1, 10}, {5000, 48, 5, 10}, {3000, 384, 3, 50}, {rowBlock + 1, 7, queryBlock + 3, 1}, {30, 16, 6, 100}, {1, 1, 1, 1}} {
		rows, queries := crowded(c.n, c.d, 1), crowded(c.q, c.d, 2)
		copy(queries.Data, rows.Row(c.n/2)) // a row itself, which is in a crowd
		want := make([][]Match, c.q)
		for i := range want {
			want[i] = bruteForce(rows, queries.Row(i), c.k)
		}
		devices(func(name string, dev *tensor.Device) {
			got, err := Nearest(dev, rows, queries, c.k)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("%+v, %s, query %d: found\n%v, want\n%v", c, name, i, got[i], want[i])
				}
			}
		})
	}
}

// TestTiesAreBrokenByRow has more equal rows than a finder keeps.
func TestTiesAreBrokenByRow(t *testing.T) {
	rows := Rows{make([]float32, 30000*8), 8}
	for i := range rows.Len() {
		rows.Row(i)[i%2] = 1 // every second one is the query
	}
	queries := Rows{make([]float32, 6*8), 8}
	for i := range queries.Len() {
		queries.Row(i)[1] = 1
	}
	devices(func(name string, dev *tensor.Device) {
		for _, q := range []int{1, 6} {
			got, err := Nearest(dev, rows, Rows{queries.Data[:q*8], 8}, 4)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range got {
				if want := []Match{{1, 1}, {3, 1}, {5, 1}, {7, 1}}; !slices.Equal(m, want) {
					t.Errorf("%s: %v, want %v", name, m, want)
				}
			}
		}
	})
}

func TestFinderKeepsLittle(t *testing.T) {
	rows := Rows{make([]float32, 100000), 1}
	similarity := make([]float32, rows.Len())
	for i := range similarity {
		rows.Data[i], similarity[i] = 1, 1
	}
	f := newFinder(rows, []float32{1}, 10)
	f.offer(similarity, 0)
	if n := len(f.candidates); n > f.mostCandidates() {
		t.Errorf("%d candidates of %d equal rows are kept", n, rows.Len())
	}
}

func TestDamagedRowIsNamed(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e20} {
		rows := crowded(9000, 16, 3)
		rows.Row(7001)[3], rows.Row(8005)[0] = bad, bad
		if bad == 1e20 { // of the query's direction: a length that no feature has
			copy(rows.Row(7001), make([]float32, 16))
			rows.Row(7001)[0], rows.Row(8005)[0] = 2, 2
		}
		queries := Rows{make([]float32, 6*16), 16}
		for i := range queries.Len() {
			queries.Row(i)[0] = 1
		}
		for _, q := range []int{1, 6} {
			_, err := Nearest(tensor.CPU(), rows, Rows{queries.Data[:q*16], 16}, 3)
			var damaged *DamagedRowError
			if !errors.As(err, &damaged) || damaged.Row != 7001 {
				t.Errorf("%v, %d queries: %v", bad, q, err)
			}
		}
		if _, err := Duplicates(context.Background(), tensor.CPU(), rows, nil, 0.9, nil); err == nil {
			t.Errorf("%v: duplicates: no error", bad)
		}
	}
}

func TestNearestRefuses(t *testing.T) {
	r := Rows{make([]float32, 6), 3}
	for _, c := range []struct {
		rows, queries Rows
		k             int
	}{{r, r, 0}, {r, Rows{r.Data, 2}, 1}, {Rows{r.Data, 4}, Rows{r.Data[:4], 4}, 1}, {Rows{r.Data, 0}, r, 1}} {
		if _, err := Nearest(tensor.CPU(), c.rows, c.queries, c.k); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	if found, err := Nearest(tensor.CPU(), Rows{nil, 3}, r, 5); err != nil || len(found) != 2 || len(found[0]) != 0 {
		t.Errorf("no rows: %v, %v", found, err)
	}
}

func TestUnionFind(t *testing.T) {
	u := newUnionFind(10)
	for _, p := range [][2]int{{9, 3}, {5, 4}, {3, 4}, {1, 8}, {8, 1}, {7, 7}} {
		u.union(p[0], p[1])
	}
	got := u.groups()
	if want := [][]int{{1, 8}, {3, 4, 5, 9}}; !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestDuplicatesAreThoseOfAllPairs(t *testing.T) {
	rows := crowded(1300, 24, 5)
	n := rows.Len()
	threshold := cosine(rows.Row(17), rows.Row(40)) // met exactly by a pair
	if cosine(rows.Row(17), rows.Row(40)) < 0.2 {
		threshold = 0.97
	}
	sums := make([]dataset.Sum, n)
	for i := range sums {
		sums[i][0], sums[i][1] = byte(i), byte(i>>8)
	}
	sums[1200], sums[1250] = sums[2], sums[2]
	// By walking from each row along all pairs.
	group := make([]int, n)
	for i := range group {
		group[i] = -1
	}
	var want [][]int
	for i := range n {
		if group[i] >= 0 {
			continue
		}
		members := []int{i}
		group[i] = i
		for at := 0; at < len(members); at++ {
			for j := range n {
				a := members[at]
				if group[j] < 0 && (cosine(rows.Row(min(a, j)), rows.Row(max(a, j))) >= threshold || sums[a] == sums[j]) {
					group[j] = i
					members = append(members, j)
				}
			}
		}
		if len(members) > 1 {
			slices.Sort(members)
			want = append(want, members)
		}
	}
	slices.SortStableFunc(want, func(a, b []int) int { return len(b) - len(a) })
	if len(want) < 2 {
		t.Fatalf("the test has %d groups", len(want))
	}
	devices(func(name string, dev *tensor.Device) {
		got, err := Duplicates(context.Background(), dev, rows, sums, threshold, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %d groups, want %d", name, len(got), len(want))
		}
		for g := range got {
			var members []int
			for _, m := range got[g].Rows {
				members = append(members, m.Row)
				if copyOf := map[bool]int{true: 2, false: -1}[m.Row == 1200 || m.Row == 1250]; m.CopyOf != copyOf {
					t.Errorf("%s: row %d is a copy of %d, want %d", name, m.Row, m.CopyOf, copyOf)
				}
				if s := cosine(rows.Row(want[g][0]), rows.Row(m.Row)); m.Similarity != s {
					t.Errorf("%s: row %d: similarity %v, want %v", name, m.Row, m.Similarity, s)
				}
			}
			if !slices.Equal(members, want[g]) {
				t.Errorf("%s: group %v, want %v", name, members, want[g])
			}
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Duplicates(ctx, tensor.CPU(), rows, nil, 0.9, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOutliers(t *testing.T) {
	rows := crowded(700, 12, 6)
	for i := range 20 { // more copies than neighbours are asked for
		copy(rows.Row(600+i), rows.Row(599))
	}
	const k = 5
	mean, nearest := make([]float64, rows.Len()), make([]int, rows.Len())
	for i := range mean {
		others := slices.DeleteFunc(bruteForce(rows, rows.Row(i), rows.Len()), func(m Match) bool { return m.Row == i })
		nearest[i] = others[0].Row
		for _, m := range others[:k] {
			mean[i] += m.Similarity / k
		}
	}
	got, err := Outliers(context.Background(), tensor.CPU(), rows, k, nil)
	if err != nil || len(got) != rows.Len() {
		t.Fatal(len(got), err)
	}
	for at, o := range got {
		if !(math.Abs(o.Similarity-mean[o.Row]) < 1e-12) || o.Nearest != nearest[o.Row] {
			t.Errorf("row %d: %v, nearest %d; want %v, %d", o.Row, o.Similarity, o.Nearest, mean[o.Row], nearest[o.Row])
		}
		if at > 0 && (got[at-1].Similarity > o.Similarity || got[at-1].Similarity == o.Similarity && got[at-1].Row > o.Row) {
			t.Errorf("%v before %v", got[at-1], o)
		}
	}
}

// TestDuplicatesAtTheThreshold sets it to the cosine of a pair, which float32 may put on either side.
func TestDuplicatesAtTheThreshold(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	rows := Rows{make([]float32, 40*24), 24}
	for i := range rows.Data {
		rows.Data[i] = float32(rng.NormFloat64())
	}
	if err := rows.Normalize(); err != nil {
		t.Fatal(err)
	}
	var cosines []float64
	for i := range rows.Len() {
		for j := range i {
			cosines = append(cosines, cosine(rows.Row(j), rows.Row(i)))
		}
	}
	slices.Sort(cosines)
	slices.Reverse(cosines)
	for _, threshold := range cosines[:20] {
		sets := newUnionFind(rows.Len())
		for i := range rows.Len() {
			for j := range i {
				if cosine(rows.Row(j), rows.Row(i)) >= threshold {
					sets.union(i, j)
				}
			}
		}
		want := sets.groups()
		slices.SortStableFunc(want, func(a, b []int) int { return len(b) - len(a) })
		devices(func(name string, dev *tensor.Device) {
			got, err := Duplicates(context.Background(), dev, rows, nil, threshold, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got, want, func(g Group, w []int) bool {
				return slices.EqualFunc(g.Rows, w, func(m GroupRow, row int) bool { return m.Row == row })
			}) {
				t.Errorf("%s, from %v on: %v, want %v", name, threshold, got, want)
			}
		})
	}
}
