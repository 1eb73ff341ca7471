package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/internal/shapes"
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/tensor"
)

// tiny is a run of 2 epochs of 4 steps on drawn pictures. One class has a name that a page must not take for markup.
func tiny(t *testing.T) dino.Options {
	c := dino.Reference()
	c.Arch, c.PatchSize = "vit:dim=32,depth=2,heads=2", 4
	c.GlobalCropsSize, c.LocalCropsSize, c.LocalCropsNumber, c.Blur = 16, 8, 2, false
	c.OutDim, c.HeadHiddenDim, c.HeadBottleneckDim = 48, 32, 16
	c.BatchSize, c.Epochs, c.WarmupEpochs, c.LR, c.Seed = 8, 2, 0.5, 0.02, 3
	classes := slices.Clone(shapes.Classes)
	classes[0] = `<script>alert("x")</script>`
	labels := make([]int, 40)
	for i := range labels {
		labels[i] = shapes.Class(i)
	}
	ds := dataset.FromFunc("drawn", len(labels), classes, labels, func(i int) (*dataset.RGB, error) {
		return dataset.FromImage(shapes.Picture(1, i, 20)), nil
	})
	return dino.Options{Config: c, OutputDir: filepath.Join(t.TempDir(), "run"), Train: ds, HoldOut: 0.2, Workers: 2, Device: tensor.NewCPU(kernels.Best(), 2)}
}

// train runs with a recorder and returns what it complained of.
func train(t *testing.T, o dino.Options, ro Options) (complaints []error) {
	t.Helper()
	run, err := dino.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	ro.OnError = func(err error) { complaints = append(complaints, err) }
	rec := NewRecorder(run, ro)
	if err := run.Run(context.Background(), rec.Events(dino.Events{})); err != nil {
		t.Fatal(err)
	}
	rec.Finish(nil)
	return complaints
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func weightsOf(t *testing.T, o dino.Options) []float32 {
	t.Helper()
	tr, _, err := dino.LoadTrainer(o.Device, filepath.Join(o.OutputDir, dino.CheckpointName))
	if err != nil {
		t.Fatal(err)
	}
	var all []float32
	for _, p := range tr.Teacher.Params() {
		all = append(all, p.Value.Data()...)
	}
	return all
}

var (
	source = regexp.MustCompile(`(?:src|href|url|action|data)\s*[=(]\s*["']?([^"'>]{0,30})`)
	notes  = regexp.MustCompile(`Missing: [^<]*`)
)

func TestRecorder(t *testing.T) {
	o := tiny(t)
	if c := train(t, o, Options{Version: "test 1", TensorBoard: true}); len(c) > 0 {
		t.Fatal(c)
	}
	page := readFile(t, o.OutputDir, PageName)
	for _, m := range source.FindAllStringSubmatch(html.UnescapeString(page), -1) {
		if !strings.HasPrefix(m[1], "data:image/png;base64,") && !strings.HasPrefix(m[1], "data:image/svg+xml;base64,") {
			t.Errorf("the page asks for %q", m[0])
		}
	}
	if n := strings.Count(page, "data:image/svg"); n != 11 {
		t.Errorf("%d charts, want 11", n)
	}
	for _, w := range []string{"done ·", "test 1", "default-src 'none'", "attention after 2 epochs", "patch features after 2 epochs", "untrained", "Worst mistakes", "augmented crops", "local_crops_number <b>2</b>", "kernels"} {
		if !strings.Contains(page, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
	for _, w := range []string{"<script", "%!", "ZgotmplZ", "Missing:", "<no value>", "could not be read"} {
		if i := strings.Index(page, w); i >= 0 {
			t.Errorf("the page has %q: …%.200s", w, page[i:])
		}
	}
	if !strings.Contains(page, "&lt;script&gt;") {
		t.Error("no class of that name is on the page: the test is empty")
	}
	if _, err := Write(o.OutputDir); err != nil {
		t.Fatal(err)
	}
	if again := readFile(t, o.OutputDir, PageName); again != page {
		t.Error("the page made again from the files is another")
	}
	events, err := filepath.Glob(filepath.Join(o.OutputDir, TensorBoardName, "events*"))
	if err != nil || len(events) != 1 || strings.Count(readFile(t, events[0]), "loss/kl") != 8 || strings.Count(readFile(t, events[0]), "knn/top1") != 3 {
		t.Errorf("event files %v of other than 8 steps and 3 evaluations, %v", events, err)
	}

	// What the run learns is the same without a recorder.
	plain := tiny(t)
	run, err := dino.Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if err := run.Run(context.Background(), dino.Events{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(weightsOf(t, o), weightsOf(t, plain)) {
		t.Error("the recorder changed the weights")
	}
}

// A report that cannot be written, and one that panics, cost warnings alone.
func TestRecorderFails(t *testing.T) {
	o := tiny(t)
	if err := os.MkdirAll(o.OutputDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{partsName, TensorBoardName} { // files where folders should be
		if err := os.WriteFile(filepath.Join(o.OutputDir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if c := train(t, o, Options{TensorBoard: true}); len(c) == 0 {
		t.Error("no complaint")
	}
	var said []error
	r := &Recorder{o: Options{OnError: func(err error) { said = append(said, err) }}}
	r.guard(func() error { var m map[int]int; m[1] = 1; return nil })
	if len(said) != 1 {
		t.Errorf("a panic gives %v", said)
	}
}

// lines are a log of n steps, 4 an epoch.
func lines(n int, more ...string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"event":"step","epoch":%d,"step":%d,"loss":%d,"ln_k":9,"images_per_s":50}`+"\n", i/4, i, i%7)
		if i%4 == 3 {
			fmt.Fprintf(&b, `{"event":"epoch","epoch":%d,"step":%d,"loss":3}`+"\n", i/4, i+1)
		}
	}
	return b.String() + strings.Join(more, "")
}

func writeLog(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, dino.LogName), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A run of before there were reports: each part says why it is missing, and the collapse in its log is named.
func TestOldRun(t *testing.T) {
	dir := t.TempDir()
	if _, err := Write(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "holds no run") {
		t.Errorf("an empty folder: %v", err)
	}
	collapse := `{"event":"warning","kind":"collapse","epoch":2,"step":8,"message":"uniform collapse: lower teacher_temp"}` + "\n"
	writeLog(t, dir, lines(8, collapse))
	page := func() string {
		t.Helper()
		if _, err := Write(dir); err != nil {
			t.Fatal(err)
		}
		return readFile(t, dir, PageName)
	}
	p := page()
	if got := notes.FindAllString(p, -1); len(got) != 9 {
		t.Errorf("missing are %q, want k-NN, rank, attention, colours, neighbours, mistakes, crops, settings, machine", got)
	}
	alarm := strings.Index(p, `class="alarm" id="collapse"`)
	if alarm < 0 || alarm > strings.Index(p, "<figure") || !strings.Contains(p, "lower teacher_temp") {
		t.Error("the collapse is not named on top with its remedy")
	}
	writeLog(t, dir, lines(8, collapse)+strings.TrimPrefix(lines(12), lines(8)))
	if p := page(); strings.Contains(p, `class="alarm"`) || !strings.Contains(p, "There was a collapse") {
		t.Error("an epoch without collapse later, the page does not say that it is over")
	}
	if err := os.Mkdir(filepath.Join(dir, partsName), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part(dir, mistakesName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := page(); !strings.Contains(p, "could not be read") || !strings.Contains(p, mistakesName) {
		t.Error("a damaged part is not named")
	}
}

func TestLogFollows(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, lines(5)+`{"event":"st`)
	log, err := ReadLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, steps, epochs int) {
		t.Helper()
		if log.LastStep == nil || log.LastStep.Step != steps-1 || len(log.Epochs) != epochs {
			t.Errorf("%s: last step %+v, %d epochs, want step %d, %d epochs", what, log.LastStep, len(log.Epochs), steps-1, epochs)
		}
		n := 0
		for _, s := range log.steps.spans {
			n += s.steps
		}
		if n != steps {
			t.Errorf("%s: %d steps in the curves, want %d", what, n, steps)
		}
	}
	check("half a line", 5, 1)
	for _, n := range []int{9, 9, 6, 30, 29} { // grown, the same, cut
		writeLog(t, dir, lines(n))
		if err := log.Update(); err != nil {
			t.Fatal(n, err)
		}
		check(fmt.Sprintf("then %d", n), n, n/4)
	}
	// Cut to step 10 and grown beyond where it was read to, by longer lines.
	writeLog(t, dir, lines(10)+strings.ReplaceAll(strings.TrimPrefix(lines(28), lines(10)), `"ln_k":9`, `"ln_k":9.00000000000`))
	if err := log.Update(); err != nil {
		t.Fatal(err)
	}
	check("cut and grown", 28, 7)
	writeLog(t, dir, lines(28)) // shorter
	if err := log.Update(); err != nil {
		t.Fatal(err)
	}
	// The same with a line that begins where the reading stopped.
	room := len(lines(28)) - len(lines(5))
	writeLog(t, dir, "{"+strings.Repeat(" ", room)+lines(5)[1:]+strings.TrimPrefix(lines(7), lines(5)))
	if err := log.Update(); err != nil {
		t.Fatal(err)
	}
	check("cut and grown at a line", 7, 1)
	writeLog(t, dir, "{no\n")
	if err := func() error { _, err := ReadLog(dir); return err }(); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a damaged log: %v", err)
	}
}

// However many steps: a bounded number of spans, whose means are those of all steps.
func TestCourse(t *testing.T) {
	const n = 10*mostSpans + 37
	var c course
	var want float64
	for i := range n {
		s := dino.StepStats{Step: i, Loss: float64(i * i % 11)}
		want += s.Loss
		c.add(&s)
	}
	c.add(&dino.StepStats{Step: n, Skipped: "x"})
	var got float64
	steps := 0
	for _, s := range c.spans {
		got += s.sum[loss]
		steps += s.steps
	}
	if got != want || steps != n || len(c.spans) > mostSpans || len(c.spans) < mostSpans/2 {
		t.Errorf("%d spans of %d steps, sum %g; want %d steps, sum %g", len(c.spans), steps, got, n, want)
	}
	x, _ := c.curve(loss, 2)
	if !slices.IsSorted(x) || x[0] < 0.5 || x[len(x)-1] > n/2 {
		t.Errorf("x from %g to %g", x[0], x[len(x)-1])
	}
}

func TestSpread(t *testing.T) {
	of := func(classes []string, labels ...int) *dataset.Dataset {
		return dataset.FromFunc("", len(labels), classes, labels, nil)
	}
	three := []string{"a", "b", "c"}
	for _, c := range []struct {
		ds   *dataset.Dataset
		n    int
		want []int
	}{
		{of(three, 0, 0, 0, 1, 1, 2), 3, []int{0, 3, 5}},
		{of(three, 0, 0, 0, 1, 1, 2), 5, []int{0, 1, 3, 4, 5}},
		{of(three, 0, 0, 0, 1, 1, 2), 9, []int{0, 1, 2, 3, 4, 5}},
		{of(nil, -1, -1, -1, -1), 2, []int{1, 3}},
		{of(three[:1], 0, 0, 0, 0), 2, []int{1, 3}},
		{of([]string{"a", "b", "c", "d", "e"}, 0, 1, 2, 3, 4), 3, []int{0, 2, 4}},
		{of(three, 0, -1, 1, -1), 4, []int{0, 2}},
		{of(nil), 2, nil},
	} {
		if got := spread(c.ds, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%d of %v: %v, want %v", c.n, c.ds.Len(), got, c.want)
		}
	}
	if got := some([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 4); !slices.Equal(got, []int{0, 3, 6, 9}) {
		t.Error(got)
	}
}

func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, lines(7, `{"event":"epoch","epoch":1,"step":8,"bad_files":2,"knn":{"top1":41.5,"top5":80,"pixels":30}}`+"\n"))
	log, err := ReadLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	writeMetrics(&b, log)
	text := b.String()
	for _, w := range []string{"\ndino_steps 7\n", "\ndino_epochs 2\n", "\ndino_bad_images 2\n", "\ndino_knn_top1_percent 41.5\n", "\ndino_knn_pixels_top1_percent 30\n", "\ndino_loss 6\n"} {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
	shape := regexp.MustCompile(`\A(# HELP (dino_[a-z0-9_]+) [^\n]+\n# TYPE dino_[a-z0-9_]+ gauge\ndino_[a-z0-9_]+ [-+0-9.e]+\n)+\z`)
	if !shape.MatchString(text) || strings.Contains(text, "untrained") {
		t.Errorf("not the text format, or a number that is not there:\n%s", text)
	}
	b.Reset()
	writeMetrics(&b, &Log{})
	if !shape.MatchString(b.String()) {
		t.Errorf("before the first step:\n%s", b.String())
	}
}

// Old parts of a run that was never saved do not show in the next one.
func TestRemoveParts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, partsName), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{recordName(attentionPrefix, 7), recordName(coloursPrefix, 8), mistakesName, "mine.txt", "attention-7.png"} {
		if err := os.WriteFile(part(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeParts(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, partsName))
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"attention-7.png", "mine.txt"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// When a collapse is told of, the page names it already.
func TestRecorderNamesCollapse(t *testing.T) {
	o := tiny(t)
	c := &o.Config
	c.WarmupTeacherTemp, c.TeacherTemp, c.WarmupEpochs, c.Epochs, c.OutDim, c.FreezeLastLayer, c.LR, c.KNNFreq = 5, 5, 0, 3, 256, 0, 0.1, 0
	o.OnCollapse = dino.StopOnCollapse
	run, err := dino.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	rec := NewRecorder(run, Options{OnError: func(err error) { t.Error(err) }})
	told := false
	err = run.Run(context.Background(), rec.Events(dino.Events{Warning: func(w dino.Warning) {
		if w.Kind == "collapse" {
			told = true
			if page := readFile(t, o.OutputDir, PageName); !strings.Contains(page, `class="alarm" id="collapse"`) || !strings.Contains(page, "Lower teacher_temp") {
				t.Error("the page does not name the collapse")
			}
		}
	}}))
	rec.Finish(err)
	if !told || !errors.Is(err, dino.ErrCollapsed) {
		t.Fatalf("told %v, ended with %v", told, err)
	}
	if page := readFile(t, o.OutputDir, PageName); !strings.Contains(page, "stopped: collapsed") {
		t.Error("the page does not say how the run ended")
	}
}
