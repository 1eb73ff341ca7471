package report

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/tensorboard"
)

// TensorBoardName is the folder of event files in a run's directory.
const TensorBoardName = "tensorboard"

// WriteTensorBoard writes what the log of the run in dir says as an event file for TensorBoard, and returns its path. One that was written
// before gives way to it. The log has no times of day: they are reckoned back from when it was last written to.
func WriteTensorBoard(dir string) (string, error) {
	w, err := openTensorBoard(dir)
	if err != nil {
		return "", err
	}
	return w.Path(), w.Close()
}

// openTensorBoard writes the log so far, and leaves the file open for what comes.
func openTensorBoard(dir string) (w *tensorboard.Writer, err error) {
	path := filepath.Join(dir, dino.LogName)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var took float64 // seconds
	if err := eachEvent(f, func(e event) error { took += e.seconds(); return nil }); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if w, err = tensorboard.Create(filepath.Join(dir, TensorBoardName), time.Now()); err != nil {
		return nil, err
	}
	at := info.ModTime().Add(-seconds(took))
	err = eachEvent(f, func(e event) error {
		at = at.Add(seconds(e.seconds()))
		return e.scalars(w, at)
	})
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// eachEvent calls f with the events of a log.
func eachEvent(r io.Reader, f func(event) error) error {
	return eachLine(r, func(line []byte) error {
		e, err := parse(line)
		if err != nil {
			return err
		}
		return f(e)
	})
}

func (e event) seconds() float64 {
	switch {
	case e.step != nil:
		return e.step.Seconds
	case e.epoch != nil:
		return e.epoch.Seconds
	}
	return 0
}

// scalars writes what TensorBoard has charts for, at the number of steps done.
func (e event) scalars(w *tensorboard.Writer, at time.Time) error {
	type scalar = tensorboard.Scalar
	switch {
	case e.step != nil && e.step.Skipped == "":
		s := e.step
		return w.Scalars(at, int64(s.Step+1),
			scalar{Tag: "loss/loss", Value: s.Loss}, scalar{Tag: "loss/ln_k", Value: s.LnK}, scalar{Tag: "loss/teacher_entropy", Value: s.Entropy},
			scalar{Tag: "loss/kl", Value: s.KL}, scalar{Tag: "teacher/center_norm", Value: s.CenterNorm},
			scalar{Tag: "teacher/prototypes", Value: float64(s.Prototypes)}, scalar{Tag: "teacher/momentum", Value: s.Momentum},
			scalar{Tag: "teacher/temperature", Value: s.TeacherTemp}, scalar{Tag: "optimizer/lr", Value: s.LR},
			scalar{Tag: "optimizer/weight_decay", Value: s.WeightDecay}, scalar{Tag: "optimizer/grad_norm", Value: s.GradNorm},
			scalar{Tag: "speed/images_per_s", Value: s.ImagesPerSecond}, scalar{Tag: "speed/wait", Value: s.Wait})
	case e.epoch != nil && e.epoch.KNN != nil:
		k := e.epoch.KNN
		list := []scalar{{Tag: "knn/top1", Value: k.Top1}, {Tag: "knn/top5", Value: k.Top5}, {Tag: "knn/effective_rank", Value: k.EffectiveRank}}
		if k.Untrained != nil {
			list = append(list, scalar{Tag: "knn/untrained", Value: *k.Untrained})
		}
		if k.Pixels != nil {
			list = append(list, scalar{Tag: "knn/pixels", Value: *k.Pixels})
		}
		return w.Scalars(at, int64(e.epoch.Step), list...)
	}
	return nil
}
