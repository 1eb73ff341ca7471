package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godino-ml/godino/nn/weights"
)

// Names of the parts in the folder report/.
const (
	aboutName       = "about.json"
	cropsName       = "crops.png"
	picturesName    = "pictures.png"
	neighboursName  = "neighbours.json"
	untrainedName   = "neighbours-untrained.json"
	mistakesName    = "mistakes.json"
	attentionPrefix = "attention-" // then the epochs done, in five digits
	coloursPrefix   = "colours-"   // the same
	mostPartBytes   = 64 << 20     // larger parts are not of this program
	epochRecords    = 40           // in a run, about
	recordsOnAPage  = 8
)

// about is what the log does not tell of a run.
type about struct {
	Version       string    `json:"version"`
	Machine       []string  `json:"machine"`
	Data          string    `json:"data"`
	Images        int       `json:"images"`
	Classes       int       `json:"classes"`
	StepsPerEpoch int       `json:"steps_per_epoch"`
	Params        int       `json:"params"`
	Backbone      int       `json:"backbone_params"`
	From          string    `json:"from"`
	Began         time.Time `json:"began"`
	Written       time.Time `json:"written"`
	State         string    `json:"state"` // "training", or how it ended
	Error         string    `json:"error,omitempty"`
}

// likeness is a picture and those nearest to it, as one drawing.
type likeness struct {
	Path      string   `json:"path"`
	Class     string   `json:"class"`
	Predicted string   `json:"predicted"`
	Share     float64  `json:"share"` // of the votes, for Predicted
	Votes     []string `json:"votes"` // classes of the neighbours, nearest first
	PNG       []byte   `json:"png"`
}

func part(dir, name string) string { return filepath.Join(dir, partsName, name) }

func writePart(dir, name string, data []byte) error {
	return weights.AtomicWrite(part(dir, name), func(w io.Writer) error { _, err := w.Write(data); return err })
}

func writeJSON(dir, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writePart(dir, name, data)
}

func writePicture(dir, name string, img image.Image) error {
	data, err := encoded(img)
	if err != nil {
		return err
	}
	return writePart(dir, name, data)
}

func encoded(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// readPart reads a part of a run, nil if it has none. Parts are read like bytes from anywhere: regular files of bounded size.
func readPart(dir, name string) ([]byte, error) {
	path := part(dir, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > mostPartBytes {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", path, mostPartBytes)
	}
	return os.ReadFile(path)
}

func readJSON[T any](dir, name string) (*T, error) {
	data, err := readPart(dir, name)
	if data == nil || err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("%s: %w", part(dir, name), err)
	}
	return v, nil
}

// recordedEpochs are the numbers of epochs after which pictures of that prefix were drawn.
func recordedEpochs(dir, prefix string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Join(dir, partsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var epochs []int
	for _, e := range entries {
		text, ok := strings.CutSuffix(strings.TrimPrefix(e.Name(), prefix), ".png")
		if n, err := strconv.Atoi(text); err == nil && ok && e.Name() == recordName(prefix, n) {
			epochs = append(epochs, n)
		}
	}
	slices.Sort(epochs)
	return epochs, err
}

func recordName(prefix string, epochs int) string { return fmt.Sprintf("%s%05d.png", prefix, epochs) }

// some are n of the list at even distances, the first and the last among them.
func some[T any](list []T, n int) []T {
	if len(list) <= n {
		return list
	}
	if n < 2 {
		return list[:n]
	}
	var chosen []T
	for i := range n {
		chosen = append(chosen, list[i*(len(list)-1)/(n-1)])
	}
	return chosen
}
