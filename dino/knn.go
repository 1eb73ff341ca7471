package dino

import (
	"context"
	"fmt"
	"time"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
)

// The k-NN protocol of the reference; k = 20 is its best one.
const (
	knnNeighbours  = 20
	knnTemperature = 0.07
	pixelSize      = 32 // raw pixels are compared at 32×32
)

// knnEvaluation judges the teacher's features during training: images of train vote on the class of those of test. Labels play no part in
// training itself.
type knnEvaluation struct {
	train, test *dataset.Dataset
	classes     int
}

// prepareKNN decides who votes and who is judged. Data without classes are no error: there is no k-NN then.
func (r *Run) prepareKNN() error {
	if r.o.Config.KNNFreq == 0 || r.o.Val == nil {
		return nil
	}
	classes := r.o.Train.Classes()
	if len(classes) < 2 {
		r.warn("knn", fmt.Sprintf("no k-NN: it needs images in two class folders or more, and %s has %d", r.o.Train.Root(), len(classes)))
		return nil
	}
	test, err := r.o.Val.WithClasses(classes)
	if err != nil {
		return fmt.Errorf("validation images: %w", err)
	}
	k := &knnEvaluation{classes: len(classes)}
	k.train = labelled(r.o.Train).Sample(r.o.KNNTrain, r.o.Config.Seed)
	k.test = labelled(test).Sample(r.o.KNNTest, r.o.Config.Seed)
	if k.train.Len() == 0 || k.test.Len() == 0 {
		r.warn("knn", fmt.Sprintf("no k-NN: %d training and %d validation images have a class", k.train.Len(), k.test.Len()))
		return nil
	}
	r.knn = k
	return nil
}

// labelled are the images that have a class.
func labelled(ds *dataset.Dataset) *dataset.Dataset {
	var keep []int
	for i := range ds.Len() {
		if ds.Label(i) >= 0 {
			keep = append(keep, i)
		}
	}
	return ds.Subset(keep)
}

// evaluate is k-NN with the teacher's features; the first time also with raw pixels.
func (k *knnEvaluation) evaluate(ctx context.Context, r *Run) (*KNNStats, error) {
	begin := time.Now()
	p := &r.progress
	o := FeatureOptions{EvalOptions: EvalOptions{Workers: r.o.Workers, Batch: min(max(r.o.Config.BatchSize, 16), 256), MaxBad: r.o.Config.MaxBad}}
	if p.Pixels == nil {
		pixels, _, err := k.score(r, func(ds *dataset.Dataset) (*FeatureSet, error) {
			return PixelFeatures(ctx, ds, pixelSize, o.EvalOptions)
		})
		if err != nil {
			return nil, err
		}
		p.Pixels = &pixels.Top1
	}
	s, judgement, err := k.score(r, func(ds *dataset.Dataset) (*FeatureSet, error) {
		return Features(ctx, r.Trainer.dev, r.Trainer.Teacher.Backbone, ds, r.o.Config.EvalTransform(), o)
	})
	if err != nil {
		return nil, err
	}
	if r.Trainer.step == 0 && r.o.Init == "" {
		p.Untrained = &s.Top1
	}
	s.Untrained, s.Pixels = p.Untrained, p.Pixels
	s.Seconds = time.Since(begin).Seconds()
	if r.events.KNN != nil {
		r.events.KNN(judgement)
	}
	return s, nil
}

func (k *knnEvaluation) score(r *Run, features func(*dataset.Dataset) (*FeatureSet, error)) (*KNNStats, *KNNJudgement, error) {
	train, err := features(k.train)
	if err != nil {
		return nil, nil, err
	}
	test, err := features(k.test)
	if err != nil {
		return nil, nil, err
	}
	results, err := eval.KNN(r.o.Device, train.Features, test.Features, k.classes, []int{knnNeighbours}, knnTemperature)
	if err != nil {
		return nil, nil, err
	}
	spread, err := eval.MeasureSpread(test.Features)
	if err != nil {
		return nil, nil, err
	}
	return &KNNStats{K: results[0].K, Top1: results[0].Top1, Top5: results[0].Top5, Train: train.Len(), Test: test.Len(),
			EffectiveRank: spread.EffectiveRank},
		&KNNJudgement{Step: r.Trainer.step, Train: k.train, Test: k.test, TrainFeatures: train, TestFeatures: test, Result: &results[0]}, nil
}
