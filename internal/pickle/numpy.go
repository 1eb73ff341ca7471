package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/nlpodyssey/gopickle/types"
)

// NumpyClasses are the names that arrays and scalars of numpy use. FindNumpy serves them.
var NumpyClasses = []string{
	"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
	"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
	"numpy.ndarray", "numpy.dtype",
	"_codecs.encode", "__builtin__.bytes", // how protocol 2 writes bytes, and none
}

// Function is a callable of an allow-list.
type Function func(args []any) (any, error)

func (f Function) Call(args ...any) (any, error) { return f(args) }

// First returns the first argument if it is a T.
func First[T any](args []any) (any, error) {
	if len(args) > 0 {
		if v, ok := args[0].(T); ok {
			return v, nil
		}
	}
	return nil, errors.New("a call with arguments of the wrong kind")
}

// Array is a numpy array of numbers, row by row. Integers beyond 2^53 are refused.
type Array struct {
	Shape  []int
	Values []float64
}

const maxArrayDims = 8

// FindNumpy turns a name of NumpyClasses into what gopickle calls: scalars become int, float64 or bool, arrays *Array.
func FindNumpy(module, name string) (any, bool) {
	switch module + "." + name {
	case "numpy.dtype":
		return Function(func(args []any) (any, error) {
			name, err := First[string](args)
			if err != nil {
				return nil, err
			}
			return &dtype{name.(string)}, nil
		}), true
	case "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar":
		return Function(scalar), true
	case "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct": // (class, shape, kind), all filled in by the state
		return Function(func([]any) (any, error) { return &Array{}, nil }), true
	case "numpy.ndarray":
		return ndarray{}, true
	case "_codecs.encode":
		return Function(encodeLatin1), true
	case "__builtin__.bytes":
		return Function(func(args []any) (any, error) {
			if len(args) != 0 {
				return nil, errors.New("bytes made of something")
			}
			return &latin1{}, nil
		}), true
	}
	return nil, false
}

type ndarray struct{} // only named, as argument of _reconstruct

type dtype struct{ name string }

// PySetState takes numpy's byte order and flags; '<' is all that is read here, which scalar checks by the name's size alone.
func (d *dtype) PySetState(state any) error {
	t, ok := state.(*types.Tuple)
	if !ok || t.Len() < 2 {
		return errors.New("a numpy dtype without state")
	}
	if order, ok := t.Get(1).(string); !ok || (order != "<" && order != "|" && order != "=") {
		return errors.New("a numpy dtype that is not little-endian")
	}
	return nil
}

// PySetState takes (version, shape, dtype, fortran order, bytes).
func (a *Array) PySetState(state any) error {
	wrong := errors.New("a numpy array with fields of the wrong kind")
	t, ok := state.(*types.Tuple)
	if !ok || t.Len() != 5 {
		return wrong
	}
	shape, ok1 := t.Get(1).(*types.Tuple)
	d, ok2 := t.Get(2).(*dtype)
	fortran, ok3 := t.Get(3).(bool)
	raw, ok4 := rawBytes(t.Get(4))
	if !ok1 || !ok2 || !ok3 || !ok4 || shape.Len() > maxArrayDims {
		return wrong
	}
	width := d.width()
	if width == 0 {
		return fmt.Errorf("a numpy array of type %.16q; numbers are read here", d.name)
	}
	n, dims := len(raw)/width, make([]int, shape.Len())
	count := 1
	for i := range dims {
		v, ok := shape.Get(i).(int)
		if !ok || v < 0 || v > n || v > 0 && count > n/v {
			return fmt.Errorf("a numpy array whose shape does not fit its %d bytes", len(raw))
		}
		dims[i] = v
		count *= v
	}
	if count*width != len(raw) {
		return fmt.Errorf("a numpy array whose shape does not fit its %d bytes", len(raw))
	}
	if fortran && len(dims) > 1 {
		return errors.New("a numpy array in Fortran order")
	}
	values := make([]float64, n)
	for i := range values {
		v, err := d.number(raw[i*width : (i+1)*width])
		if err != nil {
			return err
		}
		switch v := v.(type) {
		case int:
			if v > 1<<53 || v < -1<<53 {
				return errors.New("a numpy array with integers beyond 2^53")
			}
			values[i] = float64(v)
		case float64:
			values[i] = v
		case bool:
			if v {
				values[i] = 1
			}
		}
	}
	a.Shape, a.Values = dims, values
	return nil
}

// latin1 is bytes; a pointer to it prints as an address inside gopickle's messages.
type latin1 struct{ bytes []byte }

// rawBytes are bytes, however the protocol writes them.
func rawBytes(v any) ([]byte, bool) {
	switch v := v.(type) {
	case *latin1:
		return v.bytes, true
	case []byte:
		return v, true
	case string: // Python 2
		return []byte(v), true
	}
	return nil, false
}

// encodeLatin1 is Python's _codecs.encode(text, "latin1").
func encodeLatin1(args []any) (any, error) {
	if len(args) != 2 || args[1] != "latin1" {
		return nil, errors.New("bytes in an encoding other than latin1")
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, errors.New("bytes from something that is no string")
	}
	var b []byte
	for _, r := range text {
		if r > 0xff {
			return nil, errors.New("bytes with a character beyond latin1")
		}
		b = append(b, byte(r))
	}
	return &latin1{b}, nil
}

// scalar is called with (dtype, bytes).
func scalar(args []any) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("a numpy scalar with fields missing")
	}
	d, ok1 := args[0].(*dtype)
	b, ok2 := rawBytes(args[1])
	if !ok1 || !ok2 {
		return nil, errors.New("a numpy scalar with fields of the wrong kind")
	}
	return d.number(b)
}

// width is the size of a number in bytes, 0 for what is none.
func (d *dtype) width() int {
	switch d.name {
	case "f8", "i8", "u8":
		return 8
	case "f4", "i4", "u4":
		return 4
	case "i2", "u2":
		return 2
	case "i1", "u1", "b1":
		return 1
	}
	return 0
}

// number is an int, a float64 or a bool.
func (d *dtype) number(b []byte) (any, error) {
	if len(b) != d.width() || len(b) == 0 {
		return nil, fmt.Errorf("a numpy scalar of type %.16q in %d bytes", d.name, len(b))
	}
	switch d.name {
	case "f8":
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	case "f4":
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), nil
	case "i8":
		return int(binary.LittleEndian.Uint64(b)), nil
	case "u8":
		v := binary.LittleEndian.Uint64(b)
		if v > math.MaxInt64 {
			return nil, errors.New("a numpy integer beyond 2^63")
		}
		return int(v), nil
	case "i4":
		return int(int32(binary.LittleEndian.Uint32(b))), nil
	case "u4":
		return int(binary.LittleEndian.Uint32(b)), nil
	case "i2":
		return int(int16(binary.LittleEndian.Uint16(b))), nil
	case "u2":
		return int(binary.LittleEndian.Uint16(b)), nil
	case "i1":
		return int(int8(b[0])), nil
	case "u1":
		return int(b[0]), nil
	}
	return b[0] != 0, nil // b1
}
