package viz

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Series is one curve, or a level made by Level.
type Series struct {
	Name  string
	X, Y  []float64 // of the same length; a point that is not finite breaks the line
	level bool
}

// Level is a horizontal dashed line to compare curves with: ln K, the untrained network, raw pixels.
func Level(name string, y float64) Series {
	return Series{Name: name, Y: []float64{y}, level: true}
}

// seriesColours are Okabe and Ito's, which colour-blind readers can tell apart.
var seriesColours = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}}

// Curves draws series over one x axis into a PNG of 1200×750 pixels.
func Curves(path, title, xlabel, ylabel string, series ...Series) error {
	c, err := newChart(title, xlabel, ylabel, series)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	// 8×5 inches at 150 pixels an inch.
	canvas := vgimg.NewWith(vgimg.UseWH(8*vg.Inch, 5*vg.Inch), vgimg.UseDPI(150), vgimg.UseBackgroundColor(color.White))
	c.draw(draw.New(canvas))
	return WritePNG(path, canvas.Image())
}

// CurvesSVG draws series over one x axis as an SVG document of 6×3.2 inches.
func CurvesSVG(title, xlabel, ylabel string, series ...Series) ([]byte, error) {
	c, err := newChart(title, xlabel, ylabel, series)
	if err != nil {
		return nil, fmt.Errorf("chart %q: %w", title, err)
	}
	canvas := vgsvg.New(6*vg.Inch, 3.2*vg.Inch)
	c.draw(draw.New(canvas))
	var b bytes.Buffer
	_, err = canvas.WriteTo(&b)
	return b.Bytes(), err
}

// chart is a plot with its legend, which is drawn beside it: inside it would hide curves.
type chart struct {
	plot   *plot.Plot
	legend plot.Legend
	single bool // one curve, which the title names
}

func newChart(title, xlabel, ylabel string, series []Series) (*chart, error) {
	c := &chart{plot: plot.New(), legend: plot.NewLegend(), single: len(series) == 1}
	p, legend := c.plot, &c.legend
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, xlabel, ylabel
	p.Title.Padding = vg.Points(6)
	p.BackgroundColor = color.White
	legend.Top, legend.YOffs, legend.XOffs, legend.Padding = true, vg.Points(-28), vg.Points(-6), vg.Points(2)
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle,
		&p.X.Tick.Label, &p.Y.Tick.Label, &legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{230}, color.Gray{230}
	p.Add(grid)

	low, high, points := math.Inf(1), math.Inf(-1), 0
	for _, s := range series {
		if !s.level && len(s.X) != len(s.Y) {
			return nil, fmt.Errorf("curve %q has %d x and %d y", s.Name, len(s.X), len(s.Y))
		}
		for i, x := range s.X {
			if finite(x) && finite(s.Y[i]) {
				low, high = math.Min(low, x), math.Max(high, x)
				points++
			}
		}
	}
	if points == 0 {
		return nil, errors.New("no point to draw")
	}
	for i, s := range series {
		colour := seriesColours[i%len(seriesColours)]
		var err error
		if s.level {
			err = addLevel(p, legend, s, low, high, colour)
		} else {
			err = addCurve(p, legend, s, colour)
		}
		if err != nil {
			return nil, fmt.Errorf("curve %q: %w", s.Name, err)
		}
	}
	room := 0.06 * (p.Y.Max - p.Y.Min)
	p.Y.Min, p.Y.Max = p.Y.Min-room, p.Y.Max+room
	p.X.Max += 0.02 * (p.X.Max - p.X.Min)
	return c, nil
}

func (c *chart) draw(whole draw.Canvas) {
	if c.single {
		c.plot.Draw(whole)
		return
	}
	c.plot.Draw(draw.Crop(whole, 0, -c.legend.Rectangle(whole).Size().X-vg.Points(12), 0, 0))
	c.legend.Draw(whole)
}

func addLevel(p *plot.Plot, legend *plot.Legend, s Series, low, high float64, colour color.Color) error {
	if !finite(s.Y[0]) {
		return fmt.Errorf("a level of %v", s.Y[0])
	}
	line, err := plotter.NewLine(plotter.XYs{{X: low, Y: s.Y[0]}, {X: high, Y: s.Y[0]}})
	if err != nil {
		return err
	}
	line.Color, line.Width = colour, vg.Points(1)
	line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	p.Add(line)
	legend.Add(fmt.Sprintf("%s (%.4g)", s.Name, s.Y[0]), line)
	return nil
}

func addCurve(p *plot.Plot, legend *plot.Legend, s Series, colour color.Color) error {
	named := false
	var run plotter.XYs
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		line, err := plotter.NewLine(run)
		if err != nil {
			return err
		}
		line.Color, line.Width = colour, vg.Points(1.5)
		p.Add(line)
		if len(run) <= 60 { // few enough for each to be seen, and a run of one point is no line
			dots, err := plotter.NewScatter(run)
			if err != nil {
				return err
			}
			dots.Color, dots.Shape, dots.Radius = colour, draw.CircleGlyph{}, vg.Points(2)
			p.Add(dots)
		}
		if !named {
			legend.Add(s.Name, line)
			named = true
		}
		run = nil
		return nil
	}
	for i, x := range s.X {
		if finite(x) && finite(s.Y[i]) {
			run = append(run, plotter.XY{X: x, Y: s.Y[i]})
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return flush()
}

// ticks are four to ten labelled marks at multiples of 1, 2 or 5 times a power of ten.
func ticks(low, high float64) []plot.Tick {
	if !(high > low) {
		return []plot.Tick{{Value: low, Label: strconv.FormatFloat(low, 'g', 6, 64)}}
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(m*step) >= 4 {
			step *= m
			break
		}
	}
	var marks []plot.Tick
	first := math.Ceil(low / step)
	for i := range 12 { // bounded: far from zero, adding 1 may change nothing
		v := (first + float64(i)) * step
		if v > high {
			break
		}
		marks = append(marks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return marks
}

func finite(v float64) bool { return v-v == 0 }
