package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/nn/weights"
)

type inspectCommand struct {
	File          string `arg:"" help:"A file of weights: safetensors or .pth, ours or another program's; or a folder of transformers or timm."`
	CheckpointKey string `default:"teacher" group:"Network" placeholder:"KEY" help:"Which network of a checkpoint to tell the architecture of: teacher or student."`
	Arch          string `group:"Network" placeholder:"NAME" help:"Compare with this architecture, not with the one that the file looks like."`
	NoStatistics  bool   `name:"no_statistics" group:"Run" help:"List names and shapes alone, without reading the numbers."`
	JSON          bool   `name:"json" group:"Run" help:"Print one JSON object."`
}

func (*inspectCommand) Help() string {
	return `Examples:
  dino inspect runs/photos/checkpoint.safetensors
  dino inspect dino_deitsmall16_pretrain.pth --json

Lists the tensors with shape, type, smallest, largest and mean element and how many are not finite (NaN or infinity), then what architecture the
backbone is and whether it is whole. Nothing of the file is executed.`
}

// inspection is what inspect prints.
type inspection struct {
	File      string           `json:"file"`
	Format    string           `json:"format"`
	Checksums bool             `json:"checksums"` // whether the file has one for every tensor
	Tensors   []tensorSummary  `json:"tensors"`
	Elements  int              `json:"elements"`
	NotFinite int              `json:"not_finite"`
	Backbone  *backboneSummary `json:"backbone,omitempty"`
	Why       string           `json:"no_backbone,omitempty"` // why none is described

	statistics bool
}

type tensorSummary struct {
	Name       string      `json:"name"`
	Dtype      string      `json:"dtype"`
	Shape      []int       `json:"shape"`
	Statistics *statistics `json:"statistics,omitempty"` // of floating point
}

// statistics are of the finite elements.
type statistics struct {
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
	Mean      float64 `json:"mean"`
	NotFinite int     `json:"not_finite"`
}

type backboneSummary struct {
	From       string   `json:"names_of"`
	Arch       string   `json:"arch"`
	PatchSize  int      `json:"patch_size"`
	ImageSize  int      `json:"image_size"` // that the position embedding is stored for
	Parameters int      `json:"parameters"`
	Whole      bool     `json:"whole"`
	Missing    []string `json:"missing,omitempty"`
	Extra      []string `json:"extra,omitempty"`
	Reshaped   []string `json:"of_another_shape,omitempty"`
	Notes      []string `json:"notes,omitempty"`
}

func (c *inspectCommand) Run(t *terminal) error {
	path := dino.WeightsPath(c.File)
	f, err := weights.Open(path)
	if err != nil {
		return checkpointError(err)
	}
	defer f.Close()
	s := inspection{File: path, Format: f.Format, Checksums: f.Checksummed(), statistics: !c.NoStatistics}
	for _, e := range f.Entries() {
		tensor := tensorSummary{Name: e.Name, Dtype: string(e.Dtype), Shape: e.Shape}
		if s.statistics && e.Dtype.Float() {
			a, err := f.Array(e.Name)
			if err != nil {
				return checkpointError(err)
			}
			tensor.Statistics = summarize(a.Data)
			s.NotFinite += tensor.Statistics.NotFinite
		}
		s.Elements += e.Len()
		s.Tensors = append(s.Tensors, tensor)
	}
	if s.Backbone, err = c.backbone(f, t); err != nil {
		s.Why = err.Error()
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(s)
	}
	return s.print(t.out)
}

// backbone compares the file's backbone with the architecture that it looks like.
func (c *inspectCommand) backbone(f *weights.File, t *terminal) (*backboneSummary, error) {
	state, err := f.State(c.CheckpointKey)
	if err != nil {
		return nil, err
	}
	config, notes, err := dino.BackboneConfig(f, state, dino.BackboneOptions{Arch: c.Arch})
	if err != nil {
		return nil, backboneError(err)
	}
	b := &backboneSummary{From: state.From, Arch: config.Arch(), PatchSize: config.PatchSize, ImageSize: config.ImageSize, Parameters: config.NumParams(), Notes: append(state.Notes, notes...)}
	r := dino.MatchBackbone(config, state)
	b.Whole = r.OK()
	for _, e := range r.Missing {
		b.Missing = append(b.Missing, e.String())
	}
	for _, e := range r.Extra {
		b.Extra = append(b.Extra, e.String())
	}
	for _, e := range r.Reshaped {
		b.Reshaped = append(b.Reshaped, fmt.Sprintf("%s: %v, want %v", e.Name, e.Have, e.Want))
	}
	return b, nil
}

func summarize(data []float32) *statistics {
	s := &statistics{Min: math.Inf(1), Max: math.Inf(-1)}
	sum := 0.0
	for _, v := range data {
		x := float64(v)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			s.NotFinite++
			continue
		}
		s.Min, s.Max = min(s.Min, x), max(s.Max, x)
		sum += x
	}
	if n := len(data) - s.NotFinite; n > 0 {
		s.Mean = sum / float64(n)
	} else {
		s.Min, s.Max = 0, 0
	}
	return s
}

func (s *inspection) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	head := "tensor\tshape\ttype"
	if s.statistics {
		head += "\tmin\tmax\tmean\tnot finite"
	}
	fmt.Fprintln(w, head)
	for _, t := range s.Tensors {
		fmt.Fprintf(w, "%s\t%s\t%s", lineOf(t.Name), strings.Trim(strings.ReplaceAll(fmt.Sprint(t.Shape), " ", "×"), "[]"), t.Dtype)
		if x := t.Statistics; x != nil {
			bad := ""
			if x.NotFinite > 0 {
				bad = count(x.NotFinite)
			}
			fmt.Fprintf(w, "\t%.3g\t%.3g\t%.3g\t%s", x.Min, x.Max, x.Mean, bad)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	sums := "a checksum for each"
	if !s.Checksums {
		sums = "without checksums of its own"
		if s.Format == "pth" {
			sums = "each with its checksum in the zip"
		}
	}
	fmt.Fprintf(out, "%s: %s, %s of %s elements, %s\n", s.File, s.Format, plural(len(s.Tensors), "tensor"), count(s.Elements), sums)
	if s.NotFinite > 0 {
		fmt.Fprintf(out, "not finite (NaN or infinity): %s\n", plural(s.NotFinite, "element"))
	}
	b := s.Backbone
	if b == nil {
		fmt.Fprintf(out, "backbone: none: %s\n", s.Why)
		return nil
	}
	whole := "whole"
	if !b.Whole {
		whole = fmt.Sprintf("%d tensors missing, %d extra, %d of another shape", len(b.Missing), len(b.Extra), len(b.Reshaped))
	}
	fmt.Fprintf(out, "backbone: %s/%d for images of %d px, %s parameters, names of %s: %s\n", b.Arch, b.PatchSize, b.ImageSize, count(b.Parameters), b.From, whole)
	for _, list := range []struct {
		what  string
		items []string
	}{{"missing", b.Missing}, {"extra", b.Extra}, {"other shape", b.Reshaped}, {"note", b.Notes}} {
		for _, item := range list.items {
			fmt.Fprintf(out, "  %s: %s\n", list.what, item)
		}
	}
	return nil
}
