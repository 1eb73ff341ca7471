package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/nn/weights"
)

// featurePair are the features that knn scores. On disk they are safetensors: train.features (N, D) float32 and train.labels (N) int64, the
// same for test, and the names of the classes in the metadata.
type featurePair struct {
	Weights     string
	Classes     []string
	Train, Test eval.Features
}

func (f *featurePair) write(path string) error {
	classes, err := json.Marshal(f.Classes)
	if err != nil {
		return err
	}
	c := &weights.Contents{Metadata: map[string]string{"classes": string(classes), "weights": f.Weights}}
	for _, part := range []struct {
		name string
		eval.Features
	}{{"train", f.Train}, {"test", f.Test}} {
		labels := make([]int64, len(part.Labels))
		for i, l := range part.Labels {
			labels[i] = int64(l)
		}
		c.Arrays = append(c.Arrays, weights.Array{Name: part.name + ".features", Shape: []int{part.Len(), part.Dim}, Data: part.Data})
		c.Raws = append(c.Raws, weights.Int64s(part.name+".labels", []int{len(labels)}, labels))
	}
	return weights.Save(path, c)
}

func readFeatures(path string) (*featurePair, error) {
	file, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f := &featurePair{Weights: file.Metadata["weights"]}
	if err := json.Unmarshal([]byte(file.Metadata["classes"]), &f.Classes); err != nil || len(f.Classes) == 0 {
		return nil, fmt.Errorf("%s: no features of dino knn --dump_features: it names no classes", path)
	}
	read := func(name string, to *eval.Features) error {
		a, err := file.Array(name + ".features")
		if err != nil {
			return err
		}
		if len(a.Shape) != 2 {
			return fmt.Errorf("%s: %s.features is no table", path, name)
		}
		raw, err := file.Raw(name + ".labels")
		if err != nil {
			return err
		}
		labels, err := raw.Int64s()
		if err != nil {
			return err
		}
		*to = eval.Features{Data: a.Data, Dim: a.Shape[1]}
		for _, l := range labels {
			if l < 0 || l >= int64(len(f.Classes)) {
				return fmt.Errorf("%s: %s.labels has class %d of %d", path, name, l, len(f.Classes))
			}
			to.Labels = append(to.Labels, int(l))
		}
		return nil
	}
	return f, errors.Join(read("train", &f.Train), read("test", &f.Test))
}
