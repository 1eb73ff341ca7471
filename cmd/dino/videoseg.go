package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/dino/viz"
	"github.com/godino-ml/godino/nn/weights"
)

type videoSegCommand struct {
	networkFlags
	clusterFlags
	BS        string   `name:"bs" hidden:""` // of the reference, which reads it nowhere
	DataPath  string   `placeholder:"PATH" xor:"data" group:"Data" help:"Folder or tar laid out as DAVIS: JPEGImages/480p/SEQUENCE, Annotations/480p/SEQUENCE, ImageSets."`
	Frames    string   `placeholder:"PATH" xor:"data" group:"Data" help:"Frames of one video, a folder or tar, instead of a set; needs --masks."`
	Masks     string   `placeholder:"PATH" group:"Data" help:"Masks of --frames: PNGs of the same names; the first is enough, more are scored."`
	Split     string   `default:"val" placeholder:"NAME" group:"Data" help:"List of ImageSets that names the sequences; all sequences where there is none."`
	Sequences []string `sep:"," placeholder:"NAME" group:"Data" help:"Sequences to do, instead of a list."`
	MaxPixels int      `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	Imsize    int      `name:"imsize" default:"480" group:"Data" placeholder:"PX" help:"Shorter side that frames are seen at; the longer one is cut to a multiple of 64."`

	OutputDir            string  `default:"./runs/videoseg" placeholder:"DIR" group:"Run" help:"Where the masks go: DIR/SEQUENCE/FRAME.png."`
	Overlay              bool    `group:"Run" help:"Also write each frame with its objects in colour: DIR/SEQUENCE-overlay/FRAME.jpg."`
	NLastFrames          int     `name:"n_last_frames" default:"7" placeholder:"N" group:"Run" help:"Frames before that labels are taken from, beside the first."`
	SizeMaskNeighborhood int     `name:"size_mask_neighborhood" default:"12" placeholder:"N" group:"Run" help:"Rows and columns of patches that labels may travel; 0 for any."`
	TopK                 int     `name:"topk" default:"5" placeholder:"N" group:"Run" help:"Patches that a patch takes its label from."`
	Temperature          float64 `default:"0.1" group:"Run" help:"Temperature of their weights."`
	NumWorkers           int     `group:"Machine" placeholder:"N" help:"Threads that decode frames; 0 chooses."`
	JSON                 bool    `name:"json" group:"Run" help:"Print one JSON object."`
}

func (*videoSegCommand) Help() string {
	return `Examples:
  dino videoseg --pretrained_weights w.pth --data_path DAVIS --output_dir masks
  dino videoseg --pretrained_weights w.safetensors --data_path car-shadow.tar --imsize 240
  dino videoseg --pretrained_weights w.safetensors --frames holiday/ --masks holiday-mask/ --overlay

The objects of the first frame's mask are carried through the video by the likeness of patch tokens. Where the other frames have masks too,
the result is scored as davis2017-evaluation does: J, the overlap of regions, F, the agreement of boundaries; the first and the last frame do
not count. Masks are PNGs with a palette or in grey, values 1, 2, … an object each, 255 unknown; or, as in DAVIS 2016, one object in white.`
}

// videoSegResult is what videoseg prints.
type videoSegResult struct {
	Weights   string                   `json:"weights"`
	OutputDir string                   `json:"output_dir"`
	Imsize    int                      `json:"imsize"`
	Frames    int                      `json:"frames"`
	Seconds   float64                  `json:"seconds"`
	Objects   []eval.SegmentationScore `json:"objects"`
	JF        *float64                 `json:"jf_mean"` // of all objects; null where nothing could be scored
	J         *eval.Statistics         `json:"j"`
	F         *eval.Statistics         `json:"f"`
	Unscored  []string                 `json:"unscored,omitempty"` // sequences without masks to compare with
}

func (c *videoSegCommand) Run(ctx context.Context, t *terminal) error {
	o := dino.DefaultVideo()
	o.Size, o.Last, o.Workers = c.Imsize, c.NLastFrames, c.NumWorkers
	o.Radius, o.TopK, o.Temperature = c.SizeMaskNeighborhood, c.TopK, c.Temperature
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	switch {
	case o.Size < 8 || o.Size > 4096:
		return usageError("--imsize %d: choose 8 to 4096", o.Size)
	case o.Last < 0 || o.Last > 1000 || o.Radius < 0 || o.TopK < 1 || o.TopK > 10000:
		return usageError("--n_last_frames %d --size_mask_neighborhood %d --topk %d: choose 0 to 1000, 0 or more, and 1 to 10000", o.Last, o.Radius, o.TopK)
	case !(o.Temperature >= 0.001 && o.Temperature <= 1000):
		return usageError("--temperature %g: choose 0.001 to 1000; 0.1 is usual", o.Temperature)
	case c.DataPath == "" && (c.Frames == "" || c.Masks == ""):
		return usageError("needs --data_path, a set laid out as DAVIS, or --frames and --masks, one video")
	}
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	frames, masks, sequences, err := c.open()
	if err != nil {
		return err
	}
	defer frames.Close()
	defer masks.Close()
	n, err := c.load(dev, t.log)
	if err != nil {
		return err
	}
	r := videoSegResult{Weights: fmt.Sprintf("%s (%s)", c.PretrainedWeights, n.Name), OutputDir: c.OutputDir, Imsize: o.Size}
	start := time.Now()
	for i, s := range sequences {
		v := sequenceRun{c: c, n: n, t: t, frames: frames, masks: masks, s: s}
		progress := t.counter(fmt.Sprintf("%s (%d of %d)", s.Name, i+1, len(sequences)))
		if err := v.run(ctx, o, progress); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		r.Frames += len(s.Frames)
		scores, err := v.score()
		if err != nil {
			return dataError(err)
		}
		if scores == nil {
			r.Unscored = append(r.Unscored, s.Name)
		}
		r.Objects = append(r.Objects, scores...)
	}
	r.Seconds = time.Since(start).Seconds()
	if len(r.Objects) > 0 {
		m := eval.MeanScore(r.Objects)
		jf := m.JF()
		r.JF, r.J, r.F = &jf, &m.J, &m.F
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(r)
	}
	return r.print(t, len(sequences))
}

func (c *videoSegCommand) open() (frames, masks *dataset.Files, sequences []dataset.Sequence, err error) {
	if c.DataPath != "" {
		if frames, err = openFiles("--data_path", c.DataPath); err != nil {
			return nil, nil, nil, err
		}
		sequences, err = dataset.DAVIS(frames, c.Split, c.Sequences)
		return frames, frames, sequences, dataError(err)
	}
	if frames, err = openFiles("--frames", c.Frames); err != nil {
		return nil, nil, nil, err
	}
	if masks, err = openFiles("--masks", c.Masks); err != nil {
		return nil, nil, nil, err
	}
	s, err := dataset.Frames(frames, masks)
	if err != nil {
		return nil, nil, nil, dataError(err)
	}
	if s.Masks[0] == "" {
		return nil, nil, nil, dataError(fmt.Errorf("--masks %s: no PNG named as the first frame, %s", c.Masks, s.Frames[0]))
	}
	s.Name = filepath.Base(filepath.Clean(c.Frames))
	return frames, masks, []dataset.Sequence{s}, nil
}

// sequenceRun is the work on one sequence.
type sequenceRun struct {
	c             *videoSegCommand
	n             *network
	t             *terminal
	frames, masks *dataset.Files
	s             dataset.Sequence

	white   bool // the one object of DAVIS 2016
	objects int
	result  []eval.Mask
}

// mask reads the mask of frame i.
func (v *sequenceRun) mask(i int) (*dataset.LabelMap, error) {
	data, err := v.masks.Read(v.s.Masks[i], 0)
	if err != nil {
		return nil, dataError(err)
	}
	m, err := dataset.DecodeLabels(data, v.masks.Root()+"/"+v.s.Masks[i], v.c.MaxPixels)
	if err != nil {
		return nil, dataError(err)
	}
	if i == 0 {
		v.white = m.WhiteIsObject()
	}
	if v.white {
		m.WhiteToObject()
	}
	return m, nil
}

func (v *sequenceRun) run(ctx context.Context, o dino.VideoOptions, progress func(done, of int)) error {
	first, err := v.mask(0)
	if err != nil {
		return err
	}
	if v.objects = first.Objects(); v.objects == 0 {
		return dataError(fmt.Errorf("%s/%s holds no object: every pixel is 0", v.masks.Root(), v.s.Masks[0]))
	}
	dir := filepath.Join(v.c.OutputDir, v.s.Name)
	over := dir + "-overlay"
	if err := makeDir(dir); err != nil {
		return err
	}
	if v.c.Overlay {
		if err := makeDir(over); err != nil {
			return err
		}
	}
	load := func(i int) (*dataset.RGB, error) { return v.frames.Load(v.s.Frames[i], v.c.MaxPixels) }
	err = dino.SegmentVideo(ctx, v.n.dev, v.n.VisionTransformer, len(v.s.Frames), load, eval.Mask{W: first.W, H: first.H, Labels: first.Labels}, o, func(i int, m eval.Mask) error {
		v.result = append(v.result, m)
		name := dataset.Stem(v.s.Frames[i])
		if err := v.write(filepath.Join(dir, name+".png"), m); err != nil {
			return err
		}
		if progress != nil {
			progress(i+1, len(v.s.Frames))
		}
		if !v.c.Overlay {
			return nil
		}
		img, err := load(i)
		if err != nil {
			return err
		}
		return writeJPEG(filepath.Join(over, name+".jpg"), viz.OverlayLabels(img.Image(), m.Labels, dataset.MaskPalette))
	})
	return badImageIsData(err)
}

// write writes a mask as the annotations are: white on black for DAVIS 2016, with the palette otherwise.
func (v *sequenceRun) write(path string, m eval.Mask) error {
	labels, palette := m.Labels, dataset.MaskPalette
	if v.white {
		palette = nil
		labels = make([]uint8, len(m.Labels))
		for i, l := range m.Labels {
			labels[i] = 255 * min(l, 1)
		}
	}
	b, err := viz.Indexed(m.W, m.H, labels, palette)
	if err != nil {
		return err
	}
	return weights.AtomicWrite(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// score compares with the masks of all frames but the first and the last; nil where one of them is missing.
func (v *sequenceRun) score() ([]eval.SegmentationScore, error) {
	n := len(v.s.Frames)
	if n < 3 {
		return nil, nil
	}
	truth := make([]eval.Mask, n)
	for i := range truth {
		if v.s.Masks[i] == "" {
			if i != n-1 {
				return nil, nil
			}
			truth[i] = v.result[i] // does not count
			continue
		}
		m, err := v.mask(i)
		if err != nil {
			return nil, err
		}
		truth[i] = eval.Mask{W: m.W, H: m.H, Labels: m.Labels}
	}
	return eval.Segmentation(v.s.Name, truth, v.result, v.objects)
}

func (r *videoSegResult) print(t *terminal, sequences int) error {
	fmt.Fprintf(t.out, "%s: %s of %s, shorter side %d px, in %s; masks in %s\n", r.Weights, plural(r.Frames, "frame"), plural(sequences, "video"), r.Imsize,
		durationText(time.Duration(r.Seconds*float64(time.Second))), r.OutputDir)
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, s eval.SegmentationScore) {
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", name, 100*s.JF(), 100*s.J.Mean, 100*s.J.Recall, 100*s.J.Decay, 100*s.F.Mean, 100*s.F.Recall, 100*s.F.Decay)
	}
	if len(r.Objects) > 0 {
		fmt.Fprintln(w, "object\tJ&F %\tJ mean\trecall\tdecay\tF mean\trecall\tdecay\t")
		for _, s := range r.Objects {
			line(fmt.Sprintf("%s %d", s.Sequence, s.Object), s)
		}
		if len(r.Objects) > 1 {
			line("mean", eval.MeanScore(r.Objects))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range r.Unscored {
		fmt.Fprintf(t.out, "note: %s is not scored: masks of all frames between the first and the last, and three frames, are needed\n", s)
	}
	return nil
}

// writeJPEG writes a picture for people to look at.
func writeJPEG(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := jpeg.Encode(f, img, &jpeg.Options{Quality: 92}); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}
