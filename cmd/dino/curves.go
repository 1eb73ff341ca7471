package main

import (
	"math"
	"path/filepath"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/viz"
)

// The pictures of a run's course, in its directory.
const (
	knnCurveName  = "knn.png"
	lossCurveName = "loss.png"
)

// drawCurves draws the course of a run with K outputs into dir: k-NN beside its baselines, if it was measured, and the loss beside ln K.
func drawCurves(dir string, epochs []dino.EpochStats, outDim int) error {
	knn, loss, entropy := viz.Series{Name: "trained"}, viz.Series{Name: "loss"}, viz.Series{Name: "teacher entropy"}
	for _, e := range epochs {
		if e.KNN != nil {
			knn.X, knn.Y = append(knn.X, float64(e.Epoch+1)), append(knn.Y, e.KNN.Top1)
		}
		if e.Epoch >= 0 {
			loss.X, loss.Y = append(loss.X, float64(e.Epoch+1)), append(loss.Y, e.Loss)
			entropy.X, entropy.Y = append(entropy.X, float64(e.Epoch+1)), append(entropy.Y, e.Entropy)
		}
	}
	if len(knn.X) > 0 {
		series := []viz.Series{knn}
		pixels, untrained, _ := scores(epochs)
		if !math.IsNaN(pixels) {
			series = append(series, viz.Level("raw pixels", pixels))
		}
		if !math.IsNaN(untrained) {
			series = append(series, viz.Level("untrained", untrained))
		}
		if err := viz.Curves(filepath.Join(dir, knnCurveName), "k-NN on pictures not trained on", "epoch", "top-1 %", series...); err != nil {
			return err
		}
	}
	if len(loss.X) == 0 {
		return nil
	}
	return viz.Curves(filepath.Join(dir, lossCurveName), "Loss and the teacher's entropy", "epoch", "nats",
		loss, entropy, viz.Level("ln K", math.Log(float64(outDim))))
}

// scores are the last top-1 in per cent of raw pixels, of the untrained network and of the trained one; NaN where nothing was measured.
func scores(epochs []dino.EpochStats) (pixels, untrained, trained float64) {
	pixels, untrained, trained = math.NaN(), math.NaN(), math.NaN()
	for _, e := range epochs {
		if e.KNN == nil {
			continue
		}
		trained = e.KNN.Top1
		if e.KNN.Pixels != nil {
			pixels = *e.KNN.Pixels
		}
		if e.KNN.Untrained != nil {
			untrained = *e.KNN.Untrained
		}
	}
	return pixels, untrained, trained
}
