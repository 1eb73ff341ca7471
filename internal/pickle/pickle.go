// Package pickle reads Python pickles that nobody has vouched for: checkpoints, ground-truth files.
//
// A pickle is a program for a stack machine, and gopickle, which runs it, believes what it reads: lengths, counts, names. So the program is
// read through once before it runs. Let through are the instructions that plain data need, with lengths inside the file, marks that match,
// classes of a short list, and a bound on the memory that running it can take. What a class does is the caller's, and Numpy's for arrays and
// scalars of numpy.
package pickle

import (
	"bytes"
	"fmt"

	"github.com/nlpodyssey/gopickle/pickle"
)

// Rules say what a kind of file may hold.
type Rules struct {
	// Writer is who writes such files, for error messages: "torch.save".
	Writer string
	// Protocol is the highest one read: 2 to 5.
	Protocol byte
	// Classes are the names that the program may call, as "collections.OrderedDict". Everything else is refused by name: in Python,
	// loading it would run code.
	Classes map[string]bool
	// Find turns an allowed name into what gopickle calls; nil if no class is allowed.
	Find func(module, name string) (any, error)
	// Persistent resolves a persistent id; nil refuses them.
	Persistent func(id any) (any, error)
	// Advice ends the message about a refused class.
	Advice string
}

// Load checks the program p and runs it.
func Load(p []byte, r Rules) (value any, err error) {
	if err := check(p, &r); err != nil {
		return nil, err
	}
	defer func() { // gopickle indexes without looking on some malformed programs
		if r := recover(); r != nil {
			err = fmt.Errorf("pickle: %v", r)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(p))
	u.FindClass = func(module, name string) (any, error) {
		if r.Find == nil || !r.Classes[module+"."+name] {
			return nil, r.refused(module + "." + name)
		}
		return r.Find(module, name)
	}
	u.PersistentLoad = r.Persistent
	value, err = u.Load()
	if err != nil {
		return nil, fmt.Errorf("pickle: %w", err)
	}
	return value, nil
}

func (r *Rules) refused(name string) error {
	return fmt.Errorf("the file asks for %q, which is not on the list of classes that it may use; %s", name, r.Advice)
}
