package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"
)

// Flags have the names of the reference implementation, which writes them with underscores; hyphens mean the same here.

// underscored spells every flag of args with underscores. What follows a bare -- is left alone, and so are values.
func underscored(args []string) []string {
	out := make([]string, len(args))
	copy(out, args)
	for i, a := range args {
		if a == "--" {
			break
		}
		if !strings.HasPrefix(a, "--") {
			continue
		}
		name, value, hasValue := strings.Cut(a[2:], "=")
		name = strings.ReplaceAll(name, "-", "_")
		if hasValue {
			name += "=" + value
		}
		out[i] = "--" + name
	}
	return out
}

// snakeCase names the flag of a struct's field: OutDim is out_dim, NbKNN is nb_knn.
func snakeCase(field string) string {
	var b strings.Builder
	r := []rune(field)
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 && (unicode.IsLower(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// switchMapper reads booleans as the reference's bool_flag does: --use_fp16 false, and also --use_fp16=off or a bare --use_fp16.
type switchMapper struct{}

var boolKind = reflect.Bool

func (switchMapper) IsBool() bool { return true }

func (switchMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Peek()
	word := strings.ToLower(token.String())
	value, known := map[string]bool{"on": true, "true": true, "1": true, "off": false, "false": false, "0": false}[word]
	switch {
	case known && !token.IsEOL():
		ctx.Scan.Pop()
		target.SetBool(value)
	case token.Type == kong.FlagValueToken:
		return fmt.Errorf("%q is neither true nor false (on, off, true, false, 1 or 0)", token.String())
	default:
		target.SetBool(true)
	}
	return nil
}

// interval is a flag of two numbers, as --global_crops_scale 0.4 1.
type interval [2]float64

func (i interval) String() string { return fmt.Sprintf("%g %g", i[0], i[1]) }

var rangeType = reflect.TypeFor[interval]()

// rangeMapper reads an interval from two arguments, or from one with a comma between the numbers.
type rangeMapper struct{}

func (rangeMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var first, second string
	if err := ctx.Scan.PopValueInto("number", &first); err != nil {
		return err
	}
	if a, b, ok := strings.Cut(first, ","); ok {
		first, second = a, b
	} else if err := ctx.Scan.PopValueInto("number", &second); err != nil {
		return fmt.Errorf("takes two numbers, as in 0.4 1 or 0.4,1: %w", err)
	}
	var r interval
	for i, s := range []string{first, second} {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return fmt.Errorf("takes two numbers, as in 0.4 1 or 0.4,1; %q is none", s)
		}
		r[i] = v
	}
	target.Set(reflect.ValueOf(r))
	return nil
}

// optional is a flag whose value may be left out: a bare --resume means "latest".
type optional string

var optionalType = reflect.TypeFor[optional]()

type optionalMapper struct{}

func (optionalMapper) IsBool() bool { return true } // the parser then allows it to stand alone

func (optionalMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	value := "latest"
	if token := ctx.Scan.Peek(); !token.IsEOL() && token.IsValue() {
		value = ctx.Scan.Pop().String()
	}
	target.SetString(value)
	return nil
}
