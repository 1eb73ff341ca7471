// Command labels makes a table and plots of what bench/labels/run has measured: top-1 by the number of labels, of k-NN and a linear classifier on
// features learnt without labels, of the network fine-tuned, and of the same network from scratch.
//
//	go run ./bench/labels [-o FOLDER] OUT >table.md
//
// OUT holds a folder for each set of pictures; labels-SET.png goes to FOLDER. Scores of several seeds, each with labels of its own, are given by their
// mean, and by the lowest and highest.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/godino-ml/godino/dino/viz"
)

func main() {
	out := flag.String("o", "", "folder for the plots; none are drawn without it")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "labels: name the folder that bench/labels/run wrote into")
		os.Exit(2)
	}
	if err := run(os.Stdout, flag.Arg(0), *out); err != nil {
		fmt.Fprintln(os.Stderr, "labels:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, dir, plots string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*-*-*.json"))
	if err != nil {
		return err
	}
	sets := map[string]results{}
	var names []string
	for _, path := range files {
		set := filepath.Base(filepath.Dir(path))
		if sets[set] == nil {
			sets[set] = results{}
			names = append(names, set)
		}
		if err := sets[set].read(path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%s: no results; bench/labels/run makes them", dir)
	}
	for _, set := range names {
		sets[set].table(w, set)
		if plots != "" {
			if err := sets[set].plot(filepath.Join(plots, "labels-"+set+".png"), set); err != nil {
				return err
			}
		}
	}
	return nil
}

// methods are the columns, in their order.
var methods = []struct{ name, title string }{
	{"knn", "DINO + k-NN"}, {"linear", "DINO + linear"}, {"finetune", "DINO + finetune"}, {"scratch", "from scratch"},
}

// cell is a place in the table.
type cell struct {
	share  string // of the labels, as run writes it
	method string
}

// scores are the top-1 of the seeds, per cent, and how many labels each had.
type scores struct {
	labels int
	top1   []float64
}

type results map[cell]*scores

// read adds the result in a file METHOD-SHARE-SEED.json: of knn one object, of the others one a line.
func (r results) read(path string) error {
	parts := strings.Split(strings.TrimSuffix(filepath.Base(path), ".json"), "-")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c := cell{parts[1], parts[0]}
	if r[c] == nil {
		r[c] = &scores{}
	}
	top1, labels, err := score(text)
	if err != nil {
		return err
	}
	r[c].top1, r[c].labels = append(r[c].top1, top1), labels
	return nil
}

// score finds the top-1 after the last epoch, and the number of labels, in what a command prints with --json.
func score(text []byte) (top1 float64, labels int, err error) {
	found := false
	for line := range bytes.Lines(text) {
		var v struct {
			Train  int // of knn
			Scores []struct{ Top1 float64 }
			Start  struct{ Images int } // of finetune
			Epoch  struct{ Score *struct{ Top1 float64 } }
			Result struct { // of linear
				Train int
				Last  []struct{ Top1 float64 }
			}
		}
		if err := json.Unmarshal(line, &v); err != nil {
			return 0, 0, err
		}
		labels = max(labels, v.Train, v.Start.Images, v.Result.Train)
		switch {
		case len(v.Scores) > 0:
			top1, found = v.Scores[0].Top1, true
		case v.Epoch.Score != nil:
			top1, found = v.Epoch.Score.Top1, true
		case len(v.Result.Last) > 0:
			top1, found = v.Result.Last[0].Top1, true
		}
	}
	if !found || labels == 0 {
		return 0, 0, fmt.Errorf("holds no score")
	}
	return top1, labels, nil
}

func (s *scores) mean() float64 {
	sum := 0.0
	for _, v := range s.top1 {
		sum += v
	}
	return sum / float64(len(s.top1))
}

func (s *scores) String() string {
	if len(s.top1) == 1 {
		return fmt.Sprintf("%.1f", s.top1[0])
	}
	return fmt.Sprintf("%.1f (%.1f–%.1f)", s.mean(), slices.Min(s.top1), slices.Max(s.top1))
}

// shares are the rows, from few labels to many.
func (r results) shares() []string {
	var list []string
	for c := range r {
		if !slices.Contains(list, c.share) {
			list = append(list, c.share)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		x, _ := strconv.ParseFloat(a, 64) // what is no number is first
		y, _ := strconv.ParseFloat(b, 64)
		return int(1e6*x) - int(1e6*y)
	})
	return list
}

func (r results) table(w io.Writer, set string) {
	fmt.Fprintf(w, "| %s: labels |", set)
	for _, m := range methods {
		fmt.Fprintf(w, " %s |", m.title)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---|", len(methods)))
	for _, share := range r.shares() {
		percent, labels := share, 0
		if v, err := strconv.ParseFloat(share, 64); err == nil {
			percent = fmt.Sprintf("%g %%", 100*v)
		}
		var cells []string
		for _, m := range methods {
			s := r[cell{share, m.name}]
			if s == nil {
				cells = append(cells, "–")
				continue
			}
			cells, labels = append(cells, s.String()), s.labels
		}
		fmt.Fprintf(w, "| %s (%d) | %s |\n", percent, labels, strings.Join(cells, " | "))
	}
	fmt.Fprintln(w)
}

// Okabe and Ito's colours, which colour-blind readers can tell apart, and shapes for those who see none.
var styles = []draw.GlyphStyle{
	{Color: color.RGBA{0, 114, 178, 255}, Shape: draw.CircleGlyph{}, Radius: vg.Points(3.5)},
	{Color: color.RGBA{0, 158, 115, 255}, Shape: draw.SquareGlyph{}, Radius: vg.Points(3)},
	{Color: color.RGBA{213, 94, 0, 255}, Shape: draw.TriangleGlyph{}, Radius: vg.Points(3.8)},
	{Color: color.RGBA{90, 90, 90, 255}, Shape: draw.CrossGlyph{}, Radius: vg.Points(3.2)},
}

// plot draws a line for each method over the number of labels, and bars from the lowest to the highest score of the seeds.
func (r results) plot(path, set string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "What labels are worth: "+set, "labels", "top-1 %"
	p.Title.Padding, p.BackgroundColor = vg.Points(6), color.White
	p.X.Scale = plot.LogScale{}
	p.Legend.Top, p.Legend.Left, p.Legend.Padding, p.Legend.XOffs = true, true, vg.Points(2), vg.Points(8)
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	var ticks plot.ConstantTicks
	known := map[int]bool{}
	for _, s := range r {
		if x := s.labels; !known[x] {
			known[x] = true
			ticks = append(ticks, plot.Tick{Value: float64(x), Label: fmt.Sprintf("%d", x)})
		}
	}
	p.X.Tick.Marker = ticks
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{230}, color.Gray{230}
	p.Add(grid)
	for i, m := range methods {
		var points struct {
			plotter.XYs
			plotter.YErrors
		}
		for _, share := range r.shares() {
			s := r[cell{share, m.name}]
			if s == nil {
				continue
			}
			// A little apart, so that bars do not hide each other.
			x := float64(s.labels) * (1 + 0.025*(float64(i)-1.5))
			points.XYs = append(points.XYs, plotter.XY{X: x, Y: s.mean()})
			points.YErrors = append(points.YErrors, struct{ Low, High float64 }{s.mean() - slices.Min(s.top1), slices.Max(s.top1) - s.mean()})
		}
		if len(points.XYs) == 0 {
			continue
		}
		line, marks, err := plotter.NewLinePoints(points.XYs)
		if err != nil {
			return err
		}
		bars, err := plotter.NewYErrorBars(points)
		if err != nil {
			return err
		}
		line.Color, bars.Color = styles[i].Color, styles[i].Color
		line.Width, marks.GlyphStyle = vg.Points(1.5), styles[i]
		p.Add(bars, line, marks)
		p.Legend.Add(m.title, line, marks)
	}
	p.Y.Min, p.Y.Max = 0, 10*math.Ceil(p.Y.Max/10)
	var percents plot.ConstantTicks
	for y := p.Y.Min; y <= p.Y.Max; y += 10 {
		percents = append(percents, plot.Tick{Value: y, Label: fmt.Sprintf("%g", y)})
	}
	p.Y.Tick.Marker = percents
	p.X.Min, p.X.Max = 0.8*p.X.Min, 1.25*p.X.Max
	canvas := vgimg.NewWith(vgimg.UseWH(7*vg.Inch, 4.5*vg.Inch), vgimg.UseDPI(150), vgimg.UseBackgroundColor(color.White))
	p.Draw(draw.New(canvas))
	return viz.WritePNG(path, canvas.Image())
}
