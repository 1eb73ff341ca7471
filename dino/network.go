package dino

import (
	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// Network is a backbone and its projection head: the student, or the teacher.
type Network struct {
	Backbone *nn.VisionTransformer
	Head     *Head
	params   []nn.Param
}

// NewNetwork makes a network of freshly initialised parameters; the same seed gives the same ones.
func NewNetwork(dev *tensor.Device, v nn.ViTConfig, h HeadConfig, seed uint64) *Network {
	n := &Network{Backbone: nn.NewVisionTransformer(dev, v, seed), Head: NewHead(dev, h, seed)}
	for _, p := range n.Backbone.Params() {
		n.params = append(n.params, nn.Param{Name: "backbone." + p.Name, Var: p.Var})
	}
	for _, p := range n.Head.Params() {
		n.params = append(n.params, nn.Param{Name: "head." + p.Name, Var: p.Var})
	}
	return n
}

// Params are all parameters, frozen ones too: backbone.cls_token, …, head.last_layer.weight_v.
func (n *Network) Params() []nn.Param { return n.params }

// Forward maps images to logits (R, K): the teacher's way. See Bottleneck for views and drop.
func (n *Network) Forward(t *autograd.Tape, views []*autograd.Var, drop *nn.DropPath) *autograd.Var {
	x := n.features(t, views, drop)
	logits := n.Head.Forward(t, x)
	t.Done(x)
	return logits
}

// Bottleneck maps images to what the last layer gets, (R, bottleneck): the student's way, whose logits the loss makes block by block. Each
// of views is a tensor (rows, 3, H, W) of images of one size; those that follow each other with the same size share one pass of the backbone,
// and all share one pass of the head. Rows of the result are in the order of the views' rows. drop is nil for the teacher.
func (n *Network) Bottleneck(t *autograd.Tape, views []*autograd.Var, drop *nn.DropPath) *autograd.Var {
	x := n.features(t, views, drop)
	z := n.Head.Bottleneck(t, x)
	t.Done(x)
	return z
}

// features are the backbone's, (R, D).
func (n *Network) features(t *autograd.Tape, views []*autograd.Var, drop *nn.DropPath) *autograd.Var {
	var features []*autograd.Var
	for i := 0; i < len(views); {
		j := i + 1
		for j < len(views) && sameSize(views[i], views[j]) {
			j++
		}
		x := views[i]
		if j > i+1 {
			x = t.ConcatRows(views[i:j]...)
		}
		d := drop
		if drop != nil {
			// Each resolution draws its own: rows of different passes have the same numbers.
			d = &nn.DropPath{Seed: drop.Seed, Step: drop.Step, Pass: drop.Pass + uint64(len(features))}
		}
		features = append(features, n.Backbone.Forward(t, x, d)) // (rows, D)
		i = j
	}
	if len(features) == 1 {
		return features[0]
	}
	x := t.ConcatRows(features...)
	t.Done(features...)
	return x
}

func sameSize(a, b *autograd.Var) bool {
	return a.Value.Dim(2) == b.Value.Dim(2) && a.Value.Dim(3) == b.Value.Dim(3)
}

// follow makes n an exact copy of other that is not trained: the teacher at the start. Its gradients' memory is given up.
func (n *Network) follow(other *Network) {
	for i, p := range n.params {
		tensor.Copy(p.Value, other.params[i].Value)
		p.Freeze()
	}
}
