package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/viz"
	"github.com/godino-ml/godino/nn/weights"
)

type videoCommand struct {
	PretrainedWeights string `placeholder:"FILE" group:"Network" help:"Weights: a checkpoint of train, a .pth of the reference, or safetensors."`
	CheckpointKey     string `default:"teacher" group:"Network" placeholder:"KEY" help:"Which network of a checkpoint: teacher or student."`
	Arch              string `group:"Network" placeholder:"NAME" help:"Backbone; read from the file where it says so."`
	PatchSize         int    `group:"Network" placeholder:"PX" help:"Side of a patch; read from the file if not given."`

	InputPath string   `required:"" placeholder:"PATH" group:"Data" help:"Frames: a folder, a tar, or a folder in a tar, in the order of the numbers in their names; they lie in one folder."`
	Resize    []string `sep:"," placeholder:"PX" group:"Data" help:"Size that frames are seen at: the shorter side, or W,H; as they are if not given. Smaller is faster."`
	MaxPixels int      `default:"${maxPixels}" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	MaxFrames int      `placeholder:"N" group:"Data" help:"Stop after so many frames; 0 takes all."`

	OutputPath  string   `default:"./runs/video" placeholder:"DIR" group:"Run" help:"Where the pictures go: DIR/attention/attn-FRAME.jpg, and the video."`
	Show        string   `default:"overlay" placeholder:"NAME" group:"Run" help:"What the video shows: overlay, the map over the frame; map alone; both, side by side."`
	Threshold   *float64 `placeholder:"SHARE" group:"Run" help:"Show instead the fewest patches that hold this share of the attention, in colour over the frame; 0.6 is usual."`
	FrameFormat string   `default:"jpg" placeholder:"NAME" group:"Run" help:"jpg or png, of the single pictures."`
	VideoFormat string   `default:"gif" placeholder:"NAME" group:"Run" help:"gif, png (animated, all colours, larger), or none."`
	FPS         float64  `name:"fps" default:"30" group:"Run" help:"Frames a second."`
	VideoOnly   bool     `group:"Run" help:"Put the pictures of --input_path together as they are; no network is needed."`
	NumWorkers  int      `group:"Machine" placeholder:"N" help:"Threads that decode frames; 0 chooses."`
	Device      string   `default:"auto" group:"Machine" placeholder:"NAME" help:"cpu, cuda or auto."`
	JSON        bool     `name:"json" group:"Run" help:"Print one JSON object."`
}

func (*videoCommand) Help() string {
	return `Examples:
  dino video --pretrained_weights w.safetensors --input_path frames --output_path look --resize 240 --fps 24
  dino video --input_path look/attention --output_path look --video_only --fps 10

Draws the attention of the class token in the last block, mean of the heads, in the inferno map, each frame scaled from its least to its most.
Frames come out of a film, and a film out of the pictures, with ffmpeg, which is not needed here:
  ffmpeg -i film.mp4 frames/%05d.jpg
  ffmpeg -framerate 24 -pattern_type glob -i 'look/attention/*.jpg' -pix_fmt yuv420p look.mp4`
}

// videoResult is what video prints.
type videoResult struct {
	Frames int    `json:"frames"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Dir    string `json:"attention,omitempty"` // folder of the single pictures
	Video  string `json:"video,omitempty"`
}

func (c *videoCommand) Run(ctx context.Context, t *terminal) error {
	resize, err := c.check()
	if err != nil {
		return err
	}
	files, err := openFiles("--input_path", c.InputPath)
	if err != nil {
		return err
	}
	defer files.Close()
	s, err := dataset.Frames(files, nil)
	if err != nil {
		return dataError(err)
	}
	if c.MaxFrames > 0 {
		s.Frames = s.Frames[:min(c.MaxFrames, len(s.Frames))]
	}
	var draw func(img *dataset.RGB) (shown, attention *image.RGBA, err error)
	if c.VideoOnly {
		draw = func(img *dataset.RGB) (*image.RGBA, *image.RGBA, error) { return img.Image(), nil, nil }
	} else {
		dev, err := device(c.Device)
		if err != nil {
			return err
		}
		n, err := (&networkFlags{PretrainedWeights: c.PretrainedWeights, CheckpointKey: c.CheckpointKey, Arch: c.Arch, PatchSize: c.PatchSize}).load(dev, t.log)
		if err != nil {
			return err
		}
		e := dino.NewEncoder(dev, n.VisionTransformer)
		draw = func(img *dataset.RGB) (*image.RGBA, *image.RGBA, error) { return c.draw(e, n.Config().PatchSize, img) }
	}
	if c.NumWorkers <= 0 {
		c.NumWorkers = runtime.GOMAXPROCS(0)
	}
	r := videoResult{Frames: len(s.Frames)}
	if !c.VideoOnly {
		r.Dir = filepath.Join(c.OutputPath, "attention")
		if err := makeDir(r.Dir); err != nil {
			return err
		}
	} else if err := makeDir(c.OutputPath); err != nil {
		return err
	}
	progress := t.counter("frames of " + files.Root())
	load := func(i int) (*dataset.RGB, error) {
		img, err := files.Load(s.Frames[i], c.MaxPixels)
		if err != nil {
			return nil, err
		}
		return resize(img)
	}
	frames := func(add func(img image.Image) error) error {
		return dino.Pictures(ctx, len(s.Frames), c.NumWorkers, load, func(i int, img *dataset.RGB, err error) error {
			if err != nil {
				return badImageIsData(err)
			}
			shown, attention, err := draw(img)
			if err != nil {
				return fmt.Errorf("%s/%s: %w", files.Root(), s.Frames[i], err)
			}
			r.Width, r.Height = shown.Rect.Dx(), shown.Rect.Dy()
			if attention != nil {
				name := "attn-" + dataset.Stem(s.Frames[i]) + "." + c.FrameFormat
				if err := writePicture(filepath.Join(r.Dir, name), attention); err != nil {
					return err
				}
			}
			if progress != nil {
				progress(i+1, len(s.Frames))
			}
			return add(shown)
		})
	}
	if err := c.write(frames, &r); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(r)
	}
	fmt.Fprintf(t.out, "%s: %s of %d×%d px\n", files.Root(), plural(r.Frames, "frame"), r.Width, r.Height)
	for _, p := range []string{r.Dir, r.Video} {
		if p != "" {
			fmt.Fprintln(t.out, " ", p)
		}
	}
	return nil
}

// check refuses flags that make no sense, and says how frames are resized.
func (c *videoCommand) check() (resize func(img *dataset.RGB) (*dataset.RGB, error), err error) {
	switch {
	case c.VideoFormat == "mp4" || c.VideoFormat == "avi":
		return nil, usageError("--video_format %s: not written here; take --video_format none, and make it of the pictures: ffmpeg -framerate %g -pattern_type glob -i '%s/attention/*.%s' -pix_fmt yuv420p video.%s",
			c.VideoFormat, c.FPS, c.OutputPath, c.FrameFormat, c.VideoFormat)
	case c.VideoFormat != "gif" && c.VideoFormat != "png" && c.VideoFormat != "none":
		return nil, usageError("--video_format %q: choose gif, png or none", c.VideoFormat)
	case c.FrameFormat != "jpg" && c.FrameFormat != "png":
		return nil, usageError("--frame_format %q: choose jpg or png", c.FrameFormat)
	case c.Show != "overlay" && c.Show != "map" && c.Show != "both":
		return nil, usageError("--show %q: choose overlay, map or both", c.Show)
	case c.Threshold != nil && !(*c.Threshold > 0 && *c.Threshold <= 1):
		return nil, usageError("--threshold %g: choose a share above 0, to 1", *c.Threshold)
	case !(c.FPS >= 0.01 && c.FPS <= 1000):
		return nil, usageError("--fps %g: choose 0.01 to 1000", c.FPS)
	case c.VideoOnly && c.VideoFormat == "none":
		return nil, usageError("--video_only with --video_format none: nothing to do")
	case !c.VideoOnly && c.PretrainedWeights == "":
		return nil, usageError("needs --pretrained_weights, or --video_only")
	}
	sides := make([]int, len(c.Resize))
	for i, s := range c.Resize {
		if sides[i], err = strconv.Atoi(s); err != nil || sides[i] < 1 || sides[i] > 1<<13 || len(c.Resize) > 2 {
			return nil, usageError("--resize %v: choose the shorter side, as --resize 240, or width and height, as --resize 426,240; up to %d", c.Resize, 1<<13)
		}
	}
	return func(img *dataset.RGB) (*dataset.RGB, error) {
		w, h := img.W, img.H
		switch len(sides) {
		case 1:
			w, h = augment.ShorterSide(w, h, sides[0])
		case 2:
			w, h = sides[0], sides[1]
		}
		if w < 1 || h < 1 || w > c.MaxPixels/h {
			return nil, dataError(fmt.Errorf("a frame of %d×%d px would become one of %d×%d", img.W, img.H, w, h))
		}
		if w == img.W && h == img.H {
			return img, nil
		}
		return augment.Resize(img, w, h), nil
	}, nil
}

// draw draws what the video shows of a frame, and the map alone.
func (c *videoCommand) draw(e *dino.Encoder, patch int, img *dataset.RGB) (shown, attention *image.RGBA, err error) {
	cols, rows := img.W/patch, img.H/patch
	if cols < 1 || rows < 1 || cols*rows > mostTokens {
		return nil, nil, usageError("the frame of %d×%d px has %d×%d patches of %d px; choose a --resize that gives 1 to %d", img.W, img.H, cols, rows, patch, mostTokens)
	}
	weights := viz.MeanOfHeads(e.Attention(img))
	attention = viz.AttentionMap(weights, cols, patch, viz.Inferno)
	frame := augment.CropTo(img, augment.Box{W: cols * patch, H: rows * patch}).Image()
	switch {
	case c.Threshold != nil:
		shown = viz.Overlay(frame, viz.Mask(weights, *c.Threshold), cols, patch, viz.Inferno.At(0.7))
	case c.Show == "map":
		shown = attention
	case c.Show == "both":
		shown = viz.Sheet([]image.Image{frame, attention}, 2, 0)
	default:
		shown = viz.Blend(frame, attention)
	}
	return shown, attention, nil
}

// write collects the frames into the video.
func (c *videoCommand) write(frames func(add func(img image.Image) error) error, r *videoResult) error {
	path := filepath.Join(c.OutputPath, "video."+c.VideoFormat)
	switch c.VideoFormat {
	case "none":
		return frames(func(image.Image) error { return nil })
	case "gif":
		g := viz.NewGIF(c.FPS)
		if err := frames(g.Add); err != nil {
			return err
		}
		r.Video = path
		return weights.AtomicWrite(path, g.Encode)
	}
	r.Video = path
	return weights.AtomicWrite(path, func(w io.Writer) error {
		a := viz.NewAPNG(w, r.Frames, c.FPS)
		if err := frames(a.Add); err != nil {
			return err
		}
		return a.Close()
	})
}

// writePicture writes a picture in the format that its ending says.
func writePicture(path string, img image.Image) error {
	if filepath.Ext(path) == ".png" {
		return viz.WritePNG(path, img)
	}
	return writeJPEG(path, img)
}
