package ptx

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// program is a kernel made of closures.
type program struct {
	code     []instr
	names    [3][]string // of registers, by class
	consts   []constant
	specials []special
	local    int      // bytes a thread
	ways     sync.Map // see leads

	mutex   sync.Mutex
	covered []uint8 // what instructions ever did: see coverage.go
}

// class is a file of registers.
type class uint8

const (
	class32 class = iota // also of 8 and 16 bits, whose upper bits are zero
	class64
	classPred
)

type constant struct {
	class class
	reg   int
	bits  uint64
}

// special is a register that has its value when the block starts, as %tid.x.
type special struct {
	reg   int
	value func(w *warp, lane int) uint32
}

// run does an instruction for the lanes of m, of which there is at least one.
type run func(w *warp, m uint32)

type kind uint8

const (
	plain kind = iota
	branch
	leave
)

// instr is an instruction, as decoders see it and the executor uses it.
type instr struct {
	run    run
	kind   kind
	negate bool
	guard  int32 // register of the predicate, or -1
	target int32 // of a branch

	op   []string // the opcode, split at its points
	args []operand
	line int
	text string
}

type operandKind uint8

const (
	register operandKind = iota
	immediate
	address // [base+offset], and what else is in the brackets
	vector
	symbol // a label, or a name that nothing declared
	sink   // _
)

type operand struct {
	kind   operandKind
	class  class
	reg    int
	width  int       // of the register's declared type, in bytes; 0 of predicates
	bits   uint64    // of an immediate
	offset int64     // of an address
	parts  []operand // of a vector; of an address: base, further operands
	name   string
	pair   *operand // of d|p: p
	negate bool     // of a predicate
}

// decoder makes the closure of an instruction; what it cannot do it reports by c.fail.
type decoder func(c *compiler, in *instr) run

// decoders are the instructions known, by the first word of the opcode or its first words ("wgmma.mma_async"); the longest that fits is used.
var decoders = map[string]decoder{}

func decode(opcode string, d decoder) {
	if decoders[opcode] != nil {
		panic("two decoders of " + opcode)
	}
	decoders[opcode] = d
}

// specialRegisters are those that mov may read, by name.
var specialRegisters = map[string]func(w *warp, lane int) uint32{
	"%tid.x":             func(w *warp, l int) uint32 { return uint32((w.id*32 + l) % w.b.threads[0]) },
	"%tid.y":             func(w *warp, l int) uint32 { return uint32((w.id*32 + l) / w.b.threads[0] % w.b.threads[1]) },
	"%tid.z":             func(w *warp, l int) uint32 { return uint32((w.id*32 + l) / w.b.threads[0] / w.b.threads[1]) },
	"%ntid.x":            func(w *warp, l int) uint32 { return uint32(w.b.threads[0]) },
	"%ntid.y":            func(w *warp, l int) uint32 { return uint32(w.b.threads[1]) },
	"%ntid.z":            func(w *warp, l int) uint32 { return uint32(w.b.threads[2]) },
	"%ctaid.x":           func(w *warp, l int) uint32 { return uint32(w.b.index[0]) },
	"%ctaid.y":           func(w *warp, l int) uint32 { return uint32(w.b.index[1]) },
	"%ctaid.z":           func(w *warp, l int) uint32 { return uint32(w.b.index[2]) },
	"%nctaid.x":          func(w *warp, l int) uint32 { return uint32(w.b.run.grid[0]) },
	"%nctaid.y":          func(w *warp, l int) uint32 { return uint32(w.b.run.grid[1]) },
	"%nctaid.z":          func(w *warp, l int) uint32 { return uint32(w.b.run.grid[2]) },
	"%laneid":            func(w *warp, l int) uint32 { return uint32(l) },
	"%warpid":            func(w *warp, l int) uint32 { return uint32(w.id) },
	"%nwarpid":           func(w *warp, l int) uint32 { return uint32(len(w.b.warps)) },
	"%lanemask_eq":       func(w *warp, l int) uint32 { return 1 << l },
	"%lanemask_lt":       func(w *warp, l int) uint32 { return 1<<l - 1 },
	"%lanemask_le":       func(w *warp, l int) uint32 { return 2<<l - 1 },
	"%lanemask_gt":       func(w *warp, l int) uint32 { return ^uint32(2<<l - 1) },
	"%lanemask_ge":       func(w *warp, l int) uint32 { return ^uint32(1<<l - 1) },
	"%dynamic_smem_size": func(w *warp, l int) uint32 { return uint32(w.b.run.dynamic) },
	"%total_smem_size":   func(w *warp, l int) uint32 { return uint32(len(w.b.shared.data)) },
}

// compiler is the state of making a program.
type compiler struct {
	k         *kernel
	p         *program
	scopes    []map[string]operand
	locals    map[string]int
	constants map[constant]int
	special   map[string]operand
	labels    map[string]int
	in        *instr
}

type unsupported struct{ error }

// fail ends the compilation of the kernel.
func (c *compiler) fail(format string, args ...any) {
	panic(unsupported{fmt.Errorf("%s\n\tat PTX line %d of kernel %s: %s", fmt.Sprintf(format, args...), c.in.line, c.k.name, c.in.text)})
}

// compile makes the kernel's program.
func (k *kernel) compile() (p *program, err error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.program != nil || k.fault != nil {
		return k.program, k.fault
	}
	c := &compiler{k: k, p: &program{}, scopes: []map[string]operand{{}}, locals: map[string]int{}, constants: map[constant]int{}, special: map[string]operand{}, labels: map[string]int{}, in: &instr{}}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case unsupported:
			k.fault, err = r.error, r.error
		default:
			panic(r)
		}
	}()
	for _, v := range k.sharedSyms {
		c.declareShared(v)
	}
	var pending []instr
	for _, s := range k.body {
		c.in = &instr{line: s.line, text: s.text}
		switch {
		case s.text == "{":
			c.scopes = append(c.scopes, map[string]operand{})
		case s.text == "}":
			c.scopes = c.scopes[:len(c.scopes)-1]
		case strings.HasSuffix(s.text, ":"):
			c.labels[strings.TrimSuffix(s.text, ":")] = len(pending)
		case s.text[0] == '.':
			c.declare(s.text)
		default:
			pending = append(pending, c.instruction(s))
		}
	}
	for _, v := range k.sharedSyms { // dynamic memory follows what has a size
		if v.extern {
			k.shared[v.name] = roundUp(k.staticSize, 16)
		}
	}
	for i := range pending {
		in := &pending[i]
		c.in = in
		c.resolve(in.args)
		switch in.op[0] {
		case "bra":
			at, ok := c.labels[in.args[0].name]
			if !ok {
				c.fail("label %s is nowhere", in.args[0].name)
			}
			in.kind, in.target = branch, int32(at)
		case "ret", "exit":
			in.kind = leave
		default:
			in.run = c.find(in)(c, in)
		}
	}
	c.p.code = append(pending, instr{kind: leave, guard: -1, op: []string{"ret"}, text: "end of the kernel"})
	k.program = c.p
	return c.p, nil
}

func (c *compiler) find(in *instr) decoder {
	for n := len(in.op); n > 0; n-- {
		if d := decoders[strings.Join(in.op[:n], ".")]; d != nil {
			return d
		}
	}
	c.fail("the interpreter does not know the instruction %s", strings.Join(in.op, "."))
	return nil
}

func (c *compiler) declareShared(v *variable) {
	if v.extern {
		return
	}
	c.k.staticSize = roundUp(c.k.staticSize, v.align)
	c.k.shared[v.name] = c.k.staticSize
	c.k.staticSize += v.bytes
}

func (c *compiler) declare(text string) {
	if p := regForm.FindStringSubmatch(text); p != nil {
		width, ok := widths[p[1]]
		if !ok || width > 8 {
			c.fail("registers of type .%s are unknown to the interpreter", p[1])
		}
		for _, name := range strings.Split(p[2], ",") {
			name = strings.TrimSpace(name)
			if r := rangeForm.FindStringSubmatch(name); r != nil {
				n, _ := strconv.Atoi(r[2])
				for i := range n {
					c.register(r[1]+strconv.Itoa(i), width)
				}
			} else {
				c.register(name, width)
			}
		}
		return
	}
	v, err := parseVariable(text)
	switch {
	case err != nil:
		c.fail("%v", err)
	case v == nil:
		if !strings.HasPrefix(text, ".loc") && !strings.HasPrefix(text, ".pragma") && !strings.HasPrefix(text, ".file") {
			c.fail("declaration unknown to the interpreter")
		}
	case v.space == "shared":
		c.declareShared(v)
	case v.space == "local":
		c.p.local = roundUp(c.p.local, v.align)
		c.locals[v.name] = c.p.local
		c.p.local += v.bytes
	default:
		c.fail("memory .%s in a kernel is unknown to the interpreter", v.space)
	}
}

func classOf(width int) class {
	switch width {
	case 0:
		return classPred
	case 8:
		return class64
	}
	return class32
}

func (c *compiler) newRegister(cl class, name string) int {
	c.p.names[cl] = append(c.p.names[cl], name)
	return len(c.p.names[cl]) - 1
}

func (c *compiler) register(name string, width int) {
	cl := classOf(width)
	c.scopes[len(c.scopes)-1][name] = operand{kind: register, class: cl, reg: c.newRegister(cl, name), width: width, name: name}
}

var opcodeForm = regexp.MustCompile(`^[\w.:]+`)

func (c *compiler) instruction(s statement) instr {
	in := instr{line: s.line, text: s.text, guard: -1}
	c.in = &in
	text := s.text
	if text[0] == '@' {
		p, rest, _ := strings.Cut(text[1:], " ")
		in.negate = strings.HasPrefix(p, "!")
		o := c.operand(strings.TrimPrefix(p, "!"))
		if o.kind != register || o.class != classPred {
			c.fail("%s is no predicate", p)
		}
		in.guard, text = int32(o.reg), strings.TrimSpace(rest)
	}
	op := opcodeForm.FindString(text)
	in.op = strings.Split(op, ".")
	for _, a := range splitArgs(text[len(op):]) {
		in.args = append(in.args, c.operand(a))
	}
	return in
}

func (c *compiler) lookup(name string) (operand, bool) {
	for i := len(c.scopes) - 1; i >= 0; i-- {
		if o, ok := c.scopes[i][name]; ok {
			return o, true
		}
	}
	return operand{}, false
}

func (c *compiler) operand(s string) operand {
	s = strings.TrimSpace(s)
	if o, ok := c.lookup(s); ok {
		return o
	}
	switch {
	case s == "":
		c.fail("an operand is missing")
	case s == "_":
		return operand{kind: sink}
	case s[0] == '{':
		o := operand{kind: vector}
		for _, part := range splitArgs(s[1 : len(s)-1]) {
			o.parts = append(o.parts, c.operand(part))
		}
		return o
	case s[0] == '[':
		o := operand{kind: address}
		inside := splitArgs(s[1 : len(s)-1])
		base := inside[0]
		if j := strings.LastIndexAny(base, "+-"); j > 0 {
			text := strings.TrimSpace(base[j+1:])
			if n, err := strconv.ParseInt(text, 0, 64); err == nil {
				o.offset = n
				if base[j] == '-' {
					o.offset = -n
				}
				base = strings.TrimRight(base[:j], "+ ")
			}
		}
		o.parts = append(o.parts, c.operand(base))
		for _, part := range inside[1:] {
			o.parts = append(o.parts, c.operand(part))
		}
		return o
	case s[0] == '!':
		o := c.operand(s[1:])
		o.negate = true
		return o
	case s[0] == '%' && strings.Contains(s, "|"):
		d, p, _ := strings.Cut(s, "|")
		o, pair := c.operand(d), c.operand(p)
		o.pair = &pair
		return o
	case s[0] == '%':
		if o, ok := c.special[s]; ok {
			return o
		}
		value := specialRegisters[s]
		if value == nil {
			c.fail("special register %s is unknown to the interpreter", s)
		}
		o := operand{kind: register, class: class32, reg: c.newRegister(class32, s), width: 4, name: s}
		c.p.specials = append(c.p.specials, special{o.reg, value})
		c.special[s] = o
		return o
	}
	if v, ok := number(s); ok {
		return operand{kind: immediate, bits: v, name: s}
	}
	if at, ok := c.k.params[s]; ok {
		return operand{kind: immediate, bits: paramWindow + uint64(at), name: s}
	}
	return operand{kind: symbol, name: s}
}

// resolve turns the names of memory into addresses, once all are known.
func (c *compiler) resolve(args []operand) {
	for i := range args {
		o := &args[i]
		c.resolve(o.parts)
		if o.kind != symbol {
			continue
		}
		if at, ok := c.k.shared[o.name]; ok {
			o.kind, o.bits = immediate, uint64(at)
		} else if at, ok := c.locals[o.name]; ok {
			o.kind, o.bits = immediate, uint64(at)
		} else {
			for _, v := range c.k.module.globals {
				if v.name == o.name {
					o.kind, o.bits = immediate, v.address
				}
			}
		}
	}
}

// What decoders ask for.

// arg is operand i.
func (c *compiler) arg(i int) operand {
	if i >= len(c.in.args) {
		c.fail("operand %d is missing", i)
	}
	return c.in.args[i]
}

// has says if the opcode has a part of that name.
func (in *instr) has(part string) bool {
	for _, x := range in.op {
		if x == part {
			return true
		}
	}
	return false
}

// last is the opcode's last part, mostly the type.
func (in *instr) last() string { return in.op[len(in.op)-1] }

// source is the register of that class that holds the operand: its own, or one that holds the constant.
func (c *compiler) source(cl class, o operand) int {
	switch o.kind {
	case register:
		if o.class != cl {
			c.fail("register %s has the wrong width here", o.name)
		}
		return o.reg
	case immediate:
		bits := o.bits
		switch cl {
		case class32:
			bits = uint64(uint32(bits))
			if widths[c.in.last()] == 2 {
				bits &= 0xffff // registers of 16 bits have nothing above
			}
		case classPred:
			if bits != 0 {
				bits = 1
			}
		}
		return c.constant(cl, bits)
	}
	c.fail("operand %s is neither a register nor a number", o.name)
	return 0
}

func (c *compiler) constant(cl class, bits uint64) int {
	key := constant{class: cl, bits: bits}
	if r, ok := c.constants[key]; ok {
		return r
	}
	r := c.newRegister(cl, fmt.Sprintf("constant %#x", bits))
	c.constants[key] = r
	c.p.consts = append(c.p.consts, constant{cl, r, bits})
	return r
}

func (c *compiler) source32(i int) int   { return c.source(class32, c.arg(i)) }
func (c *compiler) source64(i int) int   { return c.source(class64, c.arg(i)) }
func (c *compiler) sourcePred(i int) int { return c.source(classPred, c.arg(i)) }

// dest is the register that an instruction writes; of a sink one that nobody reads.
func (c *compiler) dest(cl class, o operand) int {
	if o.kind == sink {
		return c.newRegister(cl, "_")
	}
	if o.kind != register || o.class != cl {
		c.fail("operand %s is no register of this width", o.name)
	}
	return o.reg
}

func (c *compiler) dest32(i int) int   { return c.dest(class32, c.arg(i)) }
func (c *compiler) dest64(i int) int   { return c.dest(class64, c.arg(i)) }
func (c *compiler) destPred(i int) int { return c.dest(classPred, c.arg(i)) }

// sources are the registers of a vector, or of one operand.
func (c *compiler) sources(cl class, o operand) []int {
	if o.kind != vector {
		return []int{c.source(cl, o)}
	}
	var r []int
	for _, p := range o.parts {
		r = append(r, c.source(cl, p))
	}
	return r
}

func (c *compiler) dests(cl class, o operand) []int {
	if o.kind != vector {
		return []int{c.dest(cl, o)}
	}
	var r []int
	for _, p := range o.parts {
		r = append(r, c.dest(cl, p))
	}
	return r
}

// width is that of a type's name in bytes.
func (c *compiler) width(typ string) int {
	w, ok := widths[typ]
	if !ok {
		c.fail("type .%s is unknown to the interpreter", typ)
	}
	return w
}
