package tensor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/godino-ml/godino/kernels/cuda"
)

// Tensor is a dense row-major array on a device: of float32, or, among the activations of a GPU, of bf16 (see Arena.New).
type Tensor struct {
	dev   *Device
	shape []int
	n     int       // elements
	data  []float32 // on a CPU
	gpu             // on a GPU
	lent  int       // place in the lent list of its arena, from 1; 0 if no arena has lent it
}

// ShapeError is the panic of an operation whose tensors do not fit: a mistake of the program.
type ShapeError struct {
	Op     string  // the operation, as LinearForward
	Shapes [][]int // the shapes it was given, in the order of its arguments
	Want   string  // what would fit, in words or letters
}

func (e *ShapeError) Error() string {
	s := make([]string, len(e.Shapes))
	for i := range e.Shapes {
		s[i] = fmt.Sprint(e.Shapes[i])
	}
	return fmt.Sprintf("tensor: %s of shapes %s: want %s", e.Op, strings.Join(s, ", "), e.Want)
}

// check panics with a *ShapeError unless ok. Nil tensors show as nil shapes.
func check(ok bool, op, want string, ts ...*Tensor) {
	if ok {
		return
	}
	e := &ShapeError{Op: op, Want: want}
	for _, t := range ts {
		var s []int
		if t != nil {
			s = slices.Clone(t.shape)
		}
		e.Shapes = append(e.Shapes, s)
	}
	panic(e)
}

// New makes a tensor of float32 zeros.
func New(dev *Device, shape ...int) *Tensor {
	t := &Tensor{dev: dev, shape: slices.Clone(shape), n: product(shape)}
	if g := dev.gpu; g != nil {
		t.gpu = dev.allocate(t.n * cuda.Float32.Size())
		g.Clear(t.ptr, t.n, cuda.Float32)
		return t
	}
	t.data = make([]float32, t.n)
	return t
}

// FromSlice makes a tensor of data, on a CPU without copying it: len(data) must be the product of the shape.
func FromSlice(dev *Device, data []float32, shape ...int) *Tensor {
	if product(shape) != len(data) {
		panic(&ShapeError{Op: "FromSlice", Shapes: [][]int{{len(data)}, slices.Clone(shape)}, Want: "as many elements as the slice has"})
	}
	t := &Tensor{dev: dev, shape: slices.Clone(shape), n: len(data)}
	if dev.gpu != nil {
		t.gpu = dev.allocate(t.n * cuda.Float32.Size())
		t.SetFloats(data)
		return t
	}
	t.data = data
	return t
}

// Device is where the tensor lives.
func (t *Tensor) Device() *Device { return t.dev }

// Shape is the tensor's shape; it must not be modified.
func (t *Tensor) Shape() []int { return t.shape }

// Dim is the size of dimension i; negative i count from the last.
func (t *Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.shape)
	}
	return t.shape[i]
}

// Len is the number of elements.
func (t *Tensor) Len() int { return t.n }

// Cols is the size of the last dimension and Rows the product of the others: the tensor seen as a matrix.
func (t *Tensor) Cols() int {
	if len(t.shape) == 0 {
		return 1
	}
	return t.shape[len(t.shape)-1]
}

// Rows is the product of all dimensions but the last.
func (t *Tensor) Rows() int {
	if len(t.shape) == 0 {
		return 1
	}
	return product(t.shape[:len(t.shape)-1])
}

// Data is the memory of a tensor on a CPU, row-major; writing to it writes to the tensor and to all its views. A tensor on a GPU has none: see
// Floats and SetFloats.
func (t *Tensor) Data() []float32 {
	if t.dev.gpu != nil {
		panic(fmt.Sprintf("tensor: Data of %v, which is on a GPU: use Floats and SetFloats", t))
	}
	return t.data
}

// Floats are the elements, row-major: on a CPU the tensor's memory, on a GPU a copy, for which it waits.
func (t *Tensor) Floats() []float32 {
	if t.dev.gpu == nil {
		return t.data
	}
	return t.download()
}

// SetFloats copies elements to the tensor.
func (t *Tensor) SetFloats(x []float32) {
	if len(x) != t.n {
		panic(&ShapeError{Op: "SetFloats", Shapes: [][]int{t.shape, {len(x)}}, Want: "as many elements as the tensor has"})
	}
	if t.dev.gpu == nil {
		copy(t.data, x)
		return
	}
	t.upload(x)
}

// Copy copies the elements of src to dst, of as many, whatever their devices and types.
func Copy(dst, src *Tensor) {
	check(dst.n == src.n, "Copy", "as many elements", dst, src)
	switch g := dst.dev.gpu; {
	case g != nil && dst.ptr == src.ptr && dst.typ == src.typ: // a copy of itself
	case g == nil && src.dev.gpu == nil:
		copy(dst.data, src.data)
	case g == src.dev.gpu && dst.typ == src.typ:
		dst.written()
		g.Copy(dst.ptr, src.ptr, dst.n*dst.typ.Size())
	case g == src.dev.gpu:
		dst.written()
		g.Convert(dst.ptr, dst.typ, src.ptr, src.typ, dst.n)
	default:
		dst.SetFloats(src.Floats())
	}
}

// Zero sets every element to 0.
func (t *Tensor) Zero() {
	if g := t.dev.gpu; g != nil {
		t.written()
		g.Clear(t.ptr, t.n, t.typ)
		return
	}
	clear(t.data)
}

// View is the same memory under another shape of as many elements.
func (t *Tensor) View(shape ...int) *Tensor {
	if product(shape) != t.n {
		panic(&ShapeError{Op: "View", Shapes: [][]int{t.shape, slices.Clone(shape)}, Want: "as many elements"})
	}
	return &Tensor{dev: t.dev, shape: slices.Clone(shape), n: t.n, data: t.data, gpu: t.gpu}
}

// Slice is the view of rows [from, to) of the leading dimension.
func (t *Tensor) Slice(from, to int) *Tensor {
	if len(t.shape) == 0 || from < 0 || to < from || to > t.shape[0] {
		panic(&ShapeError{Op: "Slice", Shapes: [][]int{t.shape, {from, to}}, Want: "0 <= from <= to <= leading dimension"})
	}
	row := product(t.shape[1:])
	shape := slices.Clone(t.shape)
	shape[0] = to - from
	v := &Tensor{dev: t.dev, shape: shape, n: (to - from) * row, gpu: t.gpu}
	if t.dev.gpu != nil {
		v.ptr = t.ptr.Add(from*row, t.typ)
		return v
	}
	v.data = t.data[from*row : to*row : to*row]
	return v
}

// SameShape says whether both have the same shape.
func SameShape(a, b *Tensor) bool { return slices.Equal(a.shape, b.shape) }

// String describes the tensor, not its elements.
func (t *Tensor) String() string { return fmt.Sprintf("Tensor%v", t.shape) }

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 {
			panic(&ShapeError{Op: "shape", Shapes: [][]int{slices.Clone(shape)}, Want: "no negative dimension"})
		}
		n *= d
	}
	return n
}
