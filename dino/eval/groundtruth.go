package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/nlpodyssey/gopickle/types"

	"github.com/godino-ml/godino/internal/pickle"
)

// MaxGroundTruth is the longest ground-truth file read, in bytes; that of a million distractors has 25 MB.
const MaxGroundTruth = pickle.MaxProgram

// GroundTruth says which images a search for each query should find.
type GroundTruth struct {
	Images  []string // names of the images that are searched, as the file gives them: with or without folder and ending
	Queries []Query
}

// Query is one search. Easy, Hard and Junk index Images.
type Query struct {
	Image            string
	Box              *[4]float64 // left, top, right, bottom in pixels: the part of the image that is meant; nil for all of it
	Easy, Hard, Junk []int
}

// ReadGroundTruth reads a gnd_*.pkl of the revisited sets, or our JSON form:
//
//	{"images": ["a.jpg", "b.jpg"],
//	 "queries": [{"image": "q.jpg", "box": [10, 20, 300, 400], "easy": ["a.jpg"], "hard": [], "junk": ["b.jpg"]}]}
//
// A pickle is a program; only one that makes plain data, and arrays of numpy, is run.
func ReadGroundTruth(p []byte) (*GroundTruth, error) {
	read := readGroundTruthPickle
	if bytes.HasPrefix(bytes.TrimLeft(p, " \t\r\n"), []byte("{")) {
		read = readGroundTruthJSON
	}
	g, err := read(p)
	if err != nil {
		return nil, err
	}
	if len(g.Images) == 0 || len(g.Queries) == 0 {
		return nil, fmt.Errorf("a ground truth of %d images and %d queries", len(g.Images), len(g.Queries))
	}
	for _, name := range g.Images {
		if err := plainName(name); err != nil {
			return nil, err
		}
	}
	for i, q := range g.Queries {
		if err := plainName(q.Image); err != nil {
			return nil, fmt.Errorf("query %d: %w", i, err)
		}
		for _, list := range [][]int{q.Easy, q.Hard, q.Junk} {
			for _, j := range list {
				if j < 0 || j >= len(g.Images) {
					return nil, fmt.Errorf("query %d (%.80s): image number %d; there are %d", i, q.Image, j, len(g.Images))
				}
			}
		}
		if b := q.Box; b != nil && !(b[0] < b[2] && b[1] < b[3] && b[0] > -1e6 && b[1] > -1e6 && b[2] < 1e6 && b[3] < 1e6) {
			return nil, fmt.Errorf("query %d (%.80s): the box %v is none: left, top, right, bottom in pixels", i, q.Image, *b)
		}
	}
	return g, nil
}

// plainName refuses names that would lead out of the image folder.
func plainName(name string) error {
	if name == "" || len(name) > 1024 || strings.ContainsAny(name, "\x00\\") || path.IsAbs(name) || slices.Contains(strings.Split(name, "/"), "..") {
		return fmt.Errorf("%.80q is no name of an image", name)
	}
	return nil
}

func readGroundTruthJSON(p []byte) (*GroundTruth, error) {
	var file struct {
		Images  []string `json:"images"`
		Queries []struct {
			Image string    `json:"image"`
			Box   []float64 `json:"box"`
			Easy  []string  `json:"easy"`
			Hard  []string  `json:"hard"`
			Junk  []string  `json:"junk"`
		} `json:"queries"`
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, fmt.Errorf("ground truth: %w", err)
	}
	number := make(map[string]int, len(file.Images))
	for i, name := range file.Images {
		if _, twice := number[name]; twice {
			return nil, fmt.Errorf("ground truth: the image %.80q is listed twice", name)
		}
		number[name] = i
	}
	g := &GroundTruth{Images: file.Images}
	for i, q := range file.Queries {
		query := Query{Image: q.Image}
		if len(q.Box) != 0 {
			if len(q.Box) != 4 {
				return nil, fmt.Errorf("ground truth, query %d: a box of %d numbers, not left, top, right, bottom", i, len(q.Box))
			}
			query.Box = (*[4]float64)(q.Box)
		}
		for _, list := range []struct {
			names []string
			to    *[]int
		}{{q.Easy, &query.Easy}, {q.Hard, &query.Hard}, {q.Junk, &query.Junk}} {
			for _, name := range list.names {
				j, ok := number[name]
				if !ok {
					return nil, fmt.Errorf(`ground truth, query %d: %.80q is not among "images"`, i, name)
				}
				*list.to = append(*list.to, j)
			}
		}
		g.Queries = append(g.Queries, query)
	}
	return g, nil
}

var groundTruthRules = func() pickle.Rules {
	r := pickle.Rules{
		Writer: "a program that keeps lists and numbers", Protocol: 5, Classes: map[string]bool{},
		Find: func(module, name string) (any, error) {
			if f, ok := pickle.FindNumpy(module, name); ok {
				return f, nil
			}
			return nil, fmt.Errorf("no class %s.%s", module, name)
		},
		Advice: "a ground truth needs lists, texts, numbers and arrays of numpy alone: was it loaded from a source you trust?",
	}
	for _, name := range pickle.NumpyClasses {
		r.Classes[name] = true
	}
	return r
}()

// readGroundTruthPickle reads {"imlist": [name], "qimlist": [name], "gnd": [{"bbx", "easy", "hard", "junk"}]}.
func readGroundTruthPickle(p []byte) (*GroundTruth, error) {
	v, err := pickle.Load(p, groundTruthRules)
	if err != nil {
		return nil, fmt.Errorf("ground truth: %w", err)
	}
	file, ok := v.(*types.Dict)
	if !ok {
		return nil, errors.New("ground truth: the pickle holds no dictionary")
	}
	g := &GroundTruth{}
	names := func(key string) (list []string, err error) {
		items, err := itemsOf(file, key)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			s, ok := it.(string)
			if !ok {
				return nil, fmt.Errorf("ground truth: %q holds something that is no text", key)
			}
			list = append(list, s)
		}
		return list, nil
	}
	if g.Images, err = names("imlist"); err != nil {
		return nil, err
	}
	queries, err := names("qimlist")
	if err != nil {
		return nil, err
	}
	truths, err := itemsOf(file, "gnd")
	if err != nil {
		return nil, err
	}
	if len(truths) != len(queries) {
		return nil, fmt.Errorf("ground truth: %d queries and %d entries of gnd", len(queries), len(truths))
	}
	for i, t := range truths {
		d, ok := t.(*types.Dict)
		if !ok {
			return nil, fmt.Errorf("ground truth, query %d: no dictionary", i)
		}
		q := Query{Image: queries[i]}
		for key, to := range map[string]*[]int{"easy": &q.Easy, "hard": &q.Hard, "junk": &q.Junk} {
			if *to, err = indices(d, key); err != nil {
				return nil, fmt.Errorf("ground truth, query %d: %w", i, err)
			}
		}
		if box, ok := valueOf(d, "bbx"); ok {
			numbers, err := numbersIn(box)
			if err != nil || len(numbers) != 4 && len(numbers) != 0 {
				return nil, fmt.Errorf("ground truth, query %d: bbx is not four numbers", i)
			}
			if len(numbers) == 4 {
				q.Box = (*[4]float64)(numbers)
			}
		}
		g.Queries = append(g.Queries, q)
	}
	return g, nil
}

// valueOf looks a text up without comparing values of other kinds, which may not be comparable.
func valueOf(d *types.Dict, key string) (any, bool) {
	for _, e := range *d {
		if k, ok := e.Key.(string); ok && k == key {
			return e.Value, true
		}
	}
	return nil, false
}

func itemsOf(d *types.Dict, key string) ([]any, error) {
	v, ok := valueOf(d, key)
	if !ok {
		return nil, fmt.Errorf("ground truth: no %q: this is no gnd_roxford5k.pkl or gnd_rparis6k.pkl", key)
	}
	switch v := v.(type) {
	case *types.List:
		return *v, nil
	case *types.Tuple:
		return *v, nil
	}
	return nil, fmt.Errorf("ground truth: %q is no list", key)
}

func indices(d *types.Dict, key string) ([]int, error) {
	v, ok := valueOf(d, key)
	if !ok {
		return nil, fmt.Errorf("no %q: this is the ground truth of the sets before they were revisited, or of another kind", key)
	}
	numbers, err := numbersIn(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	list := make([]int, len(numbers))
	for i, n := range numbers {
		if n != math.Trunc(n) || math.Abs(n) > 1<<31 {
			return nil, fmt.Errorf("%s: %v is no image number", key, n)
		}
		list[i] = int(n)
	}
	return list, nil
}

// numbersIn are the numbers of a list, tuple or array.
func numbersIn(v any) ([]float64, error) {
	var items []any
	switch v := v.(type) {
	case *types.List:
		items = *v
	case *types.Tuple:
		items = *v
	case *pickle.Array:
		return v.Values, nil
	default:
		return nil, errors.New("no list of numbers")
	}
	numbers := make([]float64, len(items))
	for i, it := range items {
		switch n := it.(type) {
		case int:
			numbers[i] = float64(n)
		case float64:
			numbers[i] = n
		default:
			return nil, errors.New("a list with something that is no number")
		}
	}
	return numbers, nil
}
