package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

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
	Device            string `default:"auto" group:"Machine" help:"cpu, cuda, cuda:N for the GPU of that number, or auto."`
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

// device is where the work is done: the CPU, an NVIDIA GPU by its number, or the first GPU that there is, else the CPU.
func device(name string) (*tensor.Device, error) {
	kind, number, numbered := strings.Cut(name, ":")
	n, err := strconv.Atoi(number)
	switch {
	case name == "cpu", name == "auto" && cuda.Available() != nil:
		return tensor.CPU(), nil
	case name == "auto", name == "cuda":
		n = 0
	case kind != "cuda" || !numbered || err != nil || n < 0:
		return nil, usageError("--device %q: choose cpu, cuda, cuda:N or auto", name)
	}
	g, err := cuda.Open(n)
	if err != nil {
		return nil, usageError("--device %s: %w: use --device cpu", name, err)
	}
	return tensor.NewGPU(g), nil
}

// deviceText says what the device is, and why it is no GPU where the program could use one.
func deviceText(dev *tensor.Device, precision string) string {
	if g := dev.GPU(); g != nil {
		return fmt.Sprintf("%v, %s", g.Info(), precision)
	}
	text := fmt.Sprintf("%s kernels, %s, %s", dev.Kernels().Name, precision, plural(dev.Threads(), "thread"))
	if err := cuda.Available(); err != nil && !errors.Is(err, cuda.ErrNotBuilt) {
		text += fmt.Sprintf("; no GPU: %v", err)
	}
	return text
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
