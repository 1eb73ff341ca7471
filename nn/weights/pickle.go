package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A pickle is a program for a stack machine, and gopickle, which runs it, believes what it reads: lengths, counts, names. So the
// program is read through once before it runs. Let through are the instructions of pickle protocol 2 that torch.save writes (the set
// that PyTorch's own weights_only loader knows), with lengths inside the file, marks that match, classes of a short list, and a bound
// on the memory that running it can take.

// allowedClasses are the names a .pth may call. Everything else is refused by name: in Python, loading it would run code.
var allowedClasses = map[string]bool{
	"collections.OrderedDict":         true,
	"torch._utils._rebuild_tensor_v2": true,
	"torch._utils._rebuild_parameter": true,
	"torch.FloatStorage":              true,
	"torch.DoubleStorage":             true,
	"torch.HalfStorage":               true,
	"torch.BFloat16Storage":           true,
	"torch.LongStorage":               true,
	"torch.IntStorage":                true,
	"torch.ShortStorage":              true,
	"torch.CharStorage":               true,
	"torch.ByteStorage":               true,
	"torch.BoolStorage":               true,
	"torch.Size":                      true,
	"argparse.Namespace":              true, // the options of a training script
	"numpy.core.multiarray.scalar":    true, // learning rates computed by numpy
	"numpy._core.multiarray.scalar":   true,
	"numpy.dtype":                     true,
	"_codecs.encode":                  true, // how protocol 2 writes bytes
}

const (
	maxPickle      = 32 << 20 // bytes of data.pkl; a ViT-B checkpoint with optimizer has 150 KB
	maxPickleCost  = 32 << 20 // bytes that running it may allocate, estimated from above
	maxPickleMarks = 64       // nesting
)

// checkPickle reads the program through without running it.
func checkPickle(p []byte) error {
	if len(p) > maxPickle {
		return fmt.Errorf("a pickle of %d bytes; %d are allowed", len(p), maxPickle)
	}
	s := pickleScan{rest: p, memo: map[uint32]int{}}
	for {
		at := len(p) - len(s.rest)
		stop, err := s.step()
		if err != nil {
			return fmt.Errorf("pickle, byte %d: %w", at, err)
		}
		if s.cost > maxPickleCost {
			return fmt.Errorf("pickle, byte %d: running it would take more than %d MB", at, maxPickleCost>>20)
		}
		if stop {
			if len(s.rest) > 0 {
				return fmt.Errorf("pickle: %d bytes after its end", len(s.rest))
			}
			return nil
		}
	}
}

type pickleScan struct {
	rest  []byte
	marks int
	cost  int
	// A string is pushed again by two bytes, and an error message of gopickle may print it each time: so its length counts each
	// time. top is the length of the string on top of the stack, 0 for anything else; memo that of remembered strings.
	top  int
	memo map[uint32]int
}

// The cost of an instruction is what gopickle allocates for it, from above: stack growth and boxing, Go maps, list elements.
const (
	costAny       = 96
	costMark      = 384
	costContainer = 512
	costPut       = 160
)

func (s *pickleScan) step() (stop bool, err error) {
	b, err := s.take(1)
	if err != nil {
		return false, err
	}
	op := b[0]
	s.cost += costAny
	top := 0
	switch op {
	case 0x80: // PROTO
		if b, err = s.take(1); err == nil && b[0] != 2 {
			err = fmt.Errorf("pickle protocol %d; torch.save writes 2 unless told otherwise: save the file again without pickle_protocol", b[0])
		}
	case '.': // STOP
		return true, nil
	case '(': // MARK
		s.cost += costMark
		if s.marks++; s.marks > maxPickleMarks {
			err = errors.New("nested too deeply")
		}
	case 't', 'u', 'e': // TUPLE, SETITEMS, APPENDS: to the last mark
		if s.marks--; s.marks < 0 {
			err = errors.New("an end without a beginning")
		}
	case '}', ']', ')', 0x85, 0x86, 0x87, 'R', 0x81, 'b', 'Q': // containers; REDUCE, NEWOBJ, BUILD, BINPERSID
		s.cost += costContainer
	case 'N', 0x88, 0x89, 's', 'a': // None, True, False, SETITEM, APPEND
	case 'K': // BININT1
		_, err = s.take(1)
	case 'M': // BININT2
		_, err = s.take(2)
	case 'J': // BININT
		_, err = s.take(4)
	case 'G': // BINFLOAT
		_, err = s.take(8)
	case 0x8a: // LONG1
		if b, err = s.take(1); err == nil {
			if b[0] == 0 || b[0] > 16 {
				return false, fmt.Errorf("an integer of %d bytes", b[0])
			}
			_, err = s.take(int(b[0]))
		}
	case 'X': // BINUNICODE
		if b, err = s.take(4); err == nil {
			top, err = s.text(int64(binary.LittleEndian.Uint32(b)))
		}
	case 'U': // SHORT_BINSTRING
		if b, err = s.take(1); err == nil {
			top, err = s.text(int64(b[0]))
		}
	case 'q': // BINPUT
		if b, err = s.take(1); err == nil {
			top = s.put(uint32(b[0]))
		}
	case 'r': // LONG_BINPUT
		if b, err = s.take(4); err == nil {
			top = s.put(binary.LittleEndian.Uint32(b))
		}
	case 'h': // BINGET
		if b, err = s.take(1); err == nil {
			top, err = s.get(uint32(b[0]))
		}
	case 'j': // LONG_BINGET
		if b, err = s.take(4); err == nil {
			top, err = s.get(binary.LittleEndian.Uint32(b))
		}
	case 'c': // GLOBAL
		err = s.class()
	default:
		err = fmt.Errorf("instruction %#x, which torch.save does not write", op)
	}
	s.top = top
	return false, err
}

func (s *pickleScan) take(n int) ([]byte, error) {
	if n > len(s.rest) {
		return nil, errors.New("cut short")
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b, nil
}

func (s *pickleScan) text(n int64) (int, error) {
	if n > int64(len(s.rest)) {
		return 0, fmt.Errorf("a string of %d bytes where %d are left", n, len(s.rest))
	}
	s.rest = s.rest[n:]
	s.cost += 8 * int(n) // bytes, string, and what quoting makes of it
	return int(n), nil
}

func (s *pickleScan) put(slot uint32) int {
	s.cost += costPut
	s.memo[slot] = s.top
	return s.top
}

func (s *pickleScan) get(slot uint32) (int, error) {
	n, ok := s.memo[slot]
	if !ok {
		return 0, fmt.Errorf("memo %d is used before it is set", slot)
	}
	s.cost += 8 * n
	return n, nil
}

func (s *pickleScan) class() error {
	var words [2]string
	for i := range words {
		n := bytes.IndexByte(s.rest, '\n')
		if n < 0 || n > 256 {
			return errors.New("a class name without end")
		}
		words[i] = string(s.rest[:n])
		s.rest = s.rest[n+1:]
	}
	if name := words[0] + "." + words[1]; !allowedClasses[name] {
		return refusedClass(name)
	}
	s.cost += costContainer
	return nil
}

func refusedClass(name string) error {
	return fmt.Errorf("the file asks for %q, which is not on the list of classes a weight file may use; "+
		"save the state dict alone: torch.save(model.state_dict(), ...)", name)
}
