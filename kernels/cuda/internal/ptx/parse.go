package ptx

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// module is a file of PTX.
type module struct {
	kernels map[string]*kernel
	globals []*variable // of module scope, in .global or .const
}

// kernel is an .entry.
type kernel struct {
	module     *module
	name       string
	line       int
	body       []statement
	params     map[string]int // offsets
	paramSizes [][2]int       // offsets and sizes, in order
	paramBytes int
	shared     map[string]int // offsets in the block's shared memory
	staticSize int            // bytes of shared memory with a size; dynamic memory follows
	sharedSyms []*variable    // of module scope
	maxThreads int            // .maxntid, 0 if not given
	cluster    [3]int         // .reqnctapercluster

	mutex    sync.Mutex // of what follows
	program  *program
	fault    error
	launches atomic.Int64
}

// variable is memory with a name.
type variable struct {
	name         string
	space        string
	align, bytes int
	extern       bool
	init         []byte
	address      uint64 // of globals, once the module is loaded
}

// statement is an instruction, a declaration, a label, or the beginning or end of a scope.
type statement struct {
	line int
	text string // "{" and "}" are scopes
}

var widths = map[string]int{
	"pred": 0, "b8": 1, "u8": 1, "s8": 1, "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2, "b32": 4, "u32": 4, "s32": 4, "f32": 4, "f16x2": 4, "bf16x2": 4, "tf32": 4,
	"b64": 8, "u64": 8, "s64": 8, "f64": 8, "b128": 16,
}

var (
	comments  = regexp.MustCompile(`//[^\n]*`)
	entryForm = regexp.MustCompile(`\.entry\s+([\w$]+)\s*\(`)
	paramForm = regexp.MustCompile(`\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(?:\.ptr[^,]*?\s)?([\w$]+)(?:\[(\d+)\])?`)
	spaceForm = regexp.MustCompile(`^(?:\.visible\s+|\.weak\s+)?(\.extern\s+)?\.(shared|global|const|local)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)((?:\[\d*\])*)\s*(?:=\s*(.*))?$`)
	regForm   = regexp.MustCompile(`^\.reg\s*\.(\w+)\s+(.*)$`)
	rangeForm = regexp.MustCompile(`^([%\w$]+)<(\d+)>$`)
	maxForm   = regexp.MustCompile(`\.(?:maxntid|reqntid)\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?`)
	clustForm = regexp.MustCompile(`\.reqnctapercluster\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?`)
)

// parse reads a module. Kernels are compiled when they are first used, so one unknown instruction does not fail the others.
func parse(text string) (*module, error) {
	text = comments.ReplaceAllString(text, "")
	m := &module{kernels: map[string]*kernel{}}
	lineAt := func(offset int) int { return 1 + strings.Count(text[:offset], "\n") }
	var symbols []*variable
	at := 0
	for {
		found := entryForm.FindStringSubmatchIndex(text[at:])
		end := len(text)
		if found != nil {
			end = at + found[0]
		}
		for _, s := range strings.Split(text[at:end], ";") {
			if i := strings.LastIndex(s, "\n."); i >= 0 && strings.Contains(s[:i], ".address_size") {
				s = s[i+1:]
			}
			s = strings.Join(strings.Fields(s), " ")
			if v, err := parseVariable(s); err != nil {
				return nil, err
			} else if v != nil {
				switch v.space {
				case "shared":
					symbols = append(symbols, v)
				default:
					m.globals = append(m.globals, v)
				}
			}
			if strings.Contains(s, ".func") {
				return nil, fmt.Errorf("the interpreter knows no functions: %.60s", s)
			}
		}
		if found == nil {
			break
		}
		k := &kernel{module: m, name: text[at+found[2] : at+found[3]], line: lineAt(at + found[0]), params: map[string]int{}, shared: map[string]int{}}
		open := at + found[1]
		closing := open + strings.IndexByte(text[open:], ')')
		for _, p := range paramForm.FindAllStringSubmatch(text[open:closing], -1) {
			size := widths[p[2]]
			align := size
			if p[4] != "" {
				n, _ := strconv.Atoi(p[4])
				size *= n
			}
			if p[1] != "" {
				align, _ = strconv.Atoi(p[1])
			}
			k.paramBytes = roundUp(k.paramBytes, align)
			k.params[p[3]] = k.paramBytes
			k.paramSizes = append(k.paramSizes, [2]int{k.paramBytes, size})
			k.paramBytes += size
		}
		brace := closing + strings.IndexByte(text[closing:], '{')
		if p := maxForm.FindStringSubmatch(text[closing:brace]); p != nil {
			k.maxThreads = product3(p[1:])
		}
		if p := clustForm.FindStringSubmatch(text[closing:brace]); p != nil {
			for i := range k.cluster {
				k.cluster[i] = 1
				if p[1+i] != "" {
					k.cluster[i], _ = strconv.Atoi(p[1+i])
				}
			}
		}
		k.sharedSyms = symbols
		end, err := k.statements(text, brace+1, lineAt(brace+1))
		if err != nil {
			return nil, err
		}
		m.kernels[k.name] = k
		at = end
	}
	return m, nil
}

func product3(s []string) int {
	p := 1
	for _, x := range s {
		if n, err := strconv.Atoi(x); err == nil {
			p *= n
		}
	}
	return p
}

func roundUp(n, to int) int {
	if to <= 1 {
		return n
	}
	return (n + to - 1) / to * to
}

// parseVariable reads a declaration of memory; nil if it is none.
func parseVariable(s string) (*variable, error) {
	p := spaceForm.FindStringSubmatch(s)
	if p == nil {
		return nil, nil
	}
	v := &variable{name: p[5], space: p[2], extern: p[1] != ""}
	width, ok := widths[p[4]]
	if !ok {
		return nil, fmt.Errorf("type .%s of %s is unknown to the interpreter", p[4], v.name)
	}
	v.align, v.bytes = width, width
	if p[3] != "" {
		v.align, _ = strconv.Atoi(p[3])
	}
	for _, n := range strings.Split(strings.Trim(p[6], "[]"), "][") {
		if p[6] == "" {
			break
		}
		if n == "" {
			v.extern = true
			v.bytes = 0
		}
		k, _ := strconv.Atoi(n)
		v.bytes *= k
	}
	if p[7] != "" {
		v.init = make([]byte, 0, v.bytes)
		for _, x := range strings.Split(strings.Trim(p[7], "{} "), ",") {
			x = strings.TrimSpace(x)
			bits, ok := number(x)
			if !ok {
				return nil, fmt.Errorf("initial value %s of %s is not a number", x, v.name)
			}
			for i := range width {
				v.init = append(v.init, byte(bits>>(8*i)))
			}
		}
		for len(v.init) < v.bytes {
			v.init = append(v.init, 0)
		}
	}
	return v, nil
}

// statements reads the body of a kernel, from behind its brace; it returns where the body ended.
func (k *kernel) statements(text string, at, line int) (int, error) {
	depth := 1      // of scopes
	inOperands := 0 // braces of vectors
	start, startLine := at, line
	emit := func(to int) {
		s := strings.Join(strings.Fields(text[start:to]), " ")
		if s != "" {
			k.body = append(k.body, statement{startLine, s})
		}
	}
	for i := at; i < len(text); i++ {
		switch c := text[i]; c {
		case '\n':
			line++
			if strings.TrimSpace(text[start:i]) == "" {
				start, startLine = i+1, line
			}
		case '{':
			if strings.TrimSpace(text[start:i]) == "" {
				k.body = append(k.body, statement{line, "{"})
				depth++
				start, startLine = i+1, line
			} else {
				inOperands++
			}
		case '}':
			if inOperands > 0 {
				inOperands--
				continue
			}
			emit(i)
			depth--
			start, startLine = i+1, line
			if depth == 0 {
				return i + 1, nil
			}
			k.body = append(k.body, statement{line, "}"})
		case ';':
			emit(i)
			start, startLine = i+1, line
		case ':':
			if label := strings.TrimSpace(text[start:i]); label != "" && !strings.ContainsAny(label, " \t\n,[{(.") && (i+1 >= len(text) || text[i+1] != ':') {
				k.body = append(k.body, statement{startLine, label + ":"})
				start, startLine = i+1, line
			}
		}
	}
	return 0, fmt.Errorf("kernel %s does not end", k.name)
}

// splitArgs splits at the commas outside of brackets.
func splitArgs(s string) []string {
	var parts []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(s[start:]); last != "" {
		parts = append(parts, last)
	}
	return parts
}

// number reads an integer, or the bits of a float.
func number(s string) (uint64, bool) {
	if len(s) > 2 && s[0] == '0' {
		switch s[1] {
		case 'f', 'F':
			v, err := strconv.ParseUint(s[2:], 16, 32)
			return v, err == nil
		case 'd', 'D':
			v, err := strconv.ParseUint(s[2:], 16, 64)
			return v, err == nil
		}
	}
	s = strings.TrimRight(s, "U")
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return uint64(v), true
	}
	v, err := strconv.ParseUint(s, 0, 64)
	return v, err == nil
}
