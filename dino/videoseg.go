package dino

import (
	"context"
	"fmt"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// The reference normalises video frames with a red deviation of .228, not ImageNet's .229; published scores were computed so.
var videoStd = [3]float32{0.228, augment.ImageNetStd[1], augment.ImageNetStd[2]}

// VideoOptions says how labels are carried through a video.
type VideoOptions struct {
	Size    int // the shorter side of a frame; the longer one is cut to a multiple of 64
	Last    int // frames before that labels are taken from, beside the first one
	Workers int
	eval.Propagation
}

// DefaultVideo are the reference's settings.
func DefaultVideo() VideoOptions {
	return VideoOptions{Size: 480, Last: 7, Propagation: eval.Propagation{Radius: 12, TopK: 5, Temperature: 0.1}}
}

// frameSize is the size at which the network sees a frame of w×h pixels.
func frameSize(w, h, size int) (int, int) {
	const multiple = 64
	if h > w {
		return size, size * h / w / multiple * multiple
	}
	return size * w / h / multiple * multiple, size
}

// SegmentVideo carries the labels of the first frame's mask through a video and gives done the mask of each frame at the frame's size, the
// first one unchanged. Labels are carried soft, from the first frame and the o.Last before, on the grid of patches; a frame's mask is made of
// them by enlarging (bilinear), stretching each class to 0…1, and taking the largest. All frames have the size of the first.
func SegmentVideo(ctx context.Context, dev *tensor.Device, backbone *nn.VisionTransformer, frames int, load func(i int) (*dataset.RGB, error), first eval.Mask, o VideoOptions,
	done func(i int, m eval.Mask) error) error {
	patch := backbone.Config().PatchSize
	if o.Last < 0 {
		return fmt.Errorf("labels from %d frames before", o.Last)
	}
	w, h := frameSize(first.W, first.H, o.Size)
	rows, cols := h/patch, w/patch
	if rows < 1 || cols < 1 {
		return fmt.Errorf("frames of %d×%d pixels at size %d become %d×%d, less than a patch of %d: choose a larger size", first.W, first.H, o.Size, w, h, patch)
	}
	small := func(i int) (*dataset.RGB, error) {
		img, err := load(i)
		if err != nil {
			return nil, err
		}
		if img.W != first.W || img.H != first.H {
			return nil, fmt.Errorf("frame %d has %d×%d pixels, the first mask %d×%d", i, img.W, img.H, first.W, first.H)
		}
		return augment.ResizeLinear(img, w, h), nil
	}
	classes := 1
	for _, l := range first.Labels {
		if l != eval.Void {
			classes = max(classes, int(l)+1)
		}
	}
	e := NewEncoder(dev, backbone)
	var sources []eval.PatchFrame // the first frame, then the last ones, oldest first
	return Pictures(ctx, frames, o.Workers, small, func(i int, img *dataset.RGB, err error) error {
		if err != nil {
			return err
		}
		features, _, _ := e.Patches(img, augment.ImageNetMean, videoStd)
		if i == 0 {
			sources = append(sources, eval.PatchFrame{Features: features, Labels: oneHot(first, rows, cols, classes)})
			return done(0, first)
		}
		labels, err := o.Propagate(dev, features, rows, cols, sources)
		if err != nil {
			return err
		}
		sources = append(sources, eval.PatchFrame{Features: features, Labels: labels})
		if len(sources) > 1+o.Last {
			sources = append(sources[:1], sources[2:]...)
		}
		return done(i, hardMask(labels, rows, cols, patch, classes, first.W, first.H))
	})
}

// oneHot is the mask at the grid's size, nearest pixel, as (N, C); unknown pixels count as background.
func oneHot(m eval.Mask, rows, cols, classes int) []float32 {
	labels := make([]float32, rows*cols*classes)
	for y := range rows {
		for x := range cols {
			l := m.Labels[nearest(y, rows, m.H)*m.W+nearest(x, cols, m.W)]
			if l == eval.Void {
				l = 0
			}
			labels[(y*cols+x)*classes+int(l)] = 1
		}
	}
	return labels
}

// nearest is the pixel of from that pixel i of to shows.
func nearest(i, to, from int) int { return min((2*i+1)*from/(2*to), from-1) }

// hardMask turns soft labels (N, C) into a mask of w×h pixels.
func hardMask(labels []float32, rows, cols, patch, classes, w, h int) eval.Mask {
	n := rows * cols
	planes := make([]float32, classes*n)
	for i := range n {
		for c := range classes {
			planes[c*n+i] = labels[i*classes+c]
		}
	}
	bigH, bigW := rows*patch, cols*patch
	big := make([]float32, classes*bigH*bigW)
	augment.Bilinear(big, planes, classes, rows, cols, bigH, bigW, float64(patch))
	for c := range classes {
		stretch(big[c*bigH*bigW : (c+1)*bigH*bigW])
	}
	m := eval.Mask{W: w, H: h, Labels: make([]uint8, w*h)}
	for y := range h {
		for x := range w {
			at := nearest(y, h, bigH)*bigW + nearest(x, w, bigW)
			best := 0
			for c := 1; c < classes; c++ {
				if big[c*bigH*bigW+at] > big[best*bigH*bigW+at] {
					best = c
				}
			}
			m.Labels[y*w+x] = uint8(best)
		}
	}
	return m
}

// stretch maps a class's plane to 0…1, unless it is nowhere.
func stretch(plane []float32) {
	low, high := plane[0], plane[0]
	for _, v := range plane {
		low, high = min(low, v), max(high, v)
	}
	if !(high > 0) {
		return
	}
	for i, v := range plane {
		if v -= low; high > low {
			v /= high - low
		}
		plane[i] = v
	}
}
