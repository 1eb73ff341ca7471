package search

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/godino-ml/godino/dino/augment"
	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn"
)

// Key tells what features can be compared: the SHA-256 of the settings that they were made with.
type Key [sha256.Size]byte

// Settings are what a feature depends on, beside the image.
type Settings struct {
	Params    string     `json:"params"` // SHA-256 of the backbone's parameters, as [ParamsSum] has it
	Tokens    string     `json:"tokens"` // cls or mean
	Resize    int        `json:"resize"` // as augment.Eval
	Crop      int        `json:"crop"`
	Mean      [3]float32 `json:"mean"`
	Std       [3]float32 `json:"std"`
	Precision string     `json:"precision"`
}

// NewSettings are the settings of features of a backbone on images transformed by e.
func NewSettings(backbone *nn.VisionTransformer, e augment.Eval, tokens, precision string) Settings {
	return Settings{ParamsSum(backbone), tokens, e.Resize, e.Crop, e.Mean, e.Std, precision}
}

// Transform is how images are prepared.
func (s Settings) Transform() augment.Eval {
	return augment.Eval{Resize: s.Resize, Crop: s.Crop, Mean: s.Mean, Std: s.Std}
}

// Key is the settings' sum.
func (s Settings) Key() Key {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // of strings and finite numbers
	}
	return sha256.Sum256(text)
}

// differences says in words how s differs from what an index was made with.
func (s Settings) differences(made Settings) string {
	switch {
	case s.Params != made.Params:
		return "of other weights"
	case s.Tokens != made.Tokens:
		return fmt.Sprintf("of tokens %s, not %s", made.Tokens, s.Tokens)
	case s.Precision != made.Precision:
		return fmt.Sprintf("in precision %s, not %s", made.Precision, s.Precision)
	}
	return fmt.Sprintf("of images resized to %d and cut to %d px, not %d and %d", made.Resize, made.Crop, s.Resize, s.Crop)
}

// ParamsSum is the SHA-256 of a backbone's configuration and parameters, whatever file they came from.
func ParamsSum(backbone *nn.VisionTransformer) string {
	h := sha256.New()
	config, err := json.Marshal(backbone.Config())
	if err != nil {
		panic(err) // of numbers
	}
	h.Write(config)
	var buf []byte
	for _, p := range backbone.Params() {
		fmt.Fprintf(h, "\x00%s%v\x00", p.Name, p.Value.Shape())
		data := p.Value.Floats()
		for len(data) > 0 {
			n := min(len(data), 1<<14)
			buf = appendRow(buf[:0], data[:n])
			h.Write(buf)
			data = data[n:]
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Source says where images and weights were, for commands that need them again.
type Source struct {
	Data          string `json:"data"` // path of the images
	Weights       string `json:"weights"`
	CheckpointKey string `json:"checkpoint_key"`
	Arch          string `json:"arch,omitempty"`
	PatchSize     int    `json:"patch_size,omitempty"`
	Network       string `json:"network"` // as vit_small/16
}

// meta is index.json.
type meta struct {
	Format     int      `json:"format"`
	Generation int      `json:"generation"`
	Dim        int      `json:"dim"`
	Count      int      `json:"count"`
	ImagesCRC  uint32   `json:"images_crc32c"` // of images.N.jsonl
	Settings   Settings `json:"settings"`
	Source     Source   `json:"source"`
}

const (
	metaFormat = 1
	metaName   = "index.json"
	maxMeta    = 1 << 20
	maxLine    = 1 << 20 // of images.N.jsonl
)

func (m *meta) featuresName() string { return fmt.Sprintf("features.%d.f32", m.Generation) }
func (m *meta) imagesName() string   { return fmt.Sprintf("images.%d.jsonl", m.Generation) }

// Image is what an index knows of the image of a row.
type Image struct {
	Path     string      // below the root of the images
	Size     int64       // bytes of its file
	Modified int64       // nanoseconds since 1970, 0 in a tar
	Sum      dataset.Sum // of its bytes
}

// imageLine is an image as a line of JSON, which knows no bytes that are not UTF-8.
type imageLine struct {
	Path       *string `json:"path,omitempty"`
	PathBase64 []byte  `json:"path_base64,omitempty"`
	Size       int64   `json:"size"`
	Modified   int64   `json:"modified,omitempty"`
	SHA256     string  `json:"sha256"`
	CRC        *uint32 `json:"crc32c,omitempty"` // of the row, in a partial index
}

func lineOf(img Image) imageLine {
	l := imageLine{Size: img.Size, Modified: img.Modified, SHA256: hex.EncodeToString(img.Sum[:])}
	if utf8.ValidString(img.Path) {
		l.Path = &img.Path
	} else {
		l.PathBase64 = []byte(img.Path)
	}
	return l
}

func (l imageLine) image() (img Image, err error) {
	sum, err := hex.DecodeString(l.SHA256)
	if err != nil || len(sum) != len(img.Sum) {
		return img, fmt.Errorf("%q is no SHA-256", l.SHA256)
	}
	img = Image{Size: l.Size, Modified: l.Modified}
	copy(img.Sum[:], sum)
	switch {
	case l.Path != nil:
		img.Path = *l.Path
	case len(l.PathBase64) > 0:
		img.Path = string(l.PathBase64)
	default:
		return img, errors.New("no path")
	}
	return img, nil
}

func (l imageLine) appendTo(b []byte) []byte {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // of strings and numbers
	}
	return append(append(b, text...), '\n')
}

// Index is an index of a folder's or tar's images, opened to be searched. What it holds may be used by several goroutines until Close.
type Index struct {
	Dir      string
	Settings Settings
	Source   Source
	Images   []Image // of each row, sorted by path

	meta     meta
	features *featureFile
}

// ErrNoIndex is wrapped by the error of Open where there is no index.
var ErrNoIndex = errors.New("no index there")

// Open opens the index in a folder. Rows are mapped into memory, not read.
func Open(dir string) (*Index, error) {
	for try := 0; ; try++ {
		x, err := open(dir)
		// An update may have replaced the generation between two reads.
		if err == nil || errors.Is(err, ErrNoIndex) || !errors.Is(err, fs.ErrNotExist) || try == 3 {
			return x, err
		}
	}
}

func open(dir string) (_ *Index, err error) {
	path := filepath.Join(dir, metaName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: it lacks %s", dir, ErrNoIndex, metaName)
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMeta+1))
	f.Close()
	if err != nil {
		return nil, err
	}
	x := &Index{Dir: dir}
	if err := json.Unmarshal(text, &x.meta); err != nil || len(text) > maxMeta {
		return nil, fmt.Errorf("%s is damaged: it is no JSON object of at most %d bytes", path, maxMeta)
	}
	if x.meta.Format != metaFormat {
		return nil, fmt.Errorf("%s: format %d; this program reads %d", path, x.meta.Format, metaFormat)
	}
	x.Settings, x.Source = x.meta.Settings, x.meta.Source
	if e := x.Settings.Transform().Validate(); e != nil || x.meta.Generation < 0 {
		return nil, fmt.Errorf("%s is damaged: generation %d, %v", path, x.meta.Generation, e)
	}
	if x.features, err = openFeatures(filepath.Join(dir, x.meta.featuresName())); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			x.Close()
		}
	}()
	if h := x.features.header; h.dim != x.meta.Dim || h.count != x.meta.Count || h.key != x.Settings.Key() {
		return nil, fmt.Errorf("%s and %s do not belong together", path, x.meta.featuresName())
	}
	if x.Images, err = readImages(filepath.Join(dir, x.meta.imagesName()), &x.meta); err != nil {
		return nil, err
	}
	return x, nil
}

// readImages reads the lines of a generation.
func readImages(path string, m *meta) ([]Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Before memory is asked for: no line is shorter than its sum.
	if int64(m.Count) > st.Size()/sha256.Size/2 {
		return nil, fmt.Errorf("%s is damaged: %d bytes are too few for %d images", path, st.Size(), m.Count)
	}
	images := make([]Image, 0, m.Count)
	crc := crc32.New(castagnoli)
	s := bufio.NewScanner(io.TeeReader(f, crc))
	s.Buffer(nil, maxLine)
	for s.Scan() {
		var l imageLine
		err := json.Unmarshal(s.Bytes(), &l)
		if err == nil {
			var img Image
			if img, err = l.image(); err == nil {
				images = append(images, img)
			}
		}
		if err != nil || len(images) > m.Count {
			return nil, fmt.Errorf("%s is damaged: line %d: %v", path, len(images)+1, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(images) != m.Count || crc.Sum32() != m.ImagesCRC {
		return nil, fmt.Errorf("%s is damaged: %d images of %d, or a wrong checksum", path, len(images), m.Count)
	}
	return images, nil
}

// Rows are the features, in mapped memory until Close.
func (x *Index) Rows() Rows { return x.features.Rows }

// Sums are the sums of the images' bytes.
func (x *Index) Sums() []dataset.Sum {
	sums := make([]dataset.Sum, len(x.Images))
	for i := range sums {
		sums[i] = x.Images[i].Sum
	}
	return sums
}

// Verify reads all features and compares their checksum, which Open does not.
func (x *Index) Verify() error {
	if err := x.features.verify(); err != nil {
		return fmt.Errorf("%s: %w", x.Dir, err)
	}
	return nil
}

// Fits refuses a network whose features are not comparable with the index's.
func (x *Index) Fits(s Settings) error {
	if s.Key() != x.Settings.Key() {
		return fmt.Errorf("the index %s has features %s", x.Dir, s.differences(x.Settings))
	}
	return nil
}

// Close ends the mapping: rows must not be read afterwards.
func (x *Index) Close() error { return x.features.unmap() }

// Normalize divides rows by their length. A row that is not finite is an error; one of zeros stays, and is similar to nothing.
func (r Rows) Normalize() error {
	for i := range r.Len() {
		row := r.Row(i)
		var sum float64
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		if math.IsNaN(sum) || math.IsInf(sum, 0) {
			return fmt.Errorf("feature %d is not finite", i)
		}
		if sum == 0 {
			continue
		}
		length := math.Sqrt(sum)
		for j, v := range row {
			row[j] = float32(float64(v) / length)
		}
	}
	return nil
}

// encodeMeta is index.json's text.
func encodeMeta(m *meta) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(m)
	return b.Bytes(), err
}
