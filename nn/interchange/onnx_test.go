package interchange

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// The tests read the files with a decoder and run them with an interpreter of their own, in float64, which know what the ONNX specification says
// of the operators used, and nothing of the writer.

// fields are the fields of a message by number: bytes for those of a length, the number itself for others.
type fields map[protowire.Number][]any

func decode(t *testing.T, b []byte) fields {
	t.Helper()
	f := fields{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var v any
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			v, n = protowire.ConsumeFixed32(b)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d of wire type %d", number, kind)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		f[number] = append(f[number], v)
	}
	return f
}

func (f fields) texts(number protowire.Number) (list []string) {
	for _, v := range f[number] {
		list = append(list, string(v.([]byte)))
	}
	return list
}

func (f fields) text(number protowire.Number) string { return strings.Join(f.texts(number), "") }

func (f fields) ints(number protowire.Number) (list []int) {
	for _, v := range f[number] {
		list = append(list, int(int64(v.(uint64))))
	}
	return list
}

func (f fields) int(number protowire.Number) int { return f.ints(number)[0] }

// array is a tensor of the interpreter; integers are exact in float64 here.
type array struct {
	dims []int
	data []float64
}

func newArray(dims ...int) array { return array{dims, make([]float64, size(dims))} }

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// each calls f with every index of a shape, row-major.
func each(dims []int, f func(index []int)) {
	index := make([]int, len(dims))
	for range size(dims) {
		f(index)
		for d := len(dims) - 1; d >= 0; d-- {
			if index[d]++; index[d] < dims[d] {
				break
			}
			index[d] = 0
		}
	}
}

// at is the element at index, broadcast: missing leading dimensions, and dimensions of 1 stand for any.
func (a array) at(index []int) float64 {
	i := 0
	for d, n := range a.dims {
		k := index[len(index)-len(a.dims)+d]
		if n == 1 {
			k = 0
		}
		i = i*n + k
	}
	return a.data[i]
}

func (a array) ints() []int {
	list := make([]int, len(a.data))
	for i, v := range a.data {
		list[i] = int(v)
	}
	return list
}

// fill makes an array of what f gives for each index.
func fill(dims []int, f func(index []int) float64) array {
	y := newArray(dims...)
	i := 0
	each(dims, func(index []int) { y.data[i] = f(index); i++ })
	return y
}

func broadcast(a, b array, f func(a, b float64) float64) array {
	n := max(len(a.dims), len(b.dims))
	dims := make([]int, n)
	for d := range dims {
		dims[d] = 1
		for _, x := range []array{a, b} {
			if k := d - n + len(x.dims); k >= 0 {
				dims[d] = max(dims[d], x.dims[k])
			}
		}
	}
	return fill(dims, func(i []int) float64 { return f(a.at(i), b.at(i)) })
}

// rows applies f to the last dimension.
func rows(a array, f func(row []float64)) array {
	y := array{a.dims, slices.Clone(a.data)}
	n := a.dims[len(a.dims)-1]
	for i := 0; i < len(y.data); i += n {
		f(y.data[i : i+n])
	}
	return y
}

// run computes one node.
func run(t *testing.T, op string, in []array, attributes map[string]fields) []array {
	t.Helper()
	attribute := func(name string) int { return attributes[name].int(3) }
	list := func(name string) []int { return attributes[name].ints(8) }
	axis := func(rank int) int { return (attribute("axis") + rank) % rank }
	x := in[0]
	switch op {
	case "Add":
		return []array{broadcast(x, in[1], func(a, b float64) float64 { return a + b })}
	case "Mul":
		return []array{broadcast(x, in[1], func(a, b float64) float64 { return a * b })}
	case "Div":
		return []array{broadcast(x, in[1], func(a, b float64) float64 { return a / b })}
	case "Erf":
		return []array{fill(x.dims, func(i []int) float64 { return math.Erf(x.at(i)) })}
	case "Shape":
		dims := x.dims[attribute("start"):attribute("end")]
		return []array{fill([]int{len(dims)}, func(i []int) float64 { return float64(dims[i[0]]) })}
	case "Expand":
		return []array{broadcast(x, newArray(in[1].ints()...), func(a, _ float64) float64 { return a })}
	case "Reshape":
		dims := in[1].ints()
		for d := range dims {
			if dims[d] == 0 {
				dims[d] = x.dims[d]
			}
		}
		if size(dims) != len(x.data) {
			t.Fatalf("Reshape of %v to %v", x.dims, dims)
		}
		return []array{{dims, x.data}}
	case "Transpose":
		perm := list("perm")
		dims := make([]int, len(perm))
		for d, p := range perm {
			dims[d] = x.dims[p]
		}
		return []array{fill(dims, func(i []int) float64 {
			from := make([]int, len(perm))
			for d, p := range perm {
				from[p] = i[d]
			}
			return x.at(from)
		})}
	case "Concat":
		d := axis(len(x.dims))
		dims := slices.Clone(x.dims)
		dims[d] = 0
		for _, a := range in {
			dims[d] += a.dims[d]
		}
		return []array{fill(dims, func(i []int) float64 {
			j := slices.Clone(i)
			for _, a := range in {
				if j[d] < a.dims[d] {
					return a.at(j)
				}
				j[d] -= a.dims[d]
			}
			panic("beyond the last")
		})}
	case "Split":
		d, from := axis(len(x.dims)), 0
		var parts []array
		for _, n := range in[1].ints() {
			dims := slices.Clone(x.dims)
			dims[d] = n
			parts = append(parts, fill(dims, func(i []int) float64 {
				j := slices.Clone(i)
				j[d] += from
				return x.at(j)
			}))
			from += n
		}
		return parts
	case "Slice":
		d, from, to := in[3].ints()[0], in[1].ints()[0], in[2].ints()[0]
		dims := slices.Clone(x.dims)
		dims[d] = to - from
		return []array{fill(dims, func(i []int) float64 {
			j := slices.Clone(i)
			j[d] += from
			return x.at(j)
		})}
	case "Gather":
		if len(in[1].dims) != 0 {
			t.Fatalf("Gather by indices of shape %v", in[1].dims)
		}
		d := axis(len(x.dims))
		return []array{fill(slices.Delete(slices.Clone(x.dims), d, d+1), func(i []int) float64 {
			return x.at(slices.Insert(slices.Clone(i), d, in[1].ints()[0]))
		})}
	case "Softmax":
		return []array{rows(x, func(row []float64) {
			largest, sum := slices.Max(row), 0.0
			for i := range row {
				row[i] = math.Exp(row[i] - largest)
				sum += row[i]
			}
			for i := range row {
				row[i] /= sum
			}
		})}
	case "LayerNormalization":
		epsilon := float64(math.Float32frombits(attributes["epsilon"][2][0].(uint32)))
		return []array{rows(x, func(row []float64) {
			mean, variance := 0.0, 0.0
			for _, v := range row {
				mean += v / float64(len(row))
			}
			for _, v := range row {
				variance += (v - mean) * (v - mean) / float64(len(row))
			}
			for i, v := range row {
				row[i] = (v-mean)/math.Sqrt(variance+epsilon)*in[1].data[i] + in[2].data[i]
			}
		})}
	case "MatMul":
		a, b := x.dims, in[1].dims
		k := a[len(a)-1]
		if b[len(b)-2] != k {
			t.Fatalf("MatMul of %v and %v", a, b)
		}
		return []array{fill(append(slices.Clone(a[:len(a)-1]), b[len(b)-1]), func(i []int) float64 {
			s, ai, bi := 0.0, slices.Clone(i), slices.Clone(i)
			for j := range k {
				ai[len(i)-1], bi[len(i)-2] = j, j
				s += x.at(ai) * in[1].at(bi)
			}
			return s
		})}
	case "Conv":
		w, stride := in[1], list("strides")
		dims := []int{x.dims[0], w.dims[0], (x.dims[2]-w.dims[2])/stride[0] + 1, (x.dims[3]-w.dims[3])/stride[1] + 1}
		return []array{fill(dims, func(i []int) float64 {
			s := in[2].data[i[1]]
			each(w.dims[1:], func(k []int) {
				s += w.at([]int{i[1], k[0], k[1], k[2]}) * x.at([]int{i[0], k[0], i[2]*stride[0] + k[1], i[3]*stride[1] + k[2]})
			})
			return s
		})}
	}
	t.Fatalf("operator %s", op)
	return nil
}

// runModel computes the outputs of an ONNX file for images.
func runModel(t *testing.T, file []byte, images array) map[string]array {
	t.Helper()
	model := decode(t, file)
	if opset := decode(t, model[8][0].([]byte)); model.int(1) != 8 || opset.int(2) != 17 || opset.text(1) != "" {
		t.Errorf("format %d, operators of %q %d", model.int(1), opset.text(1), opset.int(2))
	}
	graph := decode(t, model[7][0].([]byte))
	values := map[string]array{}
	for _, v := range graph[5] {
		f := decode(t, v.([]byte))
		raw := f[9][0].([]byte)
		a := newArray(f.ints(1)...)
		width := map[int]int{1: 4, 7: 8}[f.int(2)]
		if len(raw) != width*len(a.data) {
			t.Fatalf("%s %v of %d bytes", f.text(8), a.dims, len(raw))
		}
		for i := range a.data {
			if width == 4 {
				a.data[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
			} else {
				a.data[i] = float64(int64(binary.LittleEndian.Uint64(raw[8*i:])))
			}
		}
		if _, twice := values[f.text(8)]; twice {
			t.Errorf("two constants %s", f.text(8))
		}
		values[f.text(8)] = a
	}
	if in := decode(t, graph[11][0].([]byte)); len(graph[11]) != 1 || in.text(1) != "images" {
		t.Errorf("input %s", in.text(1))
	}
	values["images"] = images
	names := map[string]bool{}
	for _, v := range graph[1] {
		node := decode(t, v.([]byte))
		if names[node.text(3)] {
			t.Errorf("two nodes %s", node.text(3))
		}
		names[node.text(3)] = true
		var in []array
		for _, name := range node.texts(1) {
			a, ok := values[name]
			if !ok {
				t.Fatalf("%s uses %s before it is made", node.text(3), name)
			}
			in = append(in, a)
		}
		attributes := map[string]fields{}
		for _, a := range node[5] {
			f := decode(t, a.([]byte))
			attributes[f.text(1)] = f
		}
		for i, y := range run(t, node.text(4), in, attributes) {
			name := node.texts(2)[i]
			if _, twice := values[name]; twice {
				t.Fatalf("%s is made twice", name)
			}
			values[name] = y
		}
	}
	outputs := map[string]array{}
	for _, v := range graph[12] {
		f := decode(t, v.([]byte))
		y := values[f.text(1)]
		of := decode(t, decode(t, f[2][0].([]byte))[1][0].([]byte))
		var dims []string
		for _, d := range decode(t, of[2][0].([]byte))[1] {
			dim := decode(t, d.([]byte))
			if name := dim.text(2); name != "" {
				dims = append(dims, name)
			} else {
				dims = append(dims, fmt.Sprint(dim.int(1)))
			}
		}
		want := "batch"
		for _, d := range y.dims[1:] {
			want += fmt.Sprint(" ", d)
		}
		if got := strings.Join(dims, " "); got != want || of.int(1) != 1 {
			t.Errorf("output %s is declared as (%s) of type %d, and is (%s)", f.text(1), got, of.int(1), want)
		}
		outputs[f.text(1)] = y
	}
	return outputs
}

// TestONNX runs what WriteONNX writes and compares it with the model, at the stored size and at one whose position embedding is resized, in
// batches of 1 and 2.
func TestONNX(t *testing.T) {
	for _, c := range models {
		m := lively(c.config)
		for _, size := range [][3]int{{1, c.config.ImageSize, c.config.ImageSize}, {2, 2*c.config.PatchSize + 1, 3 * c.config.PatchSize}} {
			t.Run(fmt.Sprintf("%s/%dx%d", c.name, size[1], size[2]), func(t *testing.T) {
				var b bytes.Buffer
				if err := WriteONNX(&b, m, ONNXOptions{Height: size[1], Width: size[2], Attention: true, Metadata: map[string]string{"b": "2", "a": "1"}}); err != nil {
					t.Fatal(err)
				}
				want := outputs(m, size[0], size[1], size[2])
				x := array{want["x"].Shape, nil}
				for _, v := range want["x"].Data {
					x.data = append(x.data, float64(v))
				}
				got := runModel(t, b.Bytes(), x)
				for name, of := range map[string]string{"cls": "cls", "patch_tokens": "patches", "attention": "attention"} {
					w := want[of]
					if !slices.Equal(got[name].dims, w.Shape) {
						t.Fatalf("%s: %v, want %v", name, got[name].dims, w.Shape)
					}
					largest := 1.0
					for _, v := range w.Data {
						largest = max(largest, math.Abs(float64(v)))
					}
					for i, v := range w.Data {
						if d := math.Abs(got[name].data[i] - float64(v)); !(d <= 2e-5*largest) {
							t.Fatalf("%s: element %d is %g, the model says %g", name, i, got[name].data[i], v)
						}
					}
				}
			})
		}
	}
}

// TestONNXContents: the bytes depend on the model alone, weights have the reference's names, metadata is sorted, no attention unless asked for.
func TestONNXContents(t *testing.T) {
	m := lively(models[2].config)
	write := func() []byte {
		var b bytes.Buffer
		if err := WriteONNX(&b, m, ONNXOptions{Height: 28, Width: 28, Metadata: map[string]string{"b": "2", "a": "1", "c": "3"}}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	file := write()
	if !bytes.Equal(file, write()) {
		t.Error("other bytes the second time")
	}
	model := decode(t, file)
	graph := decode(t, model[7][0].([]byte))
	var outputs, constants []string
	for _, v := range graph[12] {
		outputs = append(outputs, decode(t, v.([]byte)).text(1))
	}
	for _, v := range graph[5] {
		constants = append(constants, decode(t, v.([]byte)).text(8))
	}
	if !slices.Equal(outputs, []string{"cls", "patch_tokens"}) {
		t.Errorf("outputs %v", outputs)
	}
	for _, name := range []string{"patch_embed.proj.weight", "blocks.1.attn.qkv.bias", "blocks.1.attn.qkv.weight/transposed", "blocks.0.ls2.gamma", "norm.weight", "cls_token+pos"} {
		if !slices.Contains(constants, name) {
			t.Errorf("no constant %s in %v", name, constants)
		}
	}
	var keys string
	for _, v := range model[14] {
		keys += decode(t, v.([]byte)).text(1)
	}
	if keys != "abc" {
		t.Errorf("metadata in the order %s", keys)
	}
	if err := WriteONNX(&bytes.Buffer{}, m, ONNXOptions{Height: 13, Width: 28}); err == nil {
		t.Error("images smaller than a patch are accepted")
	}
}
