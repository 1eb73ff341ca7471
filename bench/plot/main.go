// Command plot draws the share of the multiply-add ceiling that matrix products reach, by shape: ours beside oneDNN and OpenBLAS, for NN, NT and TN,
// on one thread and on all. It reads files of benchmarks, as `go test -bench Gemm ./bench` and bench/peers/run print them:
//
//	go run ./bench/plot -o products.png after.txt peers.txt
//
// Where a file has a benchmark more than once, the best counts, as it does within one.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"image/color"
	"io"
	"os"
	"regexp"
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
	"github.com/godino-ml/godino/internal/measure"
)

func main() {
	out := flag.String("o", "products.png", "the picture to write")
	avx2 := flag.Bool("avx2", false, "draw the AVX2 kernels, beside OpenBLAS as Haswell and oneDNN held to AVX2")
	flag.Parse()
	if err := run(*out, *avx2, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(out string, avx2 bool, paths []string) error {
	if len(paths) == 0 {
		return fmt.Errorf("name the files of benchmarks to draw")
	}
	found := shares{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = found.read(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	lines := []line{{"godino, AVX-512", "avx512"}, {"oneDNN", "onednn"}, {"OpenBLAS", "openblas"}}
	if avx2 {
		lines = []line{{"godino, AVX2", "avx2"}, {"oneDNN, AVX2", "onednn-avx2"}, {"OpenBLAS, Haswell", "openblas-haswell"}}
	}
	return found.draw(out, lines)
}

// product is one benchmark of a matrix product.
type product struct {
	library string // of the kernels: avx512, onednn and so on
	threads int
	form    string // NN, NT or TN
	shape   string // M×N×K with an x between them
}

// shares are per cent of the ceiling.
type shares map[product]float64

// Names of our benchmarks, which end in the precision or in what the kernels were called before there was one, and of the peers'.
var names = regexp.MustCompile(`^Benchmark(?:Gemm/(\w+)/threads=(\d+)(?:/float32)?|Peer/([\w.-]+)/gemm/threads=(\d+))/(NN|NT|TN)/(\d+x\d+x\d+)(?:-\d+)?$`)

// read adds the products of a file of benchmarks.
func (s shares) read(r io.Reader) error {
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		fields := strings.Fields(scan.Text())
		if len(fields) < 4 {
			continue
		}
		m := names.FindStringSubmatch(fields[0])
		if m == nil {
			continue
		}
		threads, err := strconv.Atoi(m[2] + m[4])
		if err != nil {
			return err
		}
		p := product{m[1] + m[3], threads, m[5], m[6]}
		for i := 2; i+1 < len(fields); i += 2 { // after the name and the number of runs: pairs of figure and unit
			if fields[i+1] != "%ceiling" {
				continue
			}
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%s: %w", fields[0], err)
			}
			s[p] = max(s[p], v)
		}
	}
	return scan.Err()
}

// line is what one colour stands for.
type line struct{ label, library string }

// Okabe and Ito's colours, which colour-blind readers can tell apart, and shapes for those who see none.
var styles = []draw.GlyphStyle{
	{Color: color.RGBA{0, 114, 178, 255}, Shape: draw.CircleGlyph{}, Radius: vg.Points(3.2)},
	{Color: color.RGBA{213, 94, 0, 255}, Shape: draw.TriangleGlyph{}, Radius: vg.Points(3)},
	{Color: color.RGBA{0, 158, 115, 255}, Shape: draw.CrossGlyph{}, Radius: vg.Points(2.6)},
}

// draw writes a picture of a panel for each form, side by side, and a row of panels for each number of threads.
func (s shares) draw(out string, lines []line) error {
	shapes, threads := s.seen(lines)
	if len(shapes) == 0 {
		return fmt.Errorf("no products of %v in those files", lines)
	}
	var panels [][]*plot.Plot
	for _, n := range threads {
		var row []*plot.Plot
		for _, f := range measure.Forms {
			p, err := s.panel(f.Name, n, shapes, lines, len(row) == 0, len(panels) == len(threads)-1)
			if err != nil {
				return err
			}
			row = append(row, p)
		}
		panels = append(panels, row)
	}
	canvas := vgimg.NewWith(vgimg.UseWH(11*vg.Inch, vg.Length(len(threads))*4.4*vg.Inch), vgimg.UseDPI(130), vgimg.UseBackgroundColor(color.White))
	whole := draw.New(canvas)
	legend := plot.NewLegend()
	legend.Top, legend.XOffs = true, vg.Points(-8)
	legend.TextStyle.Font.Variant = "Sans"
	for i, l := range lines {
		legend.Add(l.label, &plotter.Scatter{GlyphStyle: styles[i]})
	}
	legend.Draw(whole)
	tiles := draw.Tiles{Rows: len(panels), Cols: len(panels[0]), PadTop: vg.Points(42), PadLeft: vg.Points(4), PadRight: vg.Points(10), PadX: vg.Points(6), PadY: vg.Points(8)}
	canvases := plot.Align(panels, tiles, whole)
	for i, row := range panels {
		for j, p := range row {
			p.Draw(canvases[i][j])
		}
	}
	return viz.WritePNG(out, canvas.Image())
}

// seen are the shapes, in the order in which they are measured, and the numbers of threads of those lines.
func (s shares) seen(lines []line) (shapes []string, threads []int) {
	known := map[string]bool{}
	for p := range s {
		if !slices.ContainsFunc(lines, func(l line) bool { return l.library == p.library }) {
			continue
		}
		known[p.shape] = true
		if !slices.Contains(threads, p.threads) {
			threads = append(threads, p.threads)
		}
	}
	slices.Sort(threads)
	for _, m := range measure.Products {
		if name := fmt.Sprintf("%dx%dx%d", m[0], m[1], m[2]); known[name] {
			shapes = append(shapes, name)
		}
	}
	return shapes, threads
}

// panel has a row for each shape, the first on top, and a mark for each line.
func (s shares) panel(form string, threads int, shapes []string, lines []line, first, last bool) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, %d threads", form, threads)
	if threads == 1 {
		p.Title.Text = form + ", 1 thread"
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 100, -0.6, float64(len(shapes))-0.4
	if last {
		p.X.Label.Text = "% of the multiply-add ceiling"
	}
	p.X.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "0"}, {Value: 20, Label: "20"}, {Value: 40, Label: "40"}, {Value: 60, Label: "60"}, {Value: 80, Label: "80"}, {Value: 100, Label: "100"}}
	var ticks plot.ConstantTicks
	for i, name := range shapes {
		label := ""
		if first {
			label = strings.ReplaceAll(name, "x", "×")
		}
		ticks = append(ticks, plot.Tick{Value: float64(len(shapes) - 1 - i), Label: label})
		if label == "" {
			ticks[i].Label = " " // a grid line, without a name
		}
	}
	p.Y.Tick.Marker = ticks
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = "Sans"
	}
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = vg.Points(8), vg.Points(8)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{225}, color.Gray{238}
	p.Add(grid)
	for i, l := range slices.Backward(lines) { // ours on top
		var points plotter.XYs
		for j, shape := range shapes {
			if v, ok := s[product{l.library, threads, form, shape}]; ok {
				points = append(points, plotter.XY{X: min(v, 100), Y: float64(len(shapes) - 1 - j)})
			}
		}
		if len(points) == 0 {
			continue
		}
		marks, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		marks.GlyphStyle = styles[i]
		p.Add(marks)
	}
	return p, nil
}
