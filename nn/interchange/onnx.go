package interchange

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/godino-ml/godino/autograd"
	"github.com/godino-ml/godino/nn"
	"github.com/godino-ml/godino/tensor"
)

// ONNXOptions say what of a model WriteONNX writes.
type ONNXOptions struct {
	Height, Width int               // pixels of the images that the model will see
	Attention     bool              // also an output for what the class token of the last block looks at
	Metadata      map[string]string // for whoever opens the file
}

const (
	onnxIR    = 8  // the version of the format, and
	onnxOpset = 17 // of the operators, that ONNX 1.12 of 2022 brought: the first with LayerNormalization
)

// Names of the inputs and outputs of a model.
const (
	onnxImages    = "images"       // (batch, 3, H, W): RGB from 0 to 1, normalised as in training
	onnxClass     = "cls"          // (batch, D)
	onnxPatches   = "patch_tokens" // (batch, N, D), row by row, without registers
	onnxAttention = "attention"    // (batch, heads, N)
)

// WriteONNX writes the model as ONNX for images of one size, in batches of any number. The position embedding is the one that the model has at
// that size: no resizing is left to the other program. All is float32 and in one file, which ONNX limits to 2 GB.
func WriteONNX(w io.Writer, m *nn.VisionTransformer, o ONNXOptions) error {
	c := m.Config()
	if o.Height < c.PatchSize || o.Width < c.PatchSize {
		return fmt.Errorf("images of %d×%d px are smaller than a patch of %d px", o.Height, o.Width, c.PatchSize)
	}
	g := newGraph(m)
	g.build(o)
	return g.write(w, o)
}

// graph is an ONNX graph being made.
type graph struct {
	model     *nn.VisionTransformer
	config    nn.ViTConfig
	params    map[string]*tensor.Tensor
	nodes     []message
	constants []*constant
	known     map[string]bool // names of constants
	outputs   []message
}

func newGraph(m *nn.VisionTransformer) *graph {
	g := &graph{model: m, config: m.Config(), params: map[string]*tensor.Tensor{}, known: map[string]bool{}}
	for _, p := range m.Params() {
		g.params[p.Name] = p.Value
	}
	return g
}

// build lays the model out, from images to outputs.
func (g *graph) build(o ONNXOptions) {
	c := g.config
	d, rows, cols := c.Dim, o.Height/c.PatchSize, o.Width/c.PatchSize
	patches, prefix := rows*cols, 1+c.Registers // what comes before the patches

	x := g.node("Conv", "patch_embed", []string{onnxImages, g.param("patch_embed.proj.weight"), g.param("patch_embed.proj.bias")},
		integers("kernel_shape", c.PatchSize, c.PatchSize), integers("strides", c.PatchSize, c.PatchSize)) // (B, D, rows, cols)
	x = g.node("Reshape", "patch_embed/flat", []string{x, g.ints("shape/patches", 0, d, patches)})
	x = g.node("Transpose", "patch_embed/tokens", []string{x}, integers("perm", 0, 2, 1)) // (B, N, D)

	tape := autograd.NewEvalTape(tensor.NewArena(g.params["cls_token"].Device()))
	pos := slices.Clone(g.model.PosEmbed(tape, o.Height, o.Width).Value.Floats()) // (N+1, D)
	x = g.node("Add", "pos_embed", []string{x, g.floats("pos_embed/patches", pos[d:], 1, patches, d)})
	first := slices.Clone(g.params["cls_token"].Floats())
	for i := range first {
		first[i] += pos[i]
	}
	if c.Registers > 0 {
		first = append(first, g.params["register_tokens"].Floats()...)
	}
	batch := g.node("Shape", "batch", []string{onnxImages}, integer("start", 0), integer("end", 1))
	shape := g.node("Concat", "prefix/shape", []string{batch, g.ints("shape/prefix", prefix, d)}, integer("axis", 0))
	before := g.node("Expand", "prefix", []string{g.floats("cls_token+pos", first, 1, prefix, d), shape})
	x = g.node("Concat", "tokens", []string{before, x}, integer("axis", 1)) // (B, T, D)

	tokens := prefix + patches
	var weights string
	for i := range c.Depth {
		x, weights = g.block(fmt.Sprintf("blocks.%d", i), x, tokens)
	}
	y := g.norm("norm", x)

	g.output(onnxClass, d)
	g.nodeTo(onnxClass, "Gather", []string{y, g.index("class", 0)}, integer("axis", 1))
	g.output(onnxPatches, patches, d)
	g.nodeTo(onnxPatches, "Slice", []string{y, g.ints("prefix/end", prefix), g.ints("tokens/end", tokens), g.ints("axis/tokens", 1)})
	if o.Attention {
		g.output(onnxAttention, c.Heads, patches)
		row := g.node("Gather", "attention/class", []string{weights, g.index("class", 0)}, integer("axis", 2)) // (B, H, T)
		g.nodeTo(onnxAttention, "Slice", []string{row, g.ints("prefix/end", prefix), g.ints("tokens/end", tokens), g.ints("axis/columns", 2)})
	}
}

// block is nn.Block on x (B, T, D): its result, and its attention weights (B, H, T, T).
func (g *graph) block(name, x string, tokens int) (y, weights string) {
	d, heads := g.config.Dim, g.config.Heads
	size := d / heads
	h := g.linear(name+".attn.qkv", g.norm(name+".norm1", x), 3*d, d)
	qkv := g.split(name+".attn/split", h, d)
	byHead := g.ints("shape/heads", 0, tokens, heads, size)
	part := func(i int, what string, perm ...int) string {
		r := g.node("Reshape", name+".attn/"+what+"/heads", []string{qkv[i], byHead})
		return g.node("Transpose", name+".attn/"+what, []string{r}, integers("perm", perm...))
	}
	q, k, v := part(0, "q", 0, 2, 1, 3), part(1, "k", 0, 2, 3, 1), part(2, "v", 0, 2, 1, 3)
	scores := g.node("MatMul", name+".attn/scores", []string{q, k})
	scores = g.node("Mul", name+".attn/scaled", []string{scores, g.scalar("1/sqrt(head)", 1/math.Sqrt(float64(size)))})
	weights = g.node("Softmax", name+".attn/softmax", []string{scores}, integer("axis", -1))
	a := g.node("MatMul", name+".attn/heads", []string{weights, v})
	a = g.node("Transpose", name+".attn/tokens", []string{a}, integers("perm", 0, 2, 1, 3))
	a = g.node("Reshape", name+".attn/joined", []string{a, g.ints("shape/tokens", 0, tokens, d)})
	branch := g.scaled(name+".ls1.gamma", g.linear(name+".attn.proj", a, d, d))
	x = g.node("Add", name+"/residual1", []string{x, branch})

	hidden := g.params[name+".mlp.fc1.bias"].Len()
	h = g.gelu(name+".mlp/gelu", g.linear(name+".mlp.fc1", g.norm(name+".norm2", x), hidden, d))
	branch = g.scaled(name+".ls2.gamma", g.linear(name+".mlp.fc2", h, d, hidden))
	return g.node("Add", name+"/residual2", []string{x, branch}), weights
}

func (g *graph) norm(name, x string) string {
	return g.node("LayerNormalization", name, []string{x, g.param(name + ".weight"), g.param(name + ".bias")},
		integer("axis", -1), float("epsilon", float32(g.config.LayerNormEps)))
}

// linear is x·weightᵀ + bias; the weight is written transposed, as MatMul takes it.
func (g *graph) linear(name, x string, out, in int) string {
	w := g.constant(&constant{name: name + ".weight/transposed", dims: []int{in, out}, floats: g.params[name+".weight"].Floats(), transposed: true})
	y := g.node("MatMul", name, []string{x, w})
	return g.node("Add", name+"/bias", []string{y, g.param(name + ".bias")})
}

// gelu is ½·x·(1 + erf(x/√2)): ONNX has an operator for it only since opset 20.
func (g *graph) gelu(name, x string) string {
	e := g.node("Erf", name+"/erf", []string{g.node("Div", name+"/div", []string{x, g.scalar("sqrt(2)", math.Sqrt2)})})
	e = g.node("Add", name+"/add", []string{e, g.scalar("1", 1)})
	e = g.node("Mul", name+"/mul", []string{x, e})
	return g.node("Mul", name, []string{e, g.scalar("1/2", 0.5)})
}

// scaled is a branch with LayerScale, if the model has it.
func (g *graph) scaled(name, x string) string {
	if g.params[name] == nil {
		return x
	}
	return g.node("Mul", name+"/scaled", []string{x, g.param(name)})
}

// split cuts the last dimension into three of d.
func (g *graph) split(name, x string, d int) [3]string {
	parts := [3]string{name + "/q", name + "/k", name + "/v"}
	m := message{}.text(nodeInput, x).text(nodeInput, g.ints("split/qkv", d, d, d))
	for _, p := range parts {
		m = m.text(nodeOutput, p)
	}
	m = m.text(nodeName, name).text(nodeOpType, "Split").sub(nodeAttribute, integer("axis", -1))
	g.nodes = append(g.nodes, m)
	return parts
}

// node adds an operator, whose result has its name.
func (g *graph) node(op, name string, inputs []string, attributes ...message) string {
	output := name + "/out"
	g.add(op, name, output, inputs, attributes)
	return output
}

// nodeTo adds an operator whose result is an output of the model.
func (g *graph) nodeTo(output, op string, inputs []string, attributes ...message) {
	g.add(op, output+"/"+op, output, inputs, attributes)
}

func (g *graph) add(op, name, output string, inputs []string, attributes []message) {
	var m message
	for _, in := range inputs {
		m = m.text(nodeInput, in)
	}
	m = m.text(nodeOutput, output).text(nodeName, name).text(nodeOpType, op)
	for _, a := range attributes {
		m = m.sub(nodeAttribute, a)
	}
	g.nodes = append(g.nodes, m)
}

// output declares an output of the model: (batch, dims…) of float32.
func (g *graph) output(name string, dims ...int) {
	g.outputs = append(g.outputs, valueInfo(name, dims...))
}

func integer(name string, v int) message {
	return message{}.text(attrName, name).integer(attrI, int64(v)).integer(attrType, attributeInt)
}

func float(name string, v float32) message {
	return message{}.text(attrName, name).float(attrF, v).integer(attrType, attributeFloat)
}

func integers(name string, v ...int) message {
	m := message{}.text(attrName, name)
	for _, n := range v {
		m = m.integer(attrInts, int64(n))
	}
	return m.integer(attrType, attributeIntegers)
}

func (g *graph) constant(c *constant) string {
	if !g.known[c.name] {
		g.known[c.name] = true
		g.constants = append(g.constants, c)
	}
	return c.name
}

// param is a parameter of the model under its own name.
func (g *graph) param(name string) string {
	p := g.params[name]
	return g.floats(name, p.Floats(), p.Shape()...)
}

func (g *graph) floats(name string, data []float32, dims ...int) string {
	return g.constant(&constant{name: name, dims: dims, floats: data})
}

func (g *graph) scalar(name string, v float64) string { return g.floats(name, []float32{float32(v)}) }

// ints is a list of integers, such as a shape; in one for Reshape, 0 stands for the dimension as it is.
func (g *graph) ints(name string, v ...int) string {
	list := make([]int64, len(v))
	for i, n := range v {
		list[i] = int64(n)
	}
	return g.constant(&constant{name: name, dims: []int{len(v)}, integers: list})
}

// index is a single integer.
func (g *graph) index(name string, v int) string {
	return g.constant(&constant{name: name, integers: []int64{int64(v)}})
}

// valueInfo is (batch, dims…) of float32.
func valueInfo(name string, dims ...int) message {
	shape := message{}.sub(shapeDim, message{}.text(dimensionP, "batch"))
	for _, d := range dims {
		shape = shape.sub(shapeDim, message{}.integer(dimensionValue, int64(d)))
	}
	of := message{}.integer(tensorTypeElem, elemFloat).sub(typeShape, shape)
	return message{}.text(valueName, name).sub(valueType, message{}.sub(typeTensor, of))
}

// write writes the model around the graph. Lengths come before contents, so the graph's is summed first; weights go from memory to w.
func (g *graph) write(w io.Writer, o ONNXOptions) error {
	c := g.config
	var before message
	for _, n := range g.nodes {
		before = before.sub(graphNode, n)
	}
	before = before.text(graphName, "VisionTransformer")
	after := message{}.sub(graphInput, valueInfo(onnxImages, 3, o.Height, o.Width))
	for _, out := range g.outputs {
		after = after.sub(graphOutput, out)
	}
	length := len(before) + len(after)
	heads := make([]message, len(g.constants))
	for i, t := range g.constants {
		head := t.head()
		heads[i] = append(message{}.announced(graphInitializer, len(head)+t.bytes()), head...)
		length += len(heads[i]) + t.bytes()
	}
	model := message{}.integer(modelIRVersion, onnxIR).text(modelProducer, "godino").
		text(modelDoc, fmt.Sprintf("A Vision Transformer, %s/%d, for images of %d×%d px.", c.Arch(), c.PatchSize, o.Height, o.Width)).
		sub(modelOpset, message{}.integer(opsetVersion, onnxOpset))
	for _, k := range slices.Sorted(maps.Keys(o.Metadata)) {
		model = model.sub(modelMetadata, message{}.text(entryKey, k).text(entryValue, o.Metadata[k]))
	}
	model = model.announced(modelGraph, length)
	if total := int64(len(model)) + int64(length); total > math.MaxInt32 {
		return fmt.Errorf("the model takes %.1f GB, and a single ONNX file holds 2 GB at most: larger ones need their weights in files beside, which are not written",
			float64(total)/1e9)
	}
	for _, m := range []message{model, before} {
		if _, err := w.Write(m); err != nil {
			return err
		}
	}
	for i, t := range g.constants {
		if _, err := w.Write(heads[i]); err != nil {
			return err
		}
		if err := t.writeData(w); err != nil {
			return err
		}
	}
	_, err := w.Write(after)
	return err
}
