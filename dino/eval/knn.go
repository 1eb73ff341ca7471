package eval

import (
	"fmt"
	"math"
	"slices"

	"github.com/godino-ml/godino/tensor"
)

// minTemperature keeps exp(1/T), summed over every neighbour, inside float64.
const minTemperature = 0.0015

// KNNResult is how well the k nearest training images name the classes of the test images.
type KNNResult struct {
	K          int     // neighbours used
	Note       string  // why K is not what was asked for; empty otherwise
	Top1, Top5 float64 // per cent of test images
	Ranks      int     // how many classes Top5 looks at: min(5, C)
	Predicted  []int   // (N test): the class with the most votes
	Votes      []float64
	classes    int
}

// VotesOf are the votes for each class in test image i.
func (r *KNNResult) VotesOf(i int) []float64 { return r.Votes[i*r.classes : (i+1)*r.classes] }

// KNN is the weighted nearest-neighbour protocol of the DINO paper (after Wu et al., arXiv:1805.01978): features are L2-normalised; each
// of the k training images nearest to a test image votes for its class with weight exp(cosine/T); classes are ranked by votes, equal ones
// by number. There is one result for each entry of ks, in its order; all of them share one search.
func KNN(dev *tensor.Device, train, test Features, classes int, ks []int, temperature float64) ([]KNNResult, error) {
	if classes < 1 {
		return nil, fmt.Errorf("%d classes: at least 1 is needed", classes)
	}
	if !(temperature >= minTemperature) || math.IsInf(temperature, 0) {
		return nil, fmt.Errorf("temperature %v: at least %v is needed", temperature, minTemperature)
	}
	if len(ks) == 0 || slices.Min(ks) < 1 {
		return nil, fmt.Errorf("neighbours %v: a list of numbers from 1 on is needed", ks)
	}
	if err := train.checkLabels("training", classes); err != nil {
		return nil, err
	}
	if err := test.checkLabels("test", classes); err != nil {
		return nil, err
	}
	found, err := Nearest(dev, test, train, slices.Max(ks))
	if err != nil {
		return nil, err
	}
	results := make([]KNNResult, len(ks))
	for i, k := range ks {
		r := &results[i]
		r.K, r.Ranks, r.classes = min(k, train.Len()), min(5, classes), classes
		if r.K < k {
			r.Note = fmt.Sprintf("k = %d of %d asked for: there are only %d training images", r.K, k, train.Len())
		}
		r.vote(found, train.Labels, test.Labels, temperature)
	}
	return results, nil
}

func (r *KNNResult) vote(found *Neighbors, train, test []int, temperature float64) {
	r.Votes = make([]float64, len(test)*r.classes)
	r.Predicted = make([]int, len(test))
	top1, top5 := 0, 0
	for i, label := range test {
		votes := r.VotesOf(i)
		for j := i * found.K; j < i*found.K+r.K; j++ {
			votes[train[found.Index[j]]] += math.Exp(float64(found.Similarity[j]) / temperature)
		}
		// The rank of the true class is how many classes come before it.
		best, rank := 0, 0
		for c, v := range votes {
			if v > votes[best] {
				best = c
			}
			if v > votes[label] || v == votes[label] && c < label {
				rank++
			}
		}
		r.Predicted[i] = best
		if rank == 0 {
			top1++
		}
		if rank < r.Ranks {
			top5++
		}
	}
	r.Top1 = 100 * float64(top1) / float64(len(test))
	r.Top5 = 100 * float64(top5) / float64(len(test))
}
