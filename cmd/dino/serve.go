package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/dino/report"
	"github.com/godino-ml/godino/dino/search"
	"github.com/godino-ml/godino/dino/viz"
	"github.com/godino-ml/godino/tensor"
)

type serveCommand struct {
	Run_      string `arg:"" name:"run" placeholder:"RUN" help:"Folder of the run: --output_dir of train. It may be training, or done."`
	Addr      string `default:"127.0.0.1:7070" group:"Run" placeholder:"HOST:PORT" help:"Where to listen. Beyond this machine, a token is made and asked for. Port 0 takes a free one."`
	Index     string `placeholder:"DIR" group:"Data" help:"An index of dino search: show the images in it that are nearest to a dropped picture, too."`
	DataPath  string `placeholder:"PATH" group:"Data" help:"Where the images of the index are now; where they were indexed if not given."`
	MaxPixels int    `default:"40000000" group:"Data" placeholder:"N" help:"Refuse larger pictures by their header."`
	Device    string `default:"auto" group:"Machine" help:"cpu, cuda, or auto."`
}

func (*serveCommand) Help() string {
	return `Examples:
  dino serve runs/photos
  dino serve runs/photos --addr :7070     from other machines: prints an address with a token
  dino serve runs/photos --index photos.index

Shows the report of a run in a browser, live, and the attention of a picture that is dropped on the page, by the run's latest checkpoint; with --index
its nearest images, by the network that the index was made with.
/metrics has the run's numbers for Prometheus. It listens on this machine alone unless --addr says otherwise, and ends with Ctrl-C.`
}

func (c *serveCommand) Run(ctx context.Context, t *terminal) error {
	dev, err := device(c.Device)
	if err != nil {
		return err
	}
	if c.MaxPixels < 1 {
		return usageError("--max_pixels %d: choose 1 or more", c.MaxPixels)
	}
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return usageError("--addr: %w", err)
	}
	defer l.Close()
	watcher := &watchedNetwork{dev: dev, t: t, path: filepath.Join(c.Run_, dino.CheckpointName)}
	if c.Index != "" {
		if watcher.neighbours, err = c.neighbours(t, dev); err != nil {
			return err
		}
		defer watcher.neighbours.Close()
	}
	o := report.ServerOptions{Dir: c.Run_, MaxPixels: c.MaxPixels, Attention: watcher.attention, Hosts: report.Loopback()}
	address := fmt.Sprintf("http://%s/", l.Addr())
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		o.Token, o.Hosts = rand.Text(), nil
		address += "?token=" + o.Token
	}
	s, err := report.NewServer(o)
	if err != nil {
		return dataError(err)
	}
	fmt.Fprintf(t.out, "serving   %s at %s\n", c.Run_, address)
	if o.Token != "" {
		fmt.Fprintf(t.out, "note      whoever has the token sees the run; the connection is not encrypted: across a network that you do not trust, tunnel it (ssh -L)\n")
	}
	h := s.HTTPServer()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		h.Shutdown(end)
	})
	err = h.Serve(l)
	if !stop() { // ctx has ended
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// watchedNetwork is the teacher of a run's latest checkpoint, loaded when it is asked for and again when the file has changed. It is used by
// one goroutine at a time, which the server sees to.
type watchedNetwork struct {
	dev  *tensor.Device
	t    *terminal
	path string

	n    *network
	info os.FileInfo // of the file that n is from

	neighbours *shownNeighbours // nil without an index
}

func (w *watchedNetwork) load() (*network, error) {
	info, err := os.Stat(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("the run has saved no checkpoint yet")
	}
	if err != nil {
		return nil, err
	}
	if w.n != nil && os.SameFile(info, w.info) && info.ModTime().Equal(w.info.ModTime()) {
		return w.n, nil
	}
	w.n = nil // two of them may be more than fit into memory
	flags := networkFlags{PretrainedWeights: w.path, CheckpointKey: "teacher"}
	n, err := flags.load(w.dev, w.t.log)
	if err != nil {
		return nil, err
	}
	w.n, w.info = n, info
	return n, nil
}

// attention draws where the network looks in a picture: the picture, the mean of the heads over it, and each head.
func (w *watchedNetwork) attention(ctx context.Context, dropped *dataset.RGB) (*report.Attention, error) {
	n, err := w.load()
	if err != nil {
		return nil, err
	}
	patch := n.Config().PatchSize
	img, cols, rows, err := toPatches(dropped, min(480, 60*patch), patch)
	if err != nil {
		return nil, err
	}
	heads := dino.NewEncoder(n.dev, n.VisionTransformer).Attention(img)
	shown := image.NewRGBA(image.Rect(0, 0, cols*patch, rows*patch))
	for y := range rows * patch {
		copy(shown.Pix[y*shown.Stride:], img.Image().Pix[4*y*img.W:][:shown.Stride])
	}
	a := &report.Attention{Title: n.Name}
	add := func(caption string, img image.Image) {
		if err == nil {
			var d report.Drawing
			d, err = drawing(caption, img)
			a.Pictures = append(a.Pictures, d)
		}
	}
	add("the picture", shown)
	add("mean of the heads", viz.Blend(shown, viz.AttentionMap(viz.MeanOfHeads(heads), cols, patch, viz.Viridis)))
	for i, h := range heads {
		add(fmt.Sprintf("head %d", i), viz.AttentionMap(h, cols, patch, viz.Viridis))
	}
	if err == nil && w.neighbours != nil {
		var near []report.Drawing
		near, err = w.neighbours.of(ctx, dropped)
		a.Pictures = append(a.Pictures, near...)
	}
	return a, err
}

func drawing(caption string, img image.Image) (report.Drawing, error) {
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return report.Drawing{Caption: caption, PNG: b.Bytes()}, err
}

// shownNeighbours finds and draws the images of an index that are nearest to a picture.
type shownNeighbours struct {
	x        *search.Index
	n        *network
	pictures *indexPictures
}

func (c *serveCommand) neighbours(t *terminal, dev *tensor.Device) (_ *shownNeighbours, err error) {
	s := &shownNeighbours{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.x, _, err = (&indexFlags{Index: c.Index, Device: c.Device}).open(); err != nil {
		return nil, err
	}
	if s.n, err = indexNetwork(t, dev, s.x, ""); err != nil {
		return nil, err
	}
	if s.pictures, err = openIndexPictures(s.x, c.DataPath, c.MaxPixels); err != nil {
		return nil, err
	}
	return s, nil
}

// of draws the nearest images. One that cannot be read any more is left out.
func (s *shownNeighbours) of(ctx context.Context, img *dataset.RGB) ([]report.Drawing, error) {
	const most = 8
	rows, err := indexFeatures(ctx, s.n, s.x, []*dataset.RGB{img})
	if err != nil {
		return nil, err
	}
	found, err := search.Nearest(s.n.dev, s.x.Rows(), rows, most)
	if err != nil {
		return nil, err
	}
	var list []report.Drawing
	for _, m := range found[0] {
		img, err := s.pictures.load(m.Row)
		if err != nil {
			continue
		}
		d, err := drawing(fmt.Sprintf("%.3f %s", m.Similarity, s.x.Images[m.Row].Path), augment.Thumbnail(img, thumbnailSide).Image())
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

func (s *shownNeighbours) Close() {
	if s.pictures != nil {
		s.pictures.Close()
	}
	if s.x != nil {
		s.x.Close()
	}
}
