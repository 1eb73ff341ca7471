package eval

import (
	"fmt"
	"math"
	"slices"

	"github.com/godino-ml/godino/tensor"
)

// RetrievalScores is how well a search ranks the images that show what a query shows.
type RetrievalScores struct {
	MAP       float64   // mean average precision over the queries that have positives, 0 to 1
	Ks        []int     // MeanP[j] is the mean precision of the first Ks[j]
	MeanP     []float64 // 0 to 1
	AP        []float64 // by query; NaN for one without positives, which no mean counts
	Evaluated int       // queries that the means are over
}

// Retrieval is the protocol of the revisited Oxford and Paris sets (Radenović et al., arXiv:1803.11285). The images are ranked by their
// cosine to each query; those that are junk for it are taken out of the ranking, neither right nor wrong.
//
//	Medium: positives are easy and hard, junk is junk
//	Hard:   positives are hard, junk is junk and easy
//
// index says which image of the ground truth each row of bank is; images without a row rank behind all others. Row i of queries is query i.
func Retrieval(dev *tensor.Device, truth *GroundTruth, queries, bank Features, index []int, ks []int) (medium, hard *RetrievalScores, err error) {
	if queries.Len() != len(truth.Queries) {
		return nil, nil, fmt.Errorf("%d query features for %d queries", queries.Len(), len(truth.Queries))
	}
	if len(index) != bank.Len() {
		return nil, nil, fmt.Errorf("%d image numbers for %d features", len(index), bank.Len())
	}
	if len(ks) == 0 || slices.Min(ks) < 1 {
		return nil, nil, fmt.Errorf("precision at %v: a list of numbers from 1 on is needed", ks)
	}
	found, err := Nearest(dev, queries, bank, bank.Len())
	if err != nil {
		return nil, nil, err
	}
	medium, hard = &RetrievalScores{Ks: ks}, &RetrievalScores{Ks: ks}
	ranking := make([]int, bank.Len())
	for i, q := range truth.Queries {
		for r, row := range found.Index[i*found.K : (i+1)*found.K] {
			ranking[r] = index[row]
		}
		medium.add(ranking, slices.Concat(q.Easy, q.Hard), q.Junk)
		hard.add(ranking, q.Hard, slices.Concat(q.Junk, q.Easy))
	}
	medium.finish()
	hard.finish()
	return medium, hard, nil
}

// add judges one query's ranking.
func (s *RetrievalScores) add(ranking, positives, junk []int) {
	if s.MeanP == nil {
		s.MeanP = make([]float64, len(s.Ks))
	}
	ranks, n := positiveRanks(ranking, positives, junk)
	if n == 0 {
		s.AP = append(s.AP, math.NaN())
		return
	}
	s.Evaluated++
	s.AP = append(s.AP, AveragePrecision(ranks, n))
	for j, k := range s.Ks {
		s.MeanP[j] += precisionAt(ranks, k)
	}
}

func (s *RetrievalScores) finish() {
	for _, ap := range s.AP {
		if ap == ap {
			s.MAP += ap
		}
	}
	if s.Evaluated == 0 {
		return
	}
	s.MAP /= float64(s.Evaluated)
	for j := range s.MeanP {
		s.MeanP[j] /= float64(s.Evaluated)
	}
}

// positiveRanks are the ranks, from 0, that the positives have when junk is taken out, and how many positives there are.
func positiveRanks(ranking, positives, junk []int) (ranks []int, n int) {
	is := make(map[int]bool, len(positives)+len(junk)) // true for a positive, false for junk
	for _, i := range junk {
		is[i] = false
	}
	for _, i := range positives {
		if !is[i] {
			n++
		}
		is[i] = true
	}
	rank := 0
	for _, i := range ranking {
		positive, named := is[i]
		if positive {
			ranks = append(ranks, rank)
		}
		if positive || !named {
			rank++
		}
	}
	return ranks, n
}

// AveragePrecision is the area under the precision-recall curve by trapezoids, for n positives of which those found have these ranks, from 0
// and rising:
//
//	AP = 1/n · Σ_j (j/r_j + (j+1)/(r_j+1)) / 2, the first term 1 where r_j = 0
func AveragePrecision(ranks []int, n int) float64 {
	var ap float64
	for j, r := range ranks {
		before := 1.0
		if r > 0 {
			before = float64(j) / float64(r)
		}
		ap += (before + float64(j+1)/float64(r+1)) / 2
	}
	return ap / float64(n)
}

// precisionAt is the share of positives among the first k, or, where all positives come earlier, up to the last of them.
func precisionAt(ranks []int, k int) float64 {
	if len(ranks) == 0 {
		return 0
	}
	k = min(k, ranks[len(ranks)-1]+1)
	hits := 0
	for _, r := range ranks {
		if r < k {
			hits++
		}
	}
	return float64(hits) / float64(k)
}
