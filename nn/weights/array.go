package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Array is a dense float32 array, row-major.
type Array struct {
	Name  string
	Shape []int
	Data  []float32
}

// Entry says what an array is without its numbers.
func (a Array) Entry() Entry { return Entry{Name: a.Name, Dtype: F32, Shape: a.Shape} }

// Raw is a dense array of any element type, as little-endian bytes.
type Raw struct {
	Name  string
	Dtype Dtype
	Shape []int
	Data  []byte
}

// Int64s makes a Raw of int64 numbers.
func Int64s(name string, shape []int, data []int64) Raw {
	b := make([]byte, 0, 8*len(data))
	for _, v := range data {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return Raw{Name: name, Dtype: I64, Shape: shape, Data: b}
}

// Bytes makes a one-dimensional Raw of bytes.
func Bytes(name string, data []byte) Raw {
	return Raw{Name: name, Dtype: U8, Shape: []int{len(data)}, Data: data}
}

// Int64s returns the numbers of a Raw of type I64.
func (r Raw) Int64s() ([]int64, error) {
	if r.Dtype != I64 {
		return nil, fmt.Errorf("%s holds %s, not I64", r.Name, r.Dtype)
	}
	v := make([]int64, len(r.Data)/8)
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(r.Data[8*i:]))
	}
	return v, nil
}

// Entry is the name, element type and shape of an array.
type Entry struct {
	Name  string
	Dtype Dtype
	Shape []int
}

// String is "name (2, 3)".
func (e Entry) String() string { return e.Name + " " + shapeString(e.Shape) }

// Len is the number of elements.
func (e Entry) Len() int {
	n := 1
	for _, d := range e.Shape {
		n *= d
	}
	return n
}

// Entries lists what arrays are.
func Entries(arrays []Array) []Entry {
	entries := make([]Entry, len(arrays))
	for i, a := range arrays {
		entries[i] = a.Entry()
	}
	return entries
}

func shapeString(shape []int) string {
	s := "("
	for i, d := range shape {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprint(d)
	}
	return s + ")"
}

// Dtype is an element type by its safetensors name.
type Dtype string

const (
	F64  Dtype = "F64"
	F32  Dtype = "F32"
	F16  Dtype = "F16"
	BF16 Dtype = "BF16"
	I64  Dtype = "I64"
	I32  Dtype = "I32"
	I16  Dtype = "I16"
	I8   Dtype = "I8"
	U8   Dtype = "U8"
	BOOL Dtype = "BOOL"
)

// size is the bytes of one element; 0 for a type unknown here.
func (d Dtype) size() int {
	switch d {
	case F64, I64, "U64":
		return 8
	case F32, I32, "U32":
		return 4
	case F16, BF16, I16, "U16":
		return 2
	case I8, U8, BOOL, "F8_E4M3", "F8_E5M2":
		return 1
	}
	return 0
}

// Float says whether the elements are floating point and are read as float32.
func (d Dtype) Float() bool { return d == F32 || d == F64 || d == F16 || d == BF16 }

// decode turns the bytes of dst's elements into float32.
func (d Dtype) decode(dst []float32, src []byte) {
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case F16:
		for i := range dst {
			dst[i] = halfToFloat(binary.LittleEndian.Uint16(src[2*i:]))
		}
	default:
		panic("weights: decode of " + string(d))
	}
}

// halfToFloat widens an IEEE 754 binary16; every value is exact in float32.
func halfToFloat(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent, mantissa := uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exponent {
	case 0: // zero and subnormals: mantissa · 2^-24
		v := float32(mantissa) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31: // infinity and NaN
		return math.Float32frombits(sign | 0xff<<23 | mantissa<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
}

// elements multiplies a shape's dimensions, refusing negative ones and products that do not fit limit.
func elements(shape []int, limit int64) (int64, error) {
	n := int64(1)
	if slices.Contains(shape, 0) {
		limit = max(limit, 1)
	}
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative dimension in shape %s", shapeString(shape))
		}
		if d > 0 && n > limit/int64(d) {
			return 0, fmt.Errorf("shape %s has more elements than the file can hold", shapeString(shape))
		}
		n *= int64(d)
	}
	return n, nil
}
