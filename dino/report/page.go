package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/dino/viz"
	"github.com/godino-ml/godino/nn/weights"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"add": func(a, b int) int { return a + b }, "value": func(v *float64) float64 { return *v }, "percent": func(v float64) float64 { return 100 * v }, "join": strings.Join,
}).Parse(pageText))

// page is what page.html shows.
type page struct {
	Title  string
	Live   bool
	About  *about // nil of a run without report/
	Last   *dino.StepStats
	Latest *dino.EpochStats // the last with k-NN; nil without
	// Collapse is the last that was named, and Recovered whether a later epoch was none.
	Collapse  *dino.Warning
	Recovered bool
	Warnings  []dino.Warning

	Charts, Course []chart
	Crops, Fixed   template.URL // "" if there is none
	Attention      []column
	Colours        []column
	Queries, First *[]likeness
	Mistakes       *[]likeness
	Epochs         []dino.EpochStats
	Settings       []setting
	// Problems are the parts that could not be read.
	Problems []string
}

type chart struct {
	Title   string
	Picture template.URL
	Missing string // why there is no picture
}

type column struct {
	Epochs  int
	Picture template.URL
}

type setting struct{ Name, Value string }

// Picture is the drawing for the page.
func (l likeness) Picture() template.URL { return dataURL("image/png", l.PNG) }

func dataURL(kind string, data []byte) template.URL {
	if len(data) == 0 {
		return ""
	}
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data))
}

// Write makes the page of the run in dir again, from its files, and returns its path. What an old run does not have, the page says.
func Write(dir string) (string, error) {
	log, err := ReadLog(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s holds no run: it has no %s: %w", dir, dino.LogName, fs.ErrNotExist)
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, PageName), write(dir, log)
}

func write(dir string, log *Log) error {
	var b bytes.Buffer
	if err := render(&b, dir, log, false); err != nil {
		return err
	}
	return weights.AtomicWrite(filepath.Join(dir, PageName), func(w io.Writer) error { _, err := w.Write(b.Bytes()); return err })
}

// render writes the page of a run. A part that cannot be read is left out and named.
func render(w io.Writer, dir string, log *Log, live bool) error {
	name := dir
	if path, err := filepath.Abs(dir); err == nil {
		name = filepath.Base(path)
	}
	p := &page{Title: name, Live: live, Last: log.LastStep, Warnings: log.Warnings, Epochs: log.Epochs}
	note := func(err error) {
		if err != nil {
			p.Problems = append(p.Problems, err.Error())
		}
	}
	for i := range log.Epochs {
		if log.Epochs[i].KNN != nil {
			p.Latest = &log.Epochs[i]
		}
	}
	if n := len(log.Collapses); n > 0 {
		p.Collapse = &log.Collapses[n-1]
		p.Recovered = len(log.Epochs) > 0 && log.Epochs[len(log.Epochs)-1].Step > p.Collapse.Step
	}
	p.Charts, p.Course = charts(log)
	var err error
	p.About, err = readJSON[about](dir, aboutName)
	note(err)
	picture := func(name string) template.URL {
		data, err := readPart(dir, name)
		note(err)
		return dataURL("image/png", data)
	}
	p.Crops, p.Fixed = picture(cropsName), picture(picturesName)
	for prefix, columns := range map[string]*[]column{attentionPrefix: &p.Attention, coloursPrefix: &p.Colours} {
		epochs, err := recordedEpochs(dir, prefix)
		note(err)
		for _, n := range some(epochs, recordsOnAPage) {
			*columns = append(*columns, column{n, picture(recordName(prefix, n))})
		}
	}
	for part, list := range map[string]**[]likeness{neighboursName: &p.Queries, untrainedName: &p.First, mistakesName: &p.Mistakes} {
		*list, err = readJSON[[]likeness](dir, part)
		note(err)
	}
	p.Settings, err = settings(dir)
	note(err)
	slices.Sort(p.Problems)
	return pageTemplate.Execute(w, p)
}

// settings are those of config.json, by name.
func settings(dir string) ([]setting, error) {
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	var list []setting
	for name, v := range values {
		var short bytes.Buffer
		if err := json.Compact(&short, v); err != nil {
			return nil, err
		}
		list = append(list, setting{name, strings.Trim(short.String(), `"`)})
	}
	slices.SortFunc(list, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// charts are the two that answer whether a run is well, and those of its course.
func charts(log *Log) (main, course []chart) {
	perEpoch := log.stepsPerEpoch()
	xlabel := "epoch"
	if perEpoch == 0 {
		xlabel = "step"
	}
	ofSteps := func(name string, f figure) viz.Series {
		x, y := log.steps.curve(f, perEpoch)
		return viz.Series{Name: name, X: x, Y: y}
	}
	draw := func(title, x, y string, series ...viz.Series) chart {
		if len(series[0].X) == 0 {
			return chart{Title: title, Missing: "nothing of it is in the log yet"}
		}
		svg, err := viz.CurvesSVG(title, x, y, series...)
		if err != nil {
			return chart{Title: title, Missing: err.Error()}
		}
		return chart{Title: title, Picture: dataURL("image/svg+xml", svg)}
	}
	main = append(main, draw("Loss and the teacher's entropy", xlabel, "nats",
		ofSteps("loss", loss), ofSteps("teacher entropy", entropy), viz.Level("ln K", log.steps.lnK)))

	knn, rank := viz.Series{Name: "trained"}, viz.Series{Name: "effective rank"}
	levels := map[string]float64{}
	for _, e := range log.Epochs {
		if k := e.KNN; k != nil {
			knn.X, knn.Y = append(knn.X, float64(e.Epoch+1)), append(knn.Y, k.Top1)
			rank.X, rank.Y = append(rank.X, float64(e.Epoch+1)), append(rank.Y, k.EffectiveRank)
			if k.Pixels != nil {
				levels["raw pixels"] = *k.Pixels
			}
			if k.Untrained != nil {
				levels["untrained"] = *k.Untrained
			}
		}
	}
	series := []viz.Series{knn}
	for _, name := range []string{"raw pixels", "untrained"} {
		if v, ok := levels[name]; ok {
			series = append(series, viz.Level(name, v))
		}
	}
	k := draw("k-NN on pictures not trained on", "epoch", "top-1 %", series...)
	if len(knn.X) == 0 {
		k.Missing = "the run was not judged by k-NN: it needs class folders and held-out images (--val_path or --val_share), and --knn_freq above 0"
	}
	main = append(main, k)

	r := draw("Effective rank of the features", "epoch", "directions", rank)
	if len(rank.X) == 0 {
		r.Missing = "it is measured with k-NN, which the run was not"
	}
	course = []chart{
		draw("KL(t‖s): what the student has yet to learn", xlabel, "nats", ofSteps("KL", kl)), r,
		draw("Norm of the centre", xlabel, "‖c‖", ofSteps("centre", centerNorm)),
		draw("Prototypes used in a batch", xlabel, "outputs", ofSteps("prototypes", prototypes)),
		draw("Learning rate", xlabel, "lr", ofSteps("lr", learningRate)),
		draw("Momentum of the teacher", xlabel, "momentum", ofSteps("momentum", momentum)),
		draw("Temperature of the teacher", xlabel, "temperature", ofSteps("temperature", teacherTemp)),
		draw("Norm of the gradients before clipping", xlabel, "|g|", ofSteps("gradients", gradNorm)),
		draw("Speed", xlabel, "images/s", ofSteps("images/s", speed)),
	}
	return main, course
}
