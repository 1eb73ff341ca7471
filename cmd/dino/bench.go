package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/godino-ml/godino/internal/measure"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

type benchCommand struct {
	Parts     []string `arg:"" optional:"" name:"part" help:"What to measure: bounds, products, heads, attention, rows, step, embed, pictures; all of it unless named."`
	Kernels   string   `group:"Machine" placeholder:"NAME" help:"Measure these kernels, such as avx2, or all that this CPU can run; the best unless given."`
	Device    string   `default:"cpu" group:"Machine" placeholder:"NAME" help:"cpu, or cuda or cuda:N for step and embed on that GPU."`
	Precision string   `default:"float32" group:"Machine" placeholder:"NAME" help:"float32, bf16, or tf32 on a GPU: what products, step and embed compute in."`
	Quick     bool     `group:"Run" help:"A few small sizes, in a few seconds."`
	JSON      bool     `name:"json" group:"Run" help:"Print one JSON object."`
}

func (*benchCommand) Help() string {
	return `Examples:
  dino bench
  dino bench products attention --kernels avx2
  dino bench step --precision bf16 --json

Measures how fast the engine is on this machine, beside what bounds it, on one thread and on all, in about two minutes: multiply-adds,
exponentials and memory alone; matrix products (NN, and NT and TN as gradients need them); attention; operations on rows; training steps;
features of images; and what the loader does for a JPEG. A rate is that of the best run, or of the median one for steps and features; a share
is of the bound measured just before. What a slow machine could not finish is left out, unless its part is named. Ctrl-C ends with what is
measured by then.`
}

// benchParts in the order in which they are measured.
var benchParts = []struct {
	name, title string
	measure     func(*benchRun)
}{
	{"bounds", "bounds: what the machine can do", (*benchRun).bounds},
	{"products", "matrix products, M×N×K", (*benchRun).products},
	{"heads", "products of attention unfused, count×M×N×K", (*benchRun).heads},
	{"attention", "attention, images, heads, tokens, dimensions a head", (*benchRun).attention},
	{"rows", "rows and elements, data beyond the second-level cache", (*benchRun).rows},
	{"step", "training step; share of the ceiling by operations done, then by those of the model as written", (*benchRun).step},
	{"embed", "features of images that are decoded; shares as above", (*benchRun).embed},
	{"pictures", "a 500×375 JPEG: decoded, cropped ten times and augmented, both", (*benchRun).pictures},
}

// benchResult is one figure.
type benchResult struct {
	Part       string  `json:"part"`
	Name       string  `json:"name"`
	Kernels    string  `json:"kernels,omitempty"`
	Threads    int     `json:"threads"`
	Seconds    float64 `json:"seconds,omitempty"` // of one run
	Rate       float64 `json:"rate"`
	Unit       string  `json:"unit"`
	Share      float64 `json:"share,omitempty"`       // of what bounds it
	ModelShare float64 `json:"model_share,omitempty"` // of the ceiling, counting the model's operations as it is written
	Slowest    float64 `json:"slowest_seconds,omitempty"`
	PeakBytes  int64   `json:"peak_bytes,omitempty"` // held at once by the process
	LeftOut    string  `json:"left_out,omitempty"`   // why it was not measured
}

// benchReport is what --json prints.
type benchReport struct {
	Machine     *findings     `json:"machine"`
	Precision   string        `json:"precision"`
	Quick       bool          `json:"quick"`
	Interrupted bool          `json:"interrupted"`
	Results     []benchResult `json:"results"`
}

// benchRun is a run under way.
type benchRun struct {
	ctx     context.Context
	t       *terminal
	c       *benchCommand
	out     io.Writer // rows as they come; nothing for --json
	tables  []*kernels.Table
	threads []int
	devices map[string]*tensor.Device
	long    time.Duration // for which a figure is measured

	gpu       *tensor.Device // nil for the CPU
	precision tensor.Precision
	part      string
	results   []benchResult
}

func (c *benchCommand) Run(ctx context.Context, t *terminal) error {
	names := make([]string, len(benchParts))
	for i, p := range benchParts {
		names[i] = p.name
	}
	for _, p := range c.Parts {
		if !slices.Contains(names, p) {
			return usageError("there is no part %q: choose from %s", p, strings.Join(names, ", "))
		}
	}
	b := &benchRun{ctx: ctx, t: t, c: c, out: t.out, threads: measure.Threads(), devices: map[string]*tensor.Device{}, long: 100 * time.Millisecond}
	if c.Quick {
		b.long = 5 * time.Millisecond
	}
	if c.JSON {
		b.out = io.Discard
	}
	if err := b.choose(); err != nil {
		return err
	}
	machine := examine()
	if b.gpu != nil {
		fmt.Fprintln(b.out, deviceText(b.gpu, c.Precision))
	}
	fmt.Fprintf(b.out, "%s, %s; kernels %s of %s; %s\n", machine.CPU, plural(machine.Cores, "core"), b.kernelNames(), strings.Join(machine.KernelsRun, ", "), c.Precision)
	for _, p := range benchParts {
		if ctx.Err() == nil && (len(c.Parts) == 0 || slices.Contains(c.Parts, p.name)) {
			b.part = p.name
			b.title(p.title)
			p.measure(b)
		}
	}
	b.status("")
	if c.JSON {
		return json.NewEncoder(t.out).Encode(benchReport{machine, c.Precision, c.Quick, ctx.Err() != nil, b.results})
	}
	if ctx.Err() != nil {
		fmt.Fprintln(t.out, "stopped")
	}
	return nil
}

// choose finds the kernels to measure and refuses a precision that they do not have.
func (b *benchRun) choose() error {
	switch b.c.Kernels {
	case "":
		b.tables = []*kernels.Table{kernels.Best()}
	case "all":
		b.tables = kernels.Tables()
	default:
		var names []string
		for _, t := range kernels.Tables() {
			names = append(names, t.Name)
			if t.Name == b.c.Kernels {
				b.tables = []*kernels.Table{t}
			}
		}
		if b.tables == nil {
			return usageError("--kernels %q: this CPU can run %s, or all", b.c.Kernels, strings.Join(names, ", "))
		}
	}
	var err error
	if b.precision, err = tensor.ParsePrecision(b.c.Precision); err != nil {
		return usageError("--precision %q: choose float32 or bf16", b.c.Precision)
	}
	if b.c.Device != "cpu" {
		return b.chooseGPU()
	}
	for _, t := range b.tables {
		if _, err := b.device(t, 1).WithPrecision(b.precision); err != nil {
			return usageError("--precision: %w", err)
		}
	}
	return nil
}

// chooseGPU is choose for a GPU.
func (b *benchRun) chooseGPU() error {
	dev, err := device(b.c.Device)
	if err != nil {
		return err
	}
	if dev.GPU() == nil {
		return nil // auto, without a GPU
	}
	if len(b.c.Parts) == 0 {
		b.c.Parts = []string{"step", "embed"}
	}
	for _, p := range b.c.Parts {
		if p != "step" && p != "embed" {
			return usageError("%s is not measured on a GPU: choose step or embed, or --device cpu", p)
		}
	}
	b.gpu, err = inPrecision(dev, b.c.Precision)
	b.tables, b.threads = b.tables[:1], []int{1}
	return err
}

func (b *benchRun) kernelNames() string {
	var names []string
	for _, t := range b.tables {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

// device is so many threads of that table, in float32; layers is the same in the precision asked for.
func (b *benchRun) device(t *kernels.Table, threads int) *tensor.Device {
	key := fmt.Sprint(t.Name, threads)
	if b.devices[key] == nil {
		b.devices[key] = tensor.NewCPU(t, threads)
	}
	return b.devices[key]
}

func (b *benchRun) layers(t *kernels.Table, threads int) *tensor.Device {
	if b.gpu != nil {
		return b.gpu
	}
	dev, err := b.device(t, threads).WithPrecision(b.precision)
	if err != nil {
		panic(err) // choose would have refused it
	}
	return dev
}

const (
	benchNameWidth = 38
	benchCellWidth = 31
)

// title begins a part's table.
func (b *benchRun) title(title string) {
	b.status("")
	fmt.Fprintf(b.out, "\n%s\n%-*s", title, benchNameWidth, "")
	for _, n := range b.threads {
		on := plural(n, "thread")
		if b.gpu != nil {
			on = b.c.Device
		}
		fmt.Fprintf(b.out, "%*s", benchCellWidth, on)
	}
	fmt.Fprintln(b.out)
}

// status says on a terminal what is being measured, in a line that the next one replaces.
func (b *benchRun) status(what string) {
	if !isTerminal(b.t.err) {
		return
	}
	if what != "" {
		what = "measuring " + what + " …"
	}
	fmt.Fprintf(b.t.err, "\r\x1b[K%s", what)
}

// row measures f for every number of threads and prints the results side by side. f is not called once the run has been interrupted.
func (b *benchRun) row(name string, table *kernels.Table, f func(threads int) benchResult) {
	label := name
	if table != nil && len(b.tables) > 1 {
		label = table.Name + " " + name
	}
	var cells []string
	for _, n := range b.threads {
		b.status(fmt.Sprintf("%s, %s", label, plural(n, "thread")))
		if b.ctx.Err() != nil {
			break
		}
		r := f(n)
		if b.ctx.Err() != nil && r.Rate == 0 {
			break
		}
		r.Part, r.Name, r.Threads = b.part, name, n
		if table != nil {
			r.Kernels = table.Name
		}
		b.results = append(b.results, r)
		cells = append(cells, r.cell())
	}
	b.status("")
	if len(cells) == 0 {
		return
	}
	fmt.Fprintf(b.out, "  %-*s", benchNameWidth-2, label)
	for _, c := range cells {
		fmt.Fprintf(b.out, "%*s", benchCellWidth, c)
	}
	fmt.Fprintln(b.out)
	if last := b.results[len(b.results)-1]; last.LeftOut != "" {
		fmt.Fprintf(b.out, "    left out: %s\n", last.LeftOut)
	}
}

func (r benchResult) cell() string {
	if r.LeftOut != "" {
		return "-"
	}
	digits := 0
	if r.Rate < 100 {
		digits = 1
	}
	s := fmt.Sprintf("%.*f %s", digits, r.Rate, r.Unit)
	if r.Share > 0 {
		s += fmt.Sprintf(" %3.0f %%", 100*r.Share)
	}
	if r.ModelShare > 0 {
		s += fmt.Sprintf(" %3.0f %%", 100*r.ModelShare)
	}
	return s
}

// best measures the rate in GFLOP/s of w's best run, and its share of the ceiling.
func (b *benchRun) best(dev *tensor.Device, w measure.Work) benchResult {
	ceiling := measure.Ceiling(dev)
	times := w.Times(b.ctx, b.long, 3)
	if len(times) == 0 {
		return benchResult{}
	}
	rate := w.FLOPs / float64(times[0].Nanoseconds())
	return benchResult{Seconds: times[0].Seconds(), Rate: rate, Unit: "GFLOP/s", Share: rate / ceiling}
}

func (b *benchRun) bounds() {
	for _, table := range kernels.Tables() {
		for _, p := range []tensor.Precision{tensor.Float32, tensor.BF16} {
			if _, err := b.device(table, 1).WithPrecision(p); err == nil {
				b.row(fmt.Sprintf("multiply-add, %s, %s", table.Name, p), nil, func(threads int) benchResult {
					dev, _ := b.device(table, threads).WithPrecision(p)
					return benchResult{Rate: measure.Ceiling(dev), Unit: "GFLOP/s"}
				})
			}
		}
	}
	for _, table := range b.tables {
		b.row("exponentials, first-level cache", table, func(threads int) benchResult {
			return benchResult{Rate: measure.NewBounds(b.device(table, threads)).Exp(), Unit: "G/s"}
		})
	}
	for _, level := range b.levels() {
		b.row(fmt.Sprintf("copying, %s a thread", bytesText(int64(level.Bytes))), nil, func(threads int) benchResult {
			bounds := measure.NewBounds(b.device(kernels.Best(), threads))
			return benchResult{Rate: bounds.Bandwidth(level).Copy, Unit: "GB/s"}
		})
	}
}

// levels are those of memory to measure in.
func (b *benchRun) levels() []measure.Level {
	if b.c.Quick {
		return measure.Levels[:1]
	}
	return measure.Levels
}

func (b *benchRun) products() {
	shapes := measure.Products
	if b.c.Quick {
		shapes = [][3]int{{128, 128, 128}, {65, 64, 65}}
	}
	for _, table := range b.tables {
		for _, s := range shapes {
			for _, f := range measure.Forms {
				b.row(fmt.Sprintf("%s %d×%d×%d", f.Name, s[0], s[1], s[2]), table, func(threads int) benchResult {
					dev := b.layers(table, threads)
					return b.best(dev, measure.Product(dev, f, s))
				})
			}
		}
	}
}

func (b *benchRun) heads() {
	shapes := measure.HeadProducts
	if b.c.Quick {
		shapes = [][4]int{{4, 37, 37, 64}}
	}
	for _, table := range b.tables {
		for _, s := range shapes {
			for _, f := range measure.Forms {
				b.row(fmt.Sprintf("%s %d×%d×%d×%d", f.Name, s[0], s[1], s[2], s[3]), table, func(threads int) benchResult {
					dev := b.device(table, threads)
					return b.best(dev, measure.BatchedProduct(dev, f, s))
				})
			}
		}
	}
}

func (b *benchRun) attention() {
	shapes := measure.Attentions
	if b.c.Quick {
		shapes = shapes[:1]
	}
	for _, table := range b.tables {
		for _, s := range shapes {
			for i, pass := range []string{"forward", "backward"} {
				b.row(fmt.Sprintf("%s %d, %d, %d, %d", pass, s.B, s.H, s.N, s.D), table, func(threads int) benchResult {
					dev := b.device(table, threads)
					forward, backward := measure.Attention(dev, s)
					return b.best(dev, []measure.Work{forward, backward}[i])
				})
			}
		}
	}
}

func (b *benchRun) rows() {
	level := measure.Levels[1]
	if b.c.Quick {
		level = measure.Levels[0]
	}
	for _, table := range b.tables {
		bounds := map[int]*measure.Bounds{}
		for _, n := range b.threads {
			bounds[n] = measure.NewBounds(b.device(table, n))
		}
		for _, o := range measure.RowOperations {
			b.row(o.Name, table, func(threads int) benchResult {
				bound := o.Bound(bounds[threads], level)
				w := o.Work(b.device(table, threads), level)
				times := w.Times(b.ctx, b.long, 3)
				if len(times) == 0 {
					return benchResult{}
				}
				rate := w.Bytes / float64(times[0].Nanoseconds())
				return benchResult{Seconds: times[0].Seconds(), Rate: rate, Unit: "GB/s", Share: rate / bound}
			})
		}
	}
}

func (b *benchRun) step() {
	shapes := measure.Steps[1:] // the one before is as the first of these, smaller
	if b.gpu != nil {
		shapes = slices.Clone(shapes)
		for i := range shapes {
			shapes[i].Config.BatchSize = 64
		}
	}
	if b.c.Quick {
		shapes = []measure.StepShape{measure.SmallStep}
	}
	for _, table := range b.tables {
		for _, s := range shapes {
			b.row(s.Name, table, func(threads int) benchResult {
				return b.median(b.layers(table, threads), s.ModelFLOPs(), func(dev *tensor.Device) (measure.Work, error) { return measure.Step(dev, s) })
			})
		}
	}
}

func (b *benchRun) embed() {
	shapes := measure.Embeds
	if b.c.Quick {
		shapes = []measure.EmbedShape{measure.SmallEmbed}
	}
	for _, table := range b.tables {
		for _, s := range shapes {
			b.row(s.Name, table, func(threads int) benchResult {
				return b.median(b.layers(table, threads), s.ModelFLOPs(), func(dev *tensor.Device) (measure.Work, error) { return measure.Embed(dev, s) })
			})
		}
	}
}

// median measures the rate in images a second of the median run of what prepare makes.
func (b *benchRun) median(dev *tensor.Device, modelFLOPs float64, prepare func(*tensor.Device) (measure.Work, error)) benchResult {
	const runs, patience = 3, 60 * time.Second
	ceiling := math.Inf(1) // of a GPU nobody knows it
	if b.gpu == nil {
		ceiling = measure.Ceiling(dev)
	}
	// Half of the ceiling is the least that is usual; one run more is the warm-up.
	if expected := time.Duration((runs + 1) * modelFLOPs / (0.5 * ceiling)); expected > patience && len(b.c.Parts) == 0 {
		return benchResult{Unit: "images/s", LeftOut: fmt.Sprintf("it would take about %s on %s; `dino bench %s` measures it", durationText(expected), plural(dev.Threads(), "thread"), b.part)}
	}
	alone := measure.ResetPeakMemory()
	w, err := prepare(dev)
	if err != nil {
		panic(err) // the shapes are ours
	}
	times := w.Times(b.ctx, 10*b.long, runs)
	if len(times) == 0 {
		return benchResult{}
	}
	took := measure.Median(times)
	r := benchResult{
		Seconds: took.Seconds(), Slowest: times[len(times)-1].Seconds(), Rate: float64(w.Images) / took.Seconds(), Unit: "images/s",
		Share: w.FLOPs / float64(took.Nanoseconds()) / ceiling, ModelShare: modelFLOPs / float64(took.Nanoseconds()) / ceiling,
	}
	if alone {
		r.PeakBytes = measure.PeakMemory()
	}
	return r
}

func (b *benchRun) pictures() {
	for i, name := range []string{"decode", "crops", "both"} {
		b.row(name, nil, func(threads int) benchResult {
			w := measure.PictureParts(threads)[i]
			times := w.Times(b.ctx, 5*b.long, 2)
			if len(times) == 0 {
				return benchResult{}
			}
			return benchResult{Seconds: times[0].Seconds(), Rate: float64(w.Images) / times[0].Seconds(), Unit: "images/s"}
		})
	}
}
