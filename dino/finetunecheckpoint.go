package dino

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
)

// finetuneFormat is raised when older programs could not go on from a file.
const finetuneFormat = 1

// FinetuneCheckpoint is what a checkpoint of fine-tuning says beside its tensors, which are model.backbone.*, model.head.* and
// optimizer.PARAMETER.STATE.
type FinetuneCheckpoint struct {
	Format         int              `json:"format"`
	Config         FinetuneConfig   `json:"config"`
	Step           int              `json:"step"` // steps done
	Classes        []string         `json:"classes"`
	Data           DataID           `json:"data"`
	OptimizerSteps map[string]int64 `json:"optimizer_steps"`
	Progress       finetuneProgress `json:"progress"`
}

// ReadFinetuneCheckpoint reads what a checkpoint says beside its tensors.
func ReadFinetuneCheckpoint(path string) (*FinetuneCheckpoint, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFinetuneHead(f)
}

func readFinetuneHead(f *weights.File) (*FinetuneCheckpoint, error) {
	text, ok := f.Metadata["finetune"]
	if !ok {
		return nil, fmt.Errorf("%s holds no state of dino finetune to go on from: start a new run from it with --pretrained_weights", f.Path)
	}
	c := &FinetuneCheckpoint{}
	if err := json.Unmarshal([]byte(text), c); err != nil {
		return nil, fmt.Errorf("%s: its state does not read: %w", f.Path, err)
	}
	if c.Format != finetuneFormat {
		return nil, fmt.Errorf("%s is of format %d, this program goes on from format %d", f.Path, c.Format, finetuneFormat)
	}
	if err := c.Config.Validate(); err != nil {
		return nil, fmt.Errorf("%s: its configuration: %w", f.Path, err)
	}
	if c.Step < 0 || c.Data.Images < 1 {
		return nil, fmt.Errorf("%s: step %d of %d images makes no sense", f.Path, c.Step, c.Data.Images)
	}
	return c, nil
}

// tensors are all that a checkpoint keeps, by name; the memory is the run's own.
func (f *Finetuner) tensors() []nn.NamedTensor {
	var list []nn.NamedTensor
	for _, p := range f.params {
		list = append(list, nn.NamedTensor{Name: "model." + p.Name, Value: p.Value})
	}
	for _, l := range f.layers {
		for _, s := range l.optimizer.State() {
			for _, m := range s.Tensors {
				list = append(list, nn.NamedTensor{Name: "optimizer." + s.Name + "." + m.Name, Value: m.Value})
			}
		}
	}
	return list
}

// load reads all tensors; on an error the Finetuner is of no use.
func (f *Finetuner) load(file *weights.File, head *FinetuneCheckpoint) error {
	tensors := f.tensors()
	want := make([]weights.Entry, len(tensors))
	for i, n := range tensors {
		want[i] = weights.Entry{Name: n.Name, Dtype: weights.F32, Shape: n.Value.Shape()}
	}
	if err := weights.Match(want, file.Entries()).Err(); err != nil {
		return err
	}
	for _, n := range tensors {
		a, err := file.Array(n.Name)
		if err != nil {
			return err
		}
		copy(n.Value.Data(), a.Data)
	}
	for _, l := range f.layers {
		states := slices.Clone(l.optimizer.State())
		for i := range states {
			steps, ok := head.OptimizerSteps[states[i].Name]
			if !ok {
				return fmt.Errorf("no step count of %s", states[i].Name)
			}
			states[i].Steps = steps
		}
		if err := l.optimizer.LoadState(states); err != nil {
			return err
		}
	}
	f.step = head.Step
	return nil
}
