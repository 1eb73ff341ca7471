package cudatest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/godino-ml/godino/kernels/cuda"
)

// Mutation is a bug that is put into a kernel's PTX, to see that tests find it. Devices of a process whose environment has one, as Environment gives it, have
// the bug.
type Mutation struct {
	File, Kernel string // the kernel of ptx/File.ptx
	Old          string // a regular expression
	New          string // what replaces it; $1 is its first group
	Nth          int    // which of its occurrences, from 0
}

const mutationVariable = "GODINO_PTX_MUTATION"

// Environment is the variable of a process in which the bug is.
func (m Mutation) Environment() string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return mutationVariable + "=" + string(b)
}

// Apply puts the bug into the text of File.
func (m Mutation) Apply(text []byte) ([]byte, error) {
	from := bytes.Index(text, []byte(".entry "+m.Kernel+"("))
	if from < 0 {
		return nil, fmt.Errorf("%s.ptx has no kernel %s", m.File, m.Kernel)
	}
	to := len(text)
	if next := bytes.Index(text[from+1:], []byte(".entry ")); next >= 0 {
		to = from + 1 + next
	}
	old, err := regexp.Compile(m.Old)
	if err != nil {
		return nil, err
	}
	body := text[from:to]
	places := old.FindAllSubmatchIndex(body, -1)
	if m.Nth >= len(places) {
		return nil, fmt.Errorf("kernel %s has %d of %q, and number %d is to be changed", m.Kernel, len(places), m.Old, m.Nth)
	}
	at := places[m.Nth]
	edited := append([]byte{}, text[:from+at[0]]...)
	edited = old.Expand(edited, []byte(m.New), body, at)
	return append(edited, text[from+at[1]:]...), nil
}

// mutation is what the environment wants to be done to PTX, or nil.
var mutation = sync.OnceValue(func() func(text []byte) []byte {
	variable := os.Getenv(mutationVariable)
	if variable == "" {
		return nil
	}
	var m Mutation
	if err := json.NewDecoder(strings.NewReader(variable)).Decode(&m); err != nil {
		panic(fmt.Sprintf("%s: %v", mutationVariable, err))
	}
	original, err := cuda.PTX(m.File)
	if err != nil {
		panic(err)
	}
	edited, err := m.Apply(original)
	if err != nil {
		panic(err)
	}
	return func(text []byte) []byte {
		if bytes.Equal(text, original) {
			return edited
		}
		return text
	}
})
