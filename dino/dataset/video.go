package dataset

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Sequence is the frames of a video and their annotations, by names among [Files].
type Sequence struct {
	Name   string
	Frames []string // in order
	Masks  []string // of each frame; "" where there is none
}

// DAVIS finds the sequences of a set laid out as DAVIS:
//
//	JPEGImages/480p/SEQUENCE/00000.jpg …
//	Annotations/480p/SEQUENCE/00000.png …
//	ImageSets/2017/val.txt               names of sequences, one a line (or, as in 2016, a frame and its mask a line)
//
// in f itself or in a folder of it. names picks sequences; without any, the list of split is taken, that of 2017 before 2016; without such a
// list, all sequences that have frames and a mask of the first one.
func DAVIS(f *Files, split string, names []string) ([]Sequence, error) {
	frames, masks, lists := map[string][]string{}, map[string]map[string]string{}, map[string]string{}
	resolution := davisResolution(f)
	for _, name := range f.Names() {
		parts := strings.Split(name, "/")
		n := len(parts)
		switch {
		case n >= 4 && parts[n-4] == "JPEGImages" && parts[n-3] == resolution && IsImageName(name):
			frames[parts[n-2]] = append(frames[parts[n-2]], name)
		case n >= 4 && parts[n-4] == "Annotations" && parts[n-3] == resolution && strings.EqualFold(path.Ext(name), ".png"):
			if masks[parts[n-2]] == nil {
				masks[parts[n-2]] = map[string]string{}
			}
			masks[parts[n-2]][Stem(name)] = name
		case n >= 2 && slices.Contains(parts, "ImageSets") && path.Base(name) == split+".txt":
			lists[parts[n-2]] = name
		}
	}
	if len(frames) == 0 {
		return nil, fmt.Errorf("%s: no JPEGImages/480p/SEQUENCE/ with frames in it: give the folder or tar that holds JPEGImages and Annotations, or name the frames of one video and its masks", f.Root())
	}
	all := make([]string, 0, len(frames))
	for name := range frames {
		all = append(all, name)
	}
	slices.Sort(all)
	listed := names
	if len(listed) == 0 {
		for _, year := range []string{"2017", "480p", "2016"} {
			if list, ok := lists[year]; ok && len(listed) == 0 {
				text, err := f.Read(list, 1<<20)
				if err != nil {
					return nil, err
				}
				listed = sequencesIn(string(text))
			}
		}
	}
	explicit := len(listed) > 0
	if !explicit {
		listed = all
	}
	var found []Sequence
	for _, name := range listed {
		s := Sequence{Name: name, Frames: frames[name]}
		if len(s.Frames) == 0 {
			return nil, fmt.Errorf("%s: no frames of the sequence %q; there are %s", f.Root(), name, list(all, 10))
		}
		slices.SortFunc(s.Frames, CompareNatural)
		for _, frame := range s.Frames {
			s.Masks = append(s.Masks, masks[name][Stem(frame)])
		}
		if s.Masks[0] == "" {
			if explicit {
				return nil, fmt.Errorf("%s: no mask Annotations/…/%s/%s.png for the first frame of %s", f.Root(), name, Stem(s.Frames[0]), name)
			}
			continue
		}
		found = append(found, s)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: none of the %d sequences has a mask Annotations/…/SEQUENCE/FRAME.png for its first frame", f.Root(), len(all))
	}
	return found, nil
}

// davisResolution is the folder of sizes that is taken: 480p, or else the first.
func davisResolution(f *Files) string {
	first := ""
	for _, name := range f.Names() {
		if parts := strings.Split(name, "/"); len(parts) >= 4 && parts[len(parts)-4] == "JPEGImages" {
			if r := parts[len(parts)-3]; r == "480p" {
				return r
			} else if first == "" {
				first = r
			}
		}
	}
	return first
}

// sequencesIn are the sequences of a list, each once: a line is a name, or "/JPEGImages/480p/NAME/00000.jpg /Annotations/…".
func sequencesIn(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		name := fields[0]
		if strings.Contains(name, "/") {
			name = path.Base(path.Dir(name))
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Stem is the name of a file without folders and ending.
func Stem(name string) string { return strings.TrimSuffix(path.Base(name), path.Ext(name)) }

// Frames are the images of f, which lie in one folder, in natural order, and of each the mask of the same name, up to the ending, among masks, "" where there is none.
func Frames(f, masks *Files) (s Sequence, err error) {
	for _, name := range f.Names() {
		if IsImageName(name) {
			s.Frames = append(s.Frames, name)
		}
	}
	if len(s.Frames) == 0 {
		return s, fmt.Errorf("%s: no frames: looked for files ending in %s", f.Root(), strings.Join(endings, " "))
	}
	slices.SortFunc(s.Frames, CompareNatural)
	for _, name := range s.Frames {
		if a, b := path.Dir(s.Frames[0]), path.Dir(name); a != b {
			return s, fmt.Errorf("%s: frames of one video lie in one folder; here are images in %s and in %s: give one of them, as %s/%s", f.Root(), a, b, f.Root(), b)
		}
	}
	s.Masks = make([]string, len(s.Frames))
	if masks == nil {
		return s, nil
	}
	byStem := map[string]string{}
	for _, name := range masks.Names() {
		if strings.EqualFold(path.Ext(name), ".png") {
			byStem[Stem(name)] = name
		}
	}
	for i, frame := range s.Frames {
		s.Masks[i] = byStem[Stem(frame)]
	}
	return s, nil
}
