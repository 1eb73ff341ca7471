package search

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/tensor"
)

// Group are rows that are nearly the same: each is as similar as was asked for to another of the group, not always to all. The first is that of
// the least number.
type Group struct {
	Rows []GroupRow
}

// GroupRow is a row of a group.
type GroupRow struct {
	Row        int
	Similarity float64 // cosine to the first
	CopyOf     int     // the first row of the same bytes, −1 if there is none before it
}

// Duplicates puts rows that are at least as similar as threshold, and files of equal bytes (sums; nil if unknown), into groups: the largest
// first, then by their first rows. Every pair of rows is compared. progress may be nil.
func Duplicates(ctx context.Context, dev *tensor.Device, rows Rows, sums []dataset.Sum, threshold float64, progress func(done, of int)) ([]Group, error) {
	dev = dev.Host() // the index is in the program's memory
	if err := rows.check("rows"); err != nil {
		return nil, err
	}
	n, d := rows.Len(), rows.Dim
	sets := newUnionFind(n)
	copyOf := make([]int, n)
	first := map[dataset.Sum]int{}
	for i := range copyOf {
		copyOf[i] = -1
		if sums == nil {
			continue
		}
		if of, seen := first[sums[i]]; seen {
			copyOf[i] = of
			sets.union(of, i)
		} else {
			first[sums[i]] = i
		}
	}
	const tall = 512
	slack := rounding(d)
	similarity := make([]float32, min(tall, n)*min(rowBlock, n))
	var damaged damage
	var mu sync.Mutex // of sets; the groups do not depend on the order of unions
	for i0 := 0; i0 < n; i0 += tall {
		height := min(tall, n-i0)
		for j0 := i0; j0 < n; j0 += rowBlock {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			width := min(rowBlock, n-j0)
			dev.Gemm(false, true, height, width, d, 1, rows.Data[i0*d:], d, rows.Data[j0*d:], d, 0, similarity, width)
			dev.Run(height, func(r, _ int) {
				i := i0 + r
				var near []int
				for c, s := range similarity[r*width : (r+1)*width] {
					j := j0 + c
					s := float64(s)
					if s < threshold-slack || j <= i && s <= 1.01 { // the others were looked at from the other side
						continue
					}
					if !(s <= 1.01) {
						damaged.note(i)
						return
					}
					if s >= threshold+slack || cosine(rows.Row(i), rows.Row(j)) >= threshold {
						near = append(near, j)
					}
				}
				if len(near) > 0 {
					mu.Lock()
					defer mu.Unlock()
					for _, j := range near {
						sets.union(i, j)
					}
				}
			})
			if err := damaged.err(); err != nil {
				return nil, err
			}
		}
		if progress != nil {
			progress(i0+height, n)
		}
	}
	var groups []Group
	for _, members := range sets.groups() {
		var g Group
		for _, i := range members {
			g.Rows = append(g.Rows, GroupRow{i, cosine(rows.Row(members[0]), rows.Row(i)), copyOf[i]})
		}
		groups = append(groups, g)
	}
	slices.SortStableFunc(groups, func(a, b Group) int { return cmp.Compare(len(b.Rows), len(a.Rows)) })
	return groups, nil
}

// unionFind is a partition of 0, …, n−1. The root of a set is its least member.
type unionFind []int

func newUnionFind(n int) unionFind {
	u := make(unionFind, n)
	for i := range u {
		u[i] = i
	}
	return u
}

func (u unionFind) find(i int) int {
	for u[i] != i {
		u[i] = u[u[i]] // halves the path for the next one
		i = u[i]
	}
	return i
}

func (u unionFind) union(i, j int) {
	i, j = u.find(i), u.find(j)
	u[max(i, j)] = min(i, j)
}

// groups are the sets of two or more, in the order of their least members, which come first.
func (u unionFind) groups() [][]int {
	of := map[int][]int{}
	var roots []int
	for i := range u {
		root := u.find(i)
		if root != i && of[root] == nil {
			of[root] = []int{root}
			roots = append(roots, root)
		}
		if root != i {
			of[root] = append(of[root], i)
		}
	}
	slices.Sort(roots)
	list := make([][]int, len(roots))
	for g, root := range roots {
		list[g] = of[root]
	}
	return list
}

// Outlier is a row and how like the others it is.
type Outlier struct {
	Row        int
	Similarity float64 // mean cosine to its nearest
	Nearest    int     // the row nearest to it
}

// Outliers are all rows by their mean cosine to the k rows nearest to them, least first, equal ones by row. progress may be nil.
func Outliers(ctx context.Context, dev *tensor.Device, rows Rows, k int, progress func(done, of int)) ([]Outlier, error) {
	n := rows.Len()
	list := make([]Outlier, 0, n)
	for first := 0; first < n; first += queryBlock {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		last := min(first+queryBlock, n)
		found, err := Nearest(dev, rows, Rows{rows.Data[first*rows.Dim : last*rows.Dim], rows.Dim}, k+1)
		if err != nil {
			return nil, err
		}
		for r, matches := range found {
			o := Outlier{Row: first + r, Similarity: math.NaN(), Nearest: -1}
			// The row itself is among them, unless more than k others are its copies.
			others := slices.DeleteFunc(matches, func(m Match) bool { return m.Row == o.Row })
			others = others[:min(k, len(others))]
			if len(others) > 0 {
				var sum float64
				for _, m := range others {
					sum += m.Similarity
				}
				o.Similarity, o.Nearest = sum/float64(len(others)), others[0].Row
			}
			list = append(list, o)
		}
		if progress != nil {
			progress(last, n)
		}
	}
	slices.SortStableFunc(list, func(a, b Outlier) int { return cmp.Compare(a.Similarity, b.Similarity) })
	return list, nil
}
