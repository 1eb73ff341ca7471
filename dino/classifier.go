package dino

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/godino-ml/godino/dino/eval"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/nn/weights"
	"github.com/godino-ml/godino/tensor"
)

// Classifier is a linear layer on the features of a backbone, and what its outputs mean. On disk it is head.weight (C, F) and head.bias (C),
// and in the metadata, under "classifier", the rest as JSON.
type Classifier struct {
	Classes []string `json:"classes"` // names of the outputs

	// The features that it reads: see FeatureOptions. The class tokens come first, the earliest block's before the last one's, then the mean of
	// the patch tokens. (The reference interleaves the two with avgpool_patchtokens, one number of each in turn.)
	Tokens    Tokens `json:"tokens"`
	Blocks    int    `json:"blocks"`
	ImageSize int    `json:"image_size"` // pixels that pictures are seen at
	Backbone  string `json:"backbone"`   // BackboneID of the weights that it was trained on

	// How it came about.
	Epoch         int     `json:"epoch"` // epochs of training
	LR            float64 `json:"lr"`
	Top1          float64 `json:"top1"` // per cent, on the images it was judged by
	LabelFraction float64 `json:"label_fraction,omitempty"`

	Head *eval.Linear `json:"-"`
}

// BackboneID tells the weights of one backbone from another's.
func BackboneID(m *nn.VisionTransformer) string {
	h := sha256.New()
	var buf []byte
	for _, p := range m.Params() {
		io.WriteString(h, p.Name+"\n")
		buf = buf[:0]
		for _, v := range p.Value.Floats() {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		h.Write(buf)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Features says how the features that the classifier reads are computed.
func (c *Classifier) Features() FeatureOptions {
	return FeatureOptions{Tokens: c.Tokens, Blocks: c.Blocks}
}

// contents are the file's, without a backbone.
func (c *Classifier) contents() (*weights.Contents, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	s := &weights.Contents{Metadata: map[string]string{"classifier": string(text)}}
	for _, p := range c.Head.Params() {
		if !allFinite(p.Value) {
			return nil, fmt.Errorf("%s is not finite (NaN or infinity): lower lr", p.Name)
		}
		s.Arrays = append(s.Arrays, weights.Array{Name: p.Name, Shape: slices.Clone(p.Value.Shape()), Data: p.Value.Floats()})
	}
	return s, nil
}

// Save writes the classifier, without its backbone, atomically.
func (c *Classifier) Save(path string) error {
	s, err := c.contents()
	if err != nil {
		return fmt.Errorf("not saving %s: %w", path, err)
	}
	return weights.Save(path, s)
}

// LoadClassifier reads the classifier that a file holds, with or without a backbone beside it.
func LoadClassifier(dev *tensor.Device, path string) (*Classifier, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, ok := f.Metadata["classifier"]
	if !ok {
		return nil, fmt.Errorf("%s holds no classifier: make one with dino linear or dino finetune", path)
	}
	c := &Classifier{}
	if err := json.Unmarshal([]byte(text), c); err != nil {
		return nil, fmt.Errorf("%s: its description of the classifier does not read: %w", path, err)
	}
	weight, err := f.Array("head.weight")
	if err != nil {
		return nil, err
	}
	bias, err := f.Array("head.bias")
	if err != nil {
		return nil, err
	}
	n := len(c.Classes)
	if n < 1 || len(weight.Shape) != 2 || weight.Shape[0] != n || weight.Shape[1] < 1 || len(bias.Data) != n {
		return nil, fmt.Errorf("%s: %d classes do not fit head.weight %v and head.bias %v", path, n, weight.Shape, bias.Shape)
	}
	if c.ImageSize < 1 || c.ImageSize > 4096 || c.Blocks < 0 {
		return nil, fmt.Errorf("%s: pictures of %d px and %d blocks make no sense", path, c.ImageSize, c.Blocks)
	}
	c.Head = eval.NewLinear(dev.Host(), weight.Shape[1], n, 0)
	c.Head.Weight.Value.SetFloats(weight.Data)
	c.Head.Bias.Value.SetFloats(bias.Data)
	for _, p := range c.Head.Params() {
		if !allFinite(p.Value) {
			return nil, fmt.Errorf("%s: %s is not finite (NaN or infinity)", path, p.Name)
		}
	}
	return c, nil
}

// Fits refuses a backbone that the classifier was not trained on.
func (c *Classifier) Fits(m *nn.VisionTransformer) error {
	o, size := c.Features(), m.Config()
	side := c.ImageSize / size.PatchSize
	dim, err := o.dim(size, side*side)
	switch {
	case err != nil:
		return err
	case side < 1:
		return fmt.Errorf("pictures of %d px are smaller than the backbone's patches of %d px", c.ImageSize, size.PatchSize)
	case dim != c.Head.Dim():
		return fmt.Errorf("the classifier reads %d numbers of a picture, this backbone gives %d: it was trained on another one", c.Head.Dim(), dim)
	case c.Backbone != "" && c.Backbone != BackboneID(m):
		return fmt.Errorf("the classifier was trained on other weights than these, of the same shape: give it its own, or train one on these with dino linear")
	}
	return nil
}
