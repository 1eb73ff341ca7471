package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// unpickle runs a checked pickle. Tensors become *tensorRef, storages *storageRef: nothing of their data is read here.
func unpickle(p []byte) (value any, err error) {
	if err := checkPickle(p); err != nil {
		return nil, err
	}
	defer func() { // gopickle indexes without looking on some malformed programs
		if r := recover(); r != nil {
			err = fmt.Errorf("pickle: %v", r)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(p))
	u.FindClass = findClass
	u.PersistentLoad = loadStorage
	value, err = u.Load()
	if err != nil {
		return nil, fmt.Errorf("pickle: %w", err)
	}
	return value, nil
}

// storageRef is a persistent id: where a storage is and how long.
type storageRef struct {
	key      string
	dtype    Dtype
	elements int
}

// tensorRef is what _rebuild_tensor_v2 was called with.
type tensorRef struct {
	storage *storageRef
	offset  int
	shape   []int
	strides []int
}

// object is an instance whose attributes are kept: argparse.Namespace.
type object struct {
	attributes types.Dict
}

func (o *object) PyDictSet(key, value any) error {
	o.attributes.Set(key, value)
	return nil
}

type storageClass struct{ dtype Dtype }

type numpyDtype struct{ name string }

// PySetState takes numpy's byte order and flags; '<' is all that is read here, which scalar checks by the name's size alone.
func (d *numpyDtype) PySetState(state any) error {
	t, ok := state.(*types.Tuple)
	if !ok || t.Len() < 2 {
		return errors.New("a numpy dtype without state")
	}
	if order, ok := t.Get(1).(string); !ok || (order != "<" && order != "|" && order != "=") {
		return errors.New("a numpy dtype that is not little-endian")
	}
	return nil
}

// latin1 is bytes; a pointer to it prints as an address inside gopickle's messages.
type latin1 struct{ bytes []byte }

// function is a callable of the allow-list.
type function func(args []any) (any, error)

func (f function) Call(args ...any) (any, error) { return f(args) }

// newObject is a class whose instances keep attributes.
type newObject struct{}

func (newObject) PyNew(...any) (any, error) { return &object{}, nil }

var storageTypes = map[string]Dtype{
	"FloatStorage": F32, "DoubleStorage": F64, "HalfStorage": F16, "BFloat16Storage": BF16, "LongStorage": I64,
	"IntStorage": I32, "ShortStorage": I16, "CharStorage": I8, "ByteStorage": U8, "BoolStorage": BOOL,
}

func findClass(module, name string) (any, error) {
	if d, ok := storageTypes[name]; ok && module == "torch" {
		return &storageClass{d}, nil
	}
	switch module + "." + name {
	case "torch._utils._rebuild_tensor_v2":
		return function(rebuildTensor), nil
	case "torch._utils._rebuild_parameter": // (data, requires_grad, hooks)
		return function(first[*tensorRef]), nil
	case "torch.Size": // (tuple)
		return function(first[*types.Tuple]), nil
	case "argparse.Namespace":
		return newObject{}, nil
	case "numpy.dtype":
		return function(func(args []any) (any, error) {
			name, err := first[string](args)
			if err != nil {
				return nil, err
			}
			return &numpyDtype{name.(string)}, nil
		}), nil
	case "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar":
		return function(numpyScalar), nil
	case "_codecs.encode":
		return function(encodeLatin1), nil
	}
	return nil, refusedClass(module + "." + name)
}

// first returns the first argument if it is a T.
func first[T any](args []any) (any, error) {
	if len(args) > 0 {
		if v, ok := args[0].(T); ok {
			return v, nil
		}
	}
	return nil, errors.New("a call with arguments of the wrong kind")
}

// loadStorage resolves ("storage", class, key, location, elements).
func loadStorage(id any) (any, error) {
	t, ok := id.(*types.Tuple)
	if !ok || t.Len() != 5 || t.Get(0) != "storage" {
		return nil, errors.New("a persistent id that is no storage")
	}
	class, ok1 := t.Get(1).(*storageClass)
	key, ok2 := t.Get(2).(string)
	n, ok3 := t.Get(4).(int)
	if !ok1 || !ok2 || !ok3 || n < 0 {
		return nil, errors.New("a storage with fields of the wrong kind")
	}
	return &storageRef{key: key, dtype: class.dtype, elements: n}, nil
}

// rebuildTensor is called with (storage, offset, size, stride, requires_grad, hooks).
func rebuildTensor(args []any) (any, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor with too few fields")
	}
	storage, ok1 := args[0].(*storageRef)
	offset, ok2 := args[1].(int)
	shape, ok3 := ints(args[2])
	strides, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(strides) || len(shape) > maxDims {
		return nil, errors.New("a tensor with fields of the wrong kind")
	}
	return &tensorRef{storage: storage, offset: offset, shape: shape, strides: strides}, nil
}

func ints(v any) ([]int, bool) {
	t, ok := v.(*types.Tuple)
	if !ok || t.Len() > maxDims {
		return nil, false
	}
	list := make([]int, t.Len())
	for i := range list {
		if list[i], ok = t.Get(i).(int); !ok {
			return nil, false
		}
	}
	return list, true
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

// numpyScalar is called with (dtype, bytes).
func numpyScalar(args []any) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("a numpy scalar with fields missing")
	}
	d, ok1 := args[0].(*numpyDtype)
	l, ok2 := args[1].(*latin1)
	if !ok1 || !ok2 {
		return nil, errors.New("a numpy scalar with fields of the wrong kind")
	}
	b := l.bytes
	switch {
	case d.name == "f8" && len(b) == 8:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	case d.name == "f4" && len(b) == 4:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), nil
	case d.name == "i8" && len(b) == 8:
		return int(binary.LittleEndian.Uint64(b)), nil
	case d.name == "i4" && len(b) == 4:
		return int(int32(binary.LittleEndian.Uint32(b))), nil
	case d.name == "b1" && len(b) == 1:
		return b[0] != 0, nil
	}
	return nil, fmt.Errorf("a numpy scalar of type %.16q in %d bytes", d.name, len(b))
}
