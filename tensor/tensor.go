package tensor

import (
	"fmt"
	"slices"
	"strings"
)

// Tensor is a dense row-major float32 array on a device.
type Tensor struct {
	dev   *Device
	shape []int
	data  []float32
	lent  int // place in the lent list of its arena, from 1; 0 if no arena has lent it
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

// New makes a tensor of zeros.
func New(dev *Device, shape ...int) *Tensor {
	return &Tensor{dev: dev, shape: slices.Clone(shape), data: make([]float32, product(shape))}
}

// FromSlice makes a tensor of data without copying it: len(data) must be the product of the shape.
func FromSlice(dev *Device, data []float32, shape ...int) *Tensor {
	if product(shape) != len(data) {
		panic(&ShapeError{Op: "FromSlice", Shapes: [][]int{{len(data)}, slices.Clone(shape)}, Want: "as many elements as the slice has"})
	}
	return &Tensor{dev: dev, shape: slices.Clone(shape), data: data}
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
func (t *Tensor) Len() int { return len(t.data) }

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

// Data is the tensor's memory, row-major; writing to it writes to the tensor and to all its views.
func (t *Tensor) Data() []float32 { return t.data }

// View is the same memory under another shape of as many elements.
func (t *Tensor) View(shape ...int) *Tensor {
	if product(shape) != len(t.data) {
		panic(&ShapeError{Op: "View", Shapes: [][]int{t.shape, slices.Clone(shape)}, Want: "as many elements"})
	}
	return &Tensor{dev: t.dev, shape: slices.Clone(shape), data: t.data}
}

// Slice is the view of rows [from, to) of the leading dimension.
func (t *Tensor) Slice(from, to int) *Tensor {
	if len(t.shape) == 0 || from < 0 || to < from || to > t.shape[0] {
		panic(&ShapeError{Op: "Slice", Shapes: [][]int{t.shape, {from, to}}, Want: "0 <= from <= to <= leading dimension"})
	}
	row := product(t.shape[1:])
	shape := slices.Clone(t.shape)
	shape[0] = to - from
	return &Tensor{dev: t.dev, shape: shape, data: t.data[from*row : to*row : to*row]}
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
