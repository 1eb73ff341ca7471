package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxProgram is the longest pickle read, in bytes; that of a ViT-B checkpoint with optimizer has 150 KB.
const MaxProgram = 32 << 20

const (
	maxCost  = 32 << 20 // bytes that running it may allocate, estimated from above
	maxMarks = 64       // nesting
)

// check reads the program through without running it.
func check(p []byte, r *Rules) error {
	if len(p) > MaxProgram {
		return fmt.Errorf("a pickle of %d bytes; %d are allowed", len(p), MaxProgram)
	}
	s := scan{rules: r, rest: p, memo: map[uint32]pushed{}}
	for {
		at := len(p) - len(s.rest)
		stop, err := s.step()
		if err != nil {
			return fmt.Errorf("pickle, byte %d: %w", at, err)
		}
		if s.cost > maxCost {
			return fmt.Errorf("pickle, byte %d: running it would take more than %d MB", at, maxCost>>20)
		}
		if stop {
			if len(s.rest) > 0 {
				return fmt.Errorf("pickle: %d bytes after its end", len(s.rest))
			}
			return nil
		}
	}
}

type scan struct {
	rules *Rules
	rest  []byte
	marks int
	cost  int
	// What the last two instructions pushed, as far as it is known, and what is remembered. A string is pushed again by two bytes, and an
	// error message of gopickle may print it each time: so its length counts each time. And STACK_GLOBAL takes a class's name from the stack.
	top, below pushed
	memo       map[uint32]pushed
}

// pushed is a value on the stack: text if it is a string, else unknown.
type pushed struct {
	text  []byte
	known bool
}

// The cost of an instruction is what gopickle allocates for it, from above: stack growth and boxing, Go maps, list elements.
const (
	costAny       = 96
	costMark      = 384
	costContainer = 512
	costPut       = 160
)

func (s *scan) step() (stop bool, err error) {
	b, err := s.take(1)
	if err != nil {
		return false, err
	}
	op := b[0]
	s.cost += costAny
	if later, ok := s.laterProtocol(op); ok {
		if s.rules.Protocol < 3 {
			return false, s.unknown(op)
		}
		return false, later()
	}
	switch op {
	case 0x80: // PROTO
		if b, err = s.take(1); err == nil && (b[0] < 2 || b[0] > s.rules.Protocol) {
			err = fmt.Errorf("pickle protocol %d; %s writes 2 unless told otherwise: save the file again with protocol 2", b[0], s.rules.Writer)
		}
		return false, err
	case '.': // STOP
		return true, nil
	case '(': // MARK
		s.cost += costMark
		if s.marks++; s.marks > maxMarks {
			err = errors.New("nested too deeply")
		}
	case 't', 'u', 'e': // TUPLE, SETITEMS, APPENDS: to the last mark
		if s.marks--; s.marks < 0 {
			err = errors.New("an end without a beginning")
		}
	case 'Q': // BINPERSID
		s.cost += costContainer
		if s.rules.Persistent == nil {
			err = s.unknown(op)
		}
	case '}', ']', ')', 0x85, 0x86, 0x87, 'R', 0x81, 'b': // containers; REDUCE, NEWOBJ, BUILD
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
		return false, s.text(4)
	case 'U': // SHORT_BINSTRING
		return false, s.text(1)
	case 'q', 'r': // BINPUT, LONG_BINPUT: the stack stays
		slot, err := s.slot(op == 'r')
		if err == nil {
			s.put(slot)
		}
		return false, err
	case 'h', 'j': // BINGET, LONG_BINGET
		slot, err := s.slot(op == 'j')
		if err != nil {
			return false, err
		}
		v, ok := s.memo[slot]
		if !ok {
			return false, fmt.Errorf("memo %d is used before it is set", slot)
		}
		s.cost += 8 * len(v.text)
		s.push(v)
		return false, nil
	case 'c': // GLOBAL
		err = s.class()
	default:
		err = s.unknown(op)
	}
	s.top, s.below = pushed{}, pushed{}
	return false, err
}

// laterProtocol knows the instructions of protocols 3 to 5 that plain data need, and cPickle's strings of protocol 2.
func (s *scan) laterProtocol(op byte) (run func() error, ok bool) {
	switch op {
	case 'T', 'B': // BINSTRING, BINBYTES
		return func() error { return s.text(4) }, true
	case 'C', 0x8c: // SHORT_BINBYTES, SHORT_BINUNICODE
		return func() error { return s.text(1) }, true
	case 0x94: // MEMOIZE
		return func() error { s.put(uint32(len(s.memo))); return nil }, true
	case 0x95: // FRAME: says how much is read ahead
		return func() error {
			b, err := s.take(8)
			if err != nil {
				return err
			}
			if n := binary.LittleEndian.Uint64(b); n > uint64(len(s.rest)) {
				return fmt.Errorf("a frame of %d bytes where %d are left", n, len(s.rest))
			} else {
				s.cost += int(n)
			}
			return nil
		}, true
	case 0x93: // STACK_GLOBAL
		return func() error {
			if !s.top.known || !s.below.known {
				return errors.New("a class whose name is not written out")
			}
			err := s.named(string(s.below.text) + "." + string(s.top.text))
			s.top, s.below = pushed{}, pushed{}
			return err
		}, true
	}
	return nil, false
}

func (s *scan) unknown(op byte) error {
	return fmt.Errorf("instruction %#x, which %s does not write", op, s.rules.Writer)
}

func (s *scan) take(n int) ([]byte, error) {
	if n > len(s.rest) {
		return nil, errors.New("cut short")
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b, nil
}

// text reads a string or bytes whose length is written in width bytes.
func (s *scan) text(width int) error {
	b, err := s.take(width)
	if err != nil {
		return err
	}
	n := int64(b[0])
	if width == 4 {
		n = int64(binary.LittleEndian.Uint32(b))
	}
	if n > int64(len(s.rest)) {
		return fmt.Errorf("a string of %d bytes where %d are left", n, len(s.rest))
	}
	s.push(pushed{s.rest[:n], true})
	s.rest = s.rest[n:]
	s.cost += 8 * int(n) // bytes, string, and what quoting makes of it
	return nil
}

func (s *scan) push(v pushed) { s.below, s.top = s.top, v }

func (s *scan) slot(long bool) (uint32, error) {
	if long {
		b, err := s.take(4)
		if err != nil {
			return 0, err
		}
		return binary.LittleEndian.Uint32(b), nil
	}
	b, err := s.take(1)
	if err != nil {
		return 0, err
	}
	return uint32(b[0]), nil
}

func (s *scan) put(slot uint32) {
	s.cost += costPut
	s.memo[slot] = s.top
}

func (s *scan) class() error {
	var words [2]string
	for i := range words {
		n := bytes.IndexByte(s.rest, '\n')
		if n < 0 || n > 256 {
			return errors.New("a class name without end")
		}
		words[i] = string(s.rest[:n])
		s.rest = s.rest[n+1:]
	}
	return s.named(words[0] + "." + words[1])
}

func (s *scan) named(class string) error {
	if !s.rules.Classes[class] {
		return s.rules.refused(class)
	}
	s.cost += costContainer
	return nil
}
