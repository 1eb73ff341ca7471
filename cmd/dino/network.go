package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/tensor"
)

// networkFlags say which trained network a command uses.
type networkFlags struct {
	PretrainedWeights string `required:"" placeholder:"FILE" group:"Network" help:"Weights: a checkpoint of train; a .pth or safetensors of DINO, DINOv2, DeiT, timm; a folder of transformers or timm."`
	CheckpointKey     string `default:"teacher" group:"Network" placeholder:"KEY" help:"Which network of a checkpoint: ${default}, or student."`
	Arch              string `group:"Network" placeholder:"NAME" help:"Backbone; read from the file where it says so: vit_tiny, vit_small, vit_base, vit:dim=96,depth=4,heads=3; options after a colon, as in vit_small:registers=4,layer_scale=1e-5."`
	PatchSize         int    `group:"Network" placeholder:"PX" help:"Side of a patch; read from the file if not given."`
	Device            string `default:"auto" group:"Machine" help:"cpu, cuda, or auto."`
}

// network is a trained backbone on a device.
type network struct {
	*dino.Backbone
	dev *tensor.Device
}

// load reads the backbone, and says what had to be assumed.
func (n *networkFlags) load(dev *tensor.Device, log *slog.Logger) (*network, error) {
	b, err := dino.LoadBackbone(dev, n.PretrainedWeights, n.backboneOptions())
	if err != nil {
		return nil, backboneError(err)
	}
	for _, note := range b.Notes {
		log.Info(note, "file", n.PretrainedWeights)
	}
	return &network{Backbone: b, dev: dev}, nil
}

func (n *networkFlags) backboneOptions() dino.BackboneOptions {
	return dino.BackboneOptions{Key: n.CheckpointKey, Arch: n.Arch, PatchSize: n.PatchSize}
}

// backboneError gives an error of reading a backbone its exit status.
func backboneError(err error) error {
	var arch *dino.ArchError
	if errors.As(err, &arch) {
		return usageError("%w", err)
	}
	return checkpointError(err)
}

// device is where the work is done. Only the CPU can be asked for until the program has kernels for more.
func device(name string) (*tensor.Device, error) {
	switch name {
	case "cpu", "auto":
		return tensor.CPU(), nil
	case "cuda":
		if err := cuda.Available(); err != nil {
			return nil, usageError("--device cuda: %w: use --device cpu", err)
		}
		return tensor.CPU(), nil
	}
	return nil, usageError("--device %q: choose cpu, cuda or auto", name)
}

// inPrecision is the device with layers of that precision.
func inPrecision(dev *tensor.Device, name string) (*tensor.Device, error) {
	p, err := tensor.ParsePrecision(name)
	if err != nil {
		return nil, usageError("--precision: %w", err)
	}
	if dev, err = dev.WithPrecision(p); err != nil {
		return nil, usageError("--precision: %w", err)
	}
	return dev, nil
}

// makeDir creates the folder that a command writes into.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return fmt.Errorf("--output_dir: %w", err)
	}
	return nil
}
