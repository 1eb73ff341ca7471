package dino

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// Files of a run's directory.
const (
	CheckpointName         = "checkpoint.safetensors"          // the latest
	PreviousCheckpointName = "checkpoint.previous.safetensors" // the one before
	keptCheckpointPattern  = "checkpoint[0-9][0-9][0-9][0-9]*.safetensors"
)

func keptCheckpointName(epoch int) string { return fmt.Sprintf("checkpoint%04d.safetensors", epoch) }

// checkpointFormat is raised when older programs could not go on from a file.
const checkpointFormat = 1

// Checkpoint is what a checkpoint says beside its tensors: where the run is, and of what. A file is safetensors with a checksum a tensor;
// its tensors are student.backbone.*, student.head.*, teacher.backbone.*, teacher.head.*, dino_loss.center and optimizer.PARAMETER.STATE.
// Together they are all that the rest of the run depends on: random numbers are keyed by seed, step and sample, so there is no generator to
// save. In the file's metadata, "args" holds Config and "epoch" and "step" the position.
type Checkpoint struct {
	Format         int              `json:"format"`
	Config         Config           `json:"-"`
	Step           int              `json:"step"`  // steps done
	Epoch          int              `json:"epoch"` // epochs done
	StepsPerEpoch  int              `json:"steps_per_epoch"`
	Data           DataID           `json:"data"`
	OptimizerSteps map[string]int64 `json:"optimizer_steps"` // by parameter
	Progress       progress         `json:"progress"`
}

// DataID tells one set of training images from another.
type DataID struct {
	Fingerprint string `json:"fingerprint"` // of all paths and sizes, not of where they lie
	Images      int    `json:"images"`
	Root        string `json:"root"` // for people
}

// CheckpointError is a checkpoint that cannot be gone on from.
type CheckpointError struct {
	Path     string
	Err      error
	Previous string // a whole checkpoint of the same directory to go on from instead; empty if there is none
}

func (e *CheckpointError) Error() string {
	msg := e.Err.Error()
	if !strings.Contains(msg, e.Path) {
		msg = e.Path + ": " + msg
	}
	if e.Previous != "" {
		msg += fmt.Sprintf("\n%s is whole: go on from it with --resume %s", filepath.Base(e.Previous), e.Previous)
	}
	return msg
}

func (e *CheckpointError) Unwrap() error { return e.Err }

// tensors are all that a checkpoint keeps, by name; the memory is the trainer's own.
func (t *Trainer) tensors() []nn.NamedTensor {
	var list []nn.NamedTensor
	for _, n := range []struct {
		name string
		*Network
	}{{"student.", t.Student}, {"teacher.", t.Teacher}} {
		for _, p := range n.Params() {
			list = append(list, nn.NamedTensor{Name: n.name + p.Name, Value: p.Value})
		}
		for _, b := range n.Head.Buffers() {
			list = append(list, nn.NamedTensor{Name: n.name + "head." + b.Name, Value: b.Value})
		}
	}
	list = append(list, nn.NamedTensor{Name: "dino_loss.center", Value: t.Loss.Center})
	for _, s := range t.Optimizer.State() {
		for _, m := range s.Tensors {
			list = append(list, nn.NamedTensor{Name: "optimizer." + s.Name + "." + m.Name, Value: m.Value})
		}
	}
	return list
}

// Save writes a checkpoint atomically: whatever happens, path holds the old file or the new one, whole. It refuses to write numbers that
// are not finite, so that nothing bad reaches the disk.
func (t *Trainer) Save(path string, data DataID) (SaveStats, error) {
	return t.save(path, data, progress{})
}

func (t *Trainer) save(path string, data DataID, p progress) (SaveStats, error) {
	if err := t.deviceError(); err != nil {
		return SaveStats{}, fmt.Errorf("not saving %s: %w", path, err)
	}
	start := time.Now()
	c := &weights.Contents{}
	for _, n := range t.tensors() {
		if !allFinite(n.Value) {
			return SaveStats{}, fmt.Errorf("not saving %s: %s is not finite (NaN or infinity)", path, n.Name)
		}
		c.Arrays = append(c.Arrays, weights.Array{Name: n.Name, Shape: n.Value.Shape(), Data: n.Value.Floats()})
	}
	if err := t.deviceError(); err != nil { // what was read may be nothing
		return SaveStats{}, fmt.Errorf("not saving %s: %w", path, err)
	}
	head := Checkpoint{Format: checkpointFormat, Step: t.step, Epoch: t.Epoch(), StepsPerEpoch: t.stepsPerEpoch, Data: data,
		OptimizerSteps: map[string]int64{}, Progress: p}
	for _, s := range t.Optimizer.State() {
		head.OptimizerSteps[s.Name] = s.Steps
	}
	state, err := json.Marshal(head)
	if err != nil {
		return SaveStats{}, err
	}
	args, err := json.Marshal(t.config)
	if err != nil {
		return SaveStats{}, err
	}
	c.Metadata = map[string]string{"args": string(args), "epoch": strconv.Itoa(head.Epoch), "step": strconv.Itoa(t.step), "godino": string(state)}
	if err := weights.Save(path, c); err != nil {
		return SaveStats{}, err
	}
	s := SaveStats{Path: path, Step: t.step, Seconds: time.Since(start).Seconds()}
	if info, err := os.Stat(path); err == nil {
		s.Bytes = info.Size()
	}
	return s, nil
}

// ReadCheckpoint reads what a checkpoint says beside its tensors.
func ReadCheckpoint(path string) (*Checkpoint, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readHead(f)
}

func readHead(f *weights.File) (*Checkpoint, error) {
	state, ok := f.Metadata["godino"]
	if !ok {
		return nil, fmt.Errorf("%s holds weights, not the state of a run: start a new run from it with --init", f.Path)
	}
	c := &Checkpoint{}
	if err := json.Unmarshal([]byte(state), c); err != nil {
		return nil, fmt.Errorf("%s: its state does not read: %w", f.Path, err)
	}
	if c.Format != checkpointFormat {
		return nil, fmt.Errorf("%s is of format %d, this program goes on from format %d", f.Path, c.Format, checkpointFormat)
	}
	var err error
	if c.Config, err = savedConfig(f.Metadata["args"]); err != nil {
		return nil, fmt.Errorf("%s: its configuration does not read: %w", f.Path, err)
	}
	return c, nil
}

// savedConfig reads a checkpoint's configuration. One from before there was a choice of precision does not name it.
func savedConfig(text string) (Config, error) {
	c := Config{Precision: tensor.Float32.String()}
	err := json.Unmarshal([]byte(text), &c)
	return c, err
}

// LoadTrainer is the trainer that wrote the checkpoint at path, as it was.
func LoadTrainer(dev *tensor.Device, path string) (*Trainer, *Checkpoint, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	head, err := readHead(f)
	if err != nil {
		return nil, nil, err
	}
	if head.Data.Images < 0 || head.Step < 0 || head.StepsPerEpoch != head.Config.StepsPerEpoch(head.Data.Images) {
		return nil, nil, fmt.Errorf("%s: %d images and %d steps an epoch do not fit its configuration", path, head.Data.Images, head.StepsPerEpoch)
	}
	t, err := NewTrainer(dev, head.Config, head.Data.Images)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: its configuration: %w", path, err)
	}
	if err := t.load(f, head); err != nil {
		return nil, nil, err
	}
	return t, head, nil
}

// load reads all tensors; on an error the trainer is of no use.
func (t *Trainer) load(f *weights.File, head *Checkpoint) error {
	tensors := t.tensors()
	want := make([]weights.Entry, len(tensors))
	for i, n := range tensors {
		want[i] = weights.Entry{Name: n.Name, Dtype: weights.F32, Shape: n.Value.Shape()}
	}
	if err := weights.Match(want, f.Entries()).Err(); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	for _, n := range tensors {
		a, err := f.Array(n.Name)
		if err != nil {
			return err
		}
		n.Value.SetFloats(a.Data)
	}
	states := slices.Clone(t.Optimizer.State())
	for i := range states {
		steps, ok := head.OptimizerSteps[states[i].Name]
		if !ok {
			return fmt.Errorf("%s: no step count of %s", f.Path, states[i].Name)
		}
		states[i].Steps = steps
	}
	if err := t.Optimizer.LoadState(states); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	t.step = head.Step
	return nil
}

// Init starts a run from a file of weights: the reference's .pth, a checkpoint of ours, or bare safetensors. key says what of a file that
// holds several: "teacher" or "student" make both networks equal to it; "all" takes student, teacher and centre as they are, to go on
// without the optimizer's state. Backbones must match whole; a head that is missing or does not fit starts anew, except with "all". It says
// what it took.
func (t *Trainer) Init(path, key string) (string, error) {
	if t.step > 0 {
		return "", errors.New("dino: Init of a run that has begun")
	}
	f, err := weights.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if key == "all" {
		return t.initAll(f)
	}
	backbone, err := f.StateDict(key)
	if err != nil {
		return "", err
	}
	if err := match(t.Student.Backbone.Params(), backbone); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	head, err := f.HeadStateDict(key)
	if err != nil {
		return "", err
	}
	took := fmt.Sprintf("backbone of %s", path)
	fill(t.Student.Backbone.Params(), backbone)
	switch err := match(t.Student.Head.whole(), head); {
	case err == nil:
		fill(t.Student.Head.whole(), head)
		fill(t.Teacher.Head.whole(), head)
		took = "backbone and head of " + path
	case len(head) > 0:
		took += "; its head does not fit and starts anew"
	}
	t.Teacher.follow(t.Student)
	return took, nil
}

func (t *Trainer) initAll(f *weights.File) (string, error) {
	for _, n := range []struct {
		key string
		*Network
	}{{"student", t.Student}, {"teacher", t.Teacher}} {
		for _, part := range []struct {
			params []nn.Param
			read   func(key string) ([]weights.Array, error)
		}{{n.Backbone.Params(), f.StateDict}, {n.Head.whole(), f.HeadStateDict}} {
			have, err := part.read(n.key)
			if err != nil {
				return "", err
			}
			if err := match(part.params, have); err != nil {
				return "", fmt.Errorf("%s, %s: %w", f.Path, n.key, err)
			}
			fill(part.params, have)
		}
	}
	center, err := f.Array("dino_loss.center")
	if err != nil {
		return "", err
	}
	if len(center.Data) != t.Loss.Center.Len() {
		return "", fmt.Errorf("%s: a centre of %d outputs, want %d", f.Path, len(center.Data), t.Loss.Center.Len())
	}
	t.Loss.Center.SetFloats(center.Data)
	return "student, teacher and centre of " + f.Path, nil
}

func match(params []nn.Param, have []weights.Array) error {
	want := make([]weights.Entry, len(params))
	for i, p := range params {
		want[i] = weights.Entry{Name: p.Name, Dtype: weights.F32, Shape: p.Value.Shape()}
	}
	return weights.Match(want, weights.Entries(have)).Err()
}

// fill copies arrays that match params.
func fill(params []nn.Param, have []weights.Array) {
	byName := map[string][]float32{}
	for _, a := range have {
		byName[a.Name] = a.Data
	}
	for _, p := range params {
		p.Value.SetFloats(byName[p.Name])
	}
}

// otherCheckpoint finds the newest whole checkpoint beside a damaged one; "" if there is none. It reads every byte of the candidates.
func otherCheckpoint(damaged string) string {
	dir := filepath.Dir(damaged)
	candidates, _ := filepath.Glob(filepath.Join(dir, keptCheckpointPattern)) // the pattern is well-formed
	candidates = append(candidates, filepath.Join(dir, CheckpointName), filepath.Join(dir, PreviousCheckpointName))
	best, bestStep := "", -1
	for _, path := range candidates {
		if filepath.Clean(path) == filepath.Clean(damaged) {
			continue
		}
		if step, err := verifyCheckpoint(path); err == nil && step > bestStep {
			best, bestStep = path, step
		}
	}
	return best
}

func verifyCheckpoint(path string) (step int, err error) {
	f, err := weights.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head, err := VerifyCheckpoint(f)
	if err != nil {
		return 0, err
	}
	return head.Step, nil
}

// VerifyCheckpoint reads every byte of a checkpoint and what it says beside its tensors: nil if a run can go on from it.
func VerifyCheckpoint(f *weights.File) (*Checkpoint, error) {
	head, err := readHead(f)
	if err != nil {
		return nil, err
	}
	if err := head.Config.Validate(); err != nil {
		return nil, fmt.Errorf("%s: its configuration: %w", f.Path, err)
	}
	return head, f.Verify()
}
