package dino

import "time"

// FinetuneStep is what one step did: a line of log.jsonl. Figures belong to the batch before its update.
type FinetuneStep struct {
	Epoch         int `json:"epoch"` // from 0
	Epochs        int `json:"-"`
	Step          int `json:"step"` // from 0 over the whole run
	StepInEpoch   int `json:"-"`
	StepsPerEpoch int `json:"-"`
	Images        int `json:"images"`

	Loss     float64 `json:"loss"`    // nats, with label smoothing
	Correct  int     `json:"correct"` // crops whose class comes first
	LR       float64 `json:"lr"`      // of the last layer
	GradNorm float64 `json:"grad_norm"`
	Skipped  string  `json:"skipped,omitempty"` // the first tensor that was not finite, if nothing was updated

	Seconds         float64       `json:"seconds"`
	ImagesPerSecond float64       `json:"images_per_s"`
	Wait            float64       `json:"wait"`
	Memory          int64         `json:"memory"`
	ETA             time.Duration `json:"-"`
}

// FinetuneEpoch sums up an epoch.
type FinetuneEpoch struct {
	Epoch     int            `json:"epoch"`
	Epochs    int            `json:"epochs"`
	Step      int            `json:"step"`       // steps done
	Loss      float64        `json:"loss"`       // mean over the epoch's images
	TrainTop1 float64        `json:"train_top1"` // per cent of the crops that were trained on
	Skipped   int            `json:"skipped"`
	BadFiles  int            `json:"bad_files"`
	Seconds   float64        `json:"seconds"` // of the evaluation
	Score     *FinetuneScore `json:"score,omitempty"`
	Best      *FinetuneScore `json:"best,omitempty"` // so far
}

// FinetuneScore is the network's score on the images that it was not trained on.
type FinetuneScore struct {
	Epoch int     `json:"epoch"` // from 0
	Top1  float64 `json:"top1"`  // per cent
	Top5  float64 `json:"top5"`
	Loss  float64 `json:"loss"` // nats, without label smoothing
	Test  int     `json:"test"` // images
}

// FinetuneEvents are the callbacks of [FinetuneRun.Run], called one at a time on its goroutine; nil ones are not called.
type FinetuneEvents struct {
	Start   func(Start)
	Step    func(FinetuneStep)
	Epoch   func(FinetuneEpoch)
	Save    func(SaveStats)
	Warning func(Warning)
}
