package dataset

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// A listing is what a folder or a tar holds: images by slash-separated path, and how many regular files had other endings.
type listing struct {
	items  []item
	others int
	other  map[string]int // by ending
}

func (l *listing) add(it item) {
	if IsImageName(it.path) {
		l.items = append(l.items, it)
		return
	}
	l.others++
	if l.other == nil {
		l.other = map[string]int{}
	}
	if ending := strings.ToLower(path.Ext(it.path)); len(l.other) < 1000 || l.other[ending] > 0 {
		l.other[ending]++
	}
}

// skipped says whether a file or folder of that name is not data: hidden, or the resource forks that macOS puts into archives.
func skipped(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }

// settle fills d from a listing: it finds the root, cuts it off the paths, sorts, and numbers the classes. where names the listing.
func (d *Dataset) settle(l listing, where string) error {
	if len(l.items) == 0 {
		return noImages(l, where)
	}
	slices.SortFunc(l.items, func(a, b item) int { return cmp.Compare(a.path, b.path) })
	root, split := findRoot(l.items, d.opts.Split)
	d.split = split
	d.root = strings.TrimSuffix(where+"/"+root, "/")
	d.items = make([]item, 0, len(l.items))
	classes := map[string]int32{}
	for _, it := range l.items {
		rest, ok := strings.CutPrefix(it.path, root)
		if !ok {
			continue
		}
		it.path = rest
		if c := className(rest); c != "" {
			classes[c] = 0
		}
		d.items = append(d.items, it)
	}
	d.items = slices.Clip(d.items)
	d.classes = slices.Sorted(maps.Keys(classes))
	for i, c := range d.classes {
		classes[c] = int32(i)
	}
	for i := range d.items {
		d.items[i].label = -1
		if c := className(d.items[i].path); c != "" {
			d.items[i].label = classes[c]
		}
	}
	return nil
}

// className is the name of the folder that an image lies in, "" directly in the root.
func className(p string) string {
	dir := path.Dir(p)
	if dir == "." {
		return ""
	}
	return path.Base(dir)
}

// findRoot is the folder, "" or ending in a slash, that class folders are looked for in: it descends into the split if there is one,
// else through a lone folder that itself holds folders. (A lone folder of images alone stays a class.) items are sorted.
func findRoot(items []item, split string) (root string, found bool) {
	for {
		children, deep, direct := childFolders(items, root)
		for _, name := range splitNames(split) {
			for _, c := range children {
				if strings.EqualFold(c, name) {
					return root + c + "/", true
				}
			}
		}
		if direct || len(children) != 1 || !deep {
			return root, false
		}
		root += children[0] + "/"
	}
}

// childFolders lists the folders directly below root that hold images, and says whether any of them holds folders, and whether an
// image lies directly in root.
func childFolders(items []item, root string) (children []string, deep, direct bool) {
	for i := range items {
		rest, ok := strings.CutPrefix(items[i].path, root)
		if !ok {
			continue
		}
		child, below, nested := strings.Cut(rest, "/")
		if !nested {
			direct = true
			continue
		}
		deep = deep || strings.Contains(below, "/")
		if len(children) == 0 || children[len(children)-1] != child {
			children = append(children, child)
		}
	}
	return children, deep, direct
}

// splitNames are the folder names that serve for a split, the one asked for first.
func splitNames(split string) []string {
	if split == "" {
		return nil
	}
	names := []string{split}
	held := []string{"test", "val", "valid", "validation"}
	if slices.Contains(held, strings.ToLower(split)) {
		names = append(names, held...)
	}
	return names
}

func noImages(l listing, where string) error {
	msg := fmt.Sprintf("no images in %s: looked for files ending in %s, upper or lower case, in it and all folders below",
		where, strings.Join(endings, " "))
	if l.others == 0 {
		return fmt.Errorf("%s; it holds no files at all", msg)
	}
	kinds := slices.SortedFunc(maps.Keys(l.other), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.other[b], l.other[a]), cmp.Compare(a, b))
	})
	for i, k := range kinds {
		if k == "" {
			k = "no ending"
		}
		kinds[i] = fmt.Sprintf("%q (%d)", k, l.other[kinds[i]])
	}
	return fmt.Errorf("%s; found %d files of other kinds: %s", msg, l.others, list(kinds, 5))
}
