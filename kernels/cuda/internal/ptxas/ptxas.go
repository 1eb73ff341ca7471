// Package ptxas asks NVIDIA's assembler what it makes of a PTX file: registers, shared memory, spills and warnings.
package ptxas

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// Kernel is what a kernel takes.
type Kernel struct {
	Name      string
	Registers int    // of a thread
	Shared    int    // bytes of a block, without dynamic shared memory
	Stack     int    // bytes of a thread
	Spills    int    // bytes that a thread stores and loads for want of registers
	Version   string // of ptxas
}

// Version is that of the ptxas in PATH, as V12.4.131; the error says that there is none.
func Version() (string, error) {
	out, err := exec.Command("ptxas", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ptxas: %w", err)
	}
	v := regexp.MustCompile(`V\d+\.\d+\.\d+`).Find(out)
	if v == nil {
		return "", fmt.Errorf("ptxas --version says no version: %q", out)
	}
	return string(v), nil
}

// Assemble runs ptxas on a PTX file, for the architecture that it names. A warning is an error.
func Assemble(file string) ([]Kernel, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	target := regexp.MustCompile(`(?m)^\.target (\w+)`).FindSubmatch(text)
	if target == nil {
		return nil, fmt.Errorf("%s has no .target", file)
	}
	out, err := exec.Command("ptxas", "-v", "-arch="+string(target[1]), file, "-o", os.DevNull).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ptxas %s: %w\n%s", file, err, out)
	}
	version, err := Version()
	if err != nil {
		return nil, err
	}
	return parse(file, version, out)
}

var (
	// A serialised wgmma or an ignored setmaxnreg has a number and is information, not a warning.
	warning = regexp.MustCompile(`^ptxas warning|\(C75\d\d\)|Potential Performance Loss`)

	entry = regexp.MustCompile(`Compiling entry function '([^']+)'`)
	stack = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
	used  = regexp.MustCompile(`Used (\d+) registers`)
	smem  = regexp.MustCompile(`(\d+) bytes smem`)
)

func parse(file, version string, out []byte) ([]Kernel, error) {
	var all []Kernel
	var now Kernel
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		line := lines.Text()
		number := func(s string) int { n, _ := strconv.Atoi(s); return n }
		if warning.MatchString(line) {
			return nil, fmt.Errorf("ptxas %s: %s", file, line)
		}
		if m := entry.FindStringSubmatch(line); m != nil {
			now = Kernel{Name: m[1], Version: version}
		}
		if m := stack.FindStringSubmatch(line); m != nil {
			now.Stack, now.Spills = number(m[1]), number(m[2])+number(m[3])
		}
		if m := used.FindStringSubmatch(line); m != nil {
			now.Registers = number(m[1])
			if m := smem.FindStringSubmatch(line); m != nil {
				now.Shared = number(m[1])
			}
			all = append(all, now)
		}
	}
	return all, nil
}

// Format is the text of a file ptx/name.regs.
func Format(kernels []Kernel) string {
	var b strings.Builder
	for _, k := range kernels {
		fmt.Fprintf(&b, "%s: %d registers, %d bytes shared, by ptxas %s\n", k.Name, k.Registers, k.Shared, k.Version)
	}
	return b.String()
}

var line = regexp.MustCompile(`^(\w+): (\d+) registers, (\d+) bytes shared, by ptxas (\S+)\n$`)

// Read reads what Format wrote.
func Read(text string) ([]Kernel, error) {
	var all []Kernel
	for l := range strings.Lines(text) {
		m := line.FindStringSubmatch(l)
		if m == nil {
			return nil, fmt.Errorf("unexpected line %q", l)
		}
		k := Kernel{Name: m[1], Version: m[4]}
		k.Registers, _ = strconv.Atoi(m[2])
		k.Shared, _ = strconv.Atoi(m[3])
		all = append(all, k)
	}
	return all, nil
}
