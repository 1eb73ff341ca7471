package weights

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// StateDict reads the backbone of a model; see [File.State].
func (f *File) StateDict(key string) ([]Array, error) {
	s, err := f.State(key)
	if err != nil {
		return nil, err
	}
	return s.Arrays()
}

// StateEntries lists what StateDict would read, without reading it.
func (f *File) StateEntries(key string) ([]Entry, error) {
	s, err := f.State(key)
	if err != nil {
		return nil, err
	}
	return s.Entries(), nil
}

// HeadStateDict reads the projection head that belongs to StateDict, its names as "mlp.0.weight"; none is no error.
func (f *File) HeadStateDict(key string) ([]Array, error) {
	chosen, err := f.choose(key, true)
	if err != nil {
		return nil, err
	}
	var list []Array
	for _, c := range chosen {
		a, err := f.Array(c.from.Name)
		if err != nil {
			return nil, err
		}
		a.Name = c.name
		list = append(list, a)
	}
	return list, nil
}

type choice struct {
	name string
	from *stored
}

func (f *File) choose(key string, head bool) ([]choice, error) {
	prefix := ""
	if key != "" && slices.ContainsFunc(f.entries, func(e *stored) bool { return strings.HasPrefix(e.Name, key+".") }) {
		prefix = key + "."
	} else if !slices.ContainsFunc(f.entries, func(e *stored) bool { return isBackbone(stripWrappers(e.Name)) }) {
		return nil, f.wrap(fmt.Errorf("nothing is called %q here, and it is no bare state dict; it holds %s: choose with --checkpoint_key",
			key, strings.Join(f.groups(), ", ")))
	}
	var list []choice
	seen := map[string]bool{}
	for _, e := range f.entries {
		name, ok := strings.CutPrefix(e.Name, prefix)
		if !ok || !e.Dtype.Float() { // not floating point: counters such as batch norm's num_batches_tracked
			continue
		}
		name = stripWrappers(name)
		rest, isHead := strings.CutPrefix(name, "head.")
		if isHead != head {
			continue
		}
		if head {
			name = rest
		}
		if seen[name] {
			return nil, f.wrap(fmt.Errorf("two arrays are called %s once \"module.\" and \"backbone.\" are stripped", name))
		}
		seen[name] = true
		list = append(list, choice{name, e})
	}
	if len(list) == 0 && !head {
		return nil, f.wrap(errors.New("only a projection head, no backbone"))
	}
	return list, nil
}

func stripWrappers(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "module."), "backbone.")
}

func isBackbone(name string) bool {
	_, theirs := isHuggingFace(name)
	return theirs || name == "cls_token" || name == "pos_embed" || strings.HasPrefix(name, "patch_embed.") || strings.HasPrefix(name, "blocks.")
}

// groups is the first part of every name, sorted, at most eight.
func (f *File) groups() []string {
	set := map[string]bool{}
	for _, e := range f.entries {
		first, _, _ := strings.Cut(e.Name, ".")
		set[first] = true
	}
	list := slices.Sorted(maps.Keys(set))
	if len(list) > 8 {
		list = append(list[:8], "...")
	}
	return list
}
