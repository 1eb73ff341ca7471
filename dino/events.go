package dino

import (
	"time"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
)

// StepStats is what one training step did: a line of log.jsonl. Figures of the loss belong to the batch before its update.
type StepStats struct {
	Epoch         int `json:"epoch"`  // from 0
	Step          int `json:"step"`   // from 0 over the whole run
	StepInEpoch   int `json:"-"`      // from 0
	StepsPerEpoch int `json:"-"`      //
	Epochs        int `json:"-"`      //
	Images        int `json:"images"` // of this step

	Loss       float64 `json:"loss"`        // nats; Entropy + KL
	LnK        float64 `json:"ln_k"`        // ln of the output dimension: the loss of a uniform teacher and student
	Entropy    float64 `json:"entropy"`     // H(t), of the teacher's output, mean over the batch: 0 is a constant, ln K a uniform output
	KL         float64 `json:"kl"`          // KL(t‖s) between teacher and student: what the student can still learn
	CenterNorm float64 `json:"center_norm"` // ‖c‖₂ after the step
	Prototypes int     `json:"prototypes"`  // outputs that are the teacher's largest for an image of the batch

	LR          float64 `json:"lr"`
	WeightDecay float64 `json:"wd"`
	Momentum    float64 `json:"momentum"`
	TeacherTemp float64 `json:"teacher_temp"`
	GradNorm    float64 `json:"grad_norm"` // of all gradients together, before clipping

	// Skipped says why nothing was updated: the first tensor that was not finite. Empty after a good step; of a skipped one, the figures
	// of loss, teacher and gradients are 0.
	Skipped string `json:"skipped,omitempty"`

	// Of the machine; filled by Run.
	Seconds         float64       `json:"seconds"`      // from batch to batch
	ImagesPerSecond float64       `json:"images_per_s"` // mean over the last steps
	Wait            float64       `json:"wait"`         // share of the time spent waiting for the loader, over the last steps
	Memory          int64         `json:"memory"`       // bytes that the process holds
	ETA             time.Duration `json:"-"`            // until the end of the run
}

// EpochStats sums up an epoch. Epoch −1 is the state before training: the untrained network.
type EpochStats struct {
	Epoch    int     `json:"epoch"`
	Epochs   int     `json:"epochs"`
	Step     int     `json:"step"` // steps done
	Loss     float64 `json:"loss"` // mean over the epoch's steps that this process ran
	Entropy  float64 `json:"entropy"`
	KL       float64 `json:"kl"`
	Skipped  int     `json:"skipped"`
	BadFiles int     `json:"bad_files"` // images found unreadable so far
	Seconds  float64 `json:"seconds"`

	KNN *KNNStats `json:"knn,omitempty"` // nil when not evaluated
}

// KNNStats is an evaluation by nearest neighbours.
type KNNStats struct {
	K             int      `json:"k"`
	Top1          float64  `json:"top1"`                // per cent, of the teacher's features
	Top5          float64  `json:"top5"`                // per cent
	Untrained     *float64 `json:"untrained,omitempty"` // top-1 of the network before training; nil if not measured
	Pixels        *float64 `json:"pixels,omitempty"`    // top-1 of raw pixels; nil if not measured
	Train         int      `json:"train"`               // images that vote
	Test          int      `json:"test"`                // images that are judged
	EffectiveRank float64  `json:"effective_rank"`      // of the test features: exp of the entropy of their covariance's spectrum
	Seconds       float64  `json:"seconds"`
}

// KNNJudgement is what an evaluation by nearest neighbours was made from: who voted, who was judged, and by what features. It is not to be
// changed; the memory of its features is free when the callback returns.
type KNNJudgement struct {
	Step        int // steps done
	Train, Test *dataset.Dataset
	// Features of the teacher. Their Index gives the number of the image in Train and in Test.
	TrainFeatures, TestFeatures *FeatureSet
	Result                      *eval.KNNResult // a row for each row of TestFeatures
}

// SaveStats is a checkpoint that reached the disk.
type SaveStats struct {
	Path    string
	Step    int // steps done
	Bytes   int64
	Seconds float64
}

// Events are the callbacks of [Run.Run], called one at a time on its goroutine; nil ones are not called. They must not keep it long.
type Events struct {
	Start   func(Start)
	Step    func(StepStats)
	Epoch   func(EpochStats)
	KNN     func(*KNNJudgement) // before Epoch, where one was made
	Save    func(SaveStats)
	Warning func(Warning)
}

// Start is told once, before the first step.
type Start struct {
	Images         int // to train on
	StepsPerEpoch  int
	Step           int // steps already done: above 0 when resumed
	Params         int // of the student, backbone and head
	BackboneParams int // of the backbone alone
}

// Warning is something that a person should know while the run goes on.
type Warning struct {
	Kind    string `json:"kind"` // "collapse", "skipped", "bad image", "knn"
	Epoch   int    `json:"epoch"`
	Step    int    `json:"step"`    // steps done
	Message string `json:"message"` // what happened and what to do
}
