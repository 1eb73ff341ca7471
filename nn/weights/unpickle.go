package weights

import (
	"errors"
	"fmt"

	"github.com/nlpodyssey/gopickle/types"

	"github.com/godino-ml/godino/internal/pickle"
)

// pthRules are what torch.save writes: pickle protocol 2 and the names that PyTorch's own weights_only loader knows.
var pthRules = pickle.Rules{
	Writer:   "torch.save",
	Protocol: 2,
	Classes: map[string]bool{
		"collections.OrderedDict":         true,
		"torch._utils._rebuild_tensor_v2": true,
		"torch._utils._rebuild_parameter": true,
		"torch.Size":                      true,
		"argparse.Namespace":              true, // the options of a training script
		"numpy.core.multiarray.scalar":    true, // learning rates computed by numpy
		"numpy._core.multiarray.scalar":   true,
		"numpy.dtype":                     true,
		"_codecs.encode":                  true,
	},
	Find:       findClass,
	Persistent: loadStorage,
	Advice:     "save the state dict alone: torch.save(model.state_dict(), ...)",
}

func init() {
	for name := range storageTypes {
		pthRules.Classes["torch."+name] = true
	}
}

// unpickle runs a pickle that keeps to the rules. Tensors become *tensorRef, storages *storageRef: nothing of their data is read here.
func unpickle(p []byte) (any, error) { return pickle.Load(p, pthRules) }

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
		return pickle.Function(rebuildTensor), nil
	case "torch._utils._rebuild_parameter": // (data, requires_grad, hooks)
		return pickle.Function(pickle.First[*tensorRef]), nil
	case "torch.Size": // (tuple)
		return pickle.Function(pickle.First[*types.Tuple]), nil
	case "argparse.Namespace":
		return newObject{}, nil
	}
	if f, ok := pickle.FindNumpy(module, name); ok {
		return f, nil
	}
	return nil, fmt.Errorf("no class %s.%s", module, name)
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
