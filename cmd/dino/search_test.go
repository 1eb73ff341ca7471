package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSearchCommand(t *testing.T) {
	dir := t.TempDir()
	weights := tinyWeights(t, dir)
	data, index, page := filepath.Join(dir, "data"), filepath.Join(dir, "index"), filepath.Join(dir, "page.html")
	imageFolder(t, data, 0, 20)
	odd := `a<b>"&.jpg`
	writeShape(t, filepath.Join(data, odd), 100, 30)
	copied, err := os.ReadFile(filepath.Join(data, odd))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(data, "again\nhere.jpg"), copied)
	writeFile(t, filepath.Join(data, "broken.jpg"), []byte("\xff\xd8 no more"))
	args := []string{"search", "index", data, "--pretrained-weights", weights, "--index", index}
	want(t, exitDone, []string{"22 images", "computed 22, kept 0", "broken.jpg", "1 image that cannot be read"}, args...)
	want(t, exitDone, []string{"computed 0, kept 22"}, args...)
	want(t, exitUsage, []string{"dino search index: ", "tokens cls, not mean", "--rebuild"}, append(args, "--tokens", "mean")...)

	// The picture itself comes first, and its copy, which is as near, before it.
	query := filepath.Join(data, odd)
	var r queryResult
	out := want(t, exitDone, nil, "search", "query", query, "--index", index, "--top", "3", "--json", "--row", "0,5", "--html", page)
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Queries) != 3 || len(r.Queries[0].Found) != 3 {
		t.Fatalf("%v\n%s", err, out)
	}
	for q, paths := range [][]string{{odd, "again\nhere.jpg"}, {odd, "again\nhere.jpg"}} {
		for i, path := range paths {
			if m := r.Queries[q].Found[i]; m.Path != path && m.Row > 1 || !(m.Similarity > 0.9999) {
				t.Errorf("query %d: %+v, want %q", q, m, path)
			}
		}
	}
	text, err := os.ReadFile(page)
	if err != nil || strings.Contains(string(text), "<b>\"&.jpg") || strings.Count(string(text), "data:image/jpeg;base64,") != 12 {
		t.Errorf("%v: the page has an unescaped name or lacks thumbnails (%d)", err, strings.Count(string(text), "data:image/jpeg;base64,"))
	}
	want(t, exitDone, []string{`"again\nhere.jpg"`}, "search", "query", query, "--index", index)
	want(t, exitDone, []string{"copy of", "page: "}, "search", "dups", "--index", index, "--min_similarity", "0.99999", "--html", page)
	want(t, exitDone, []string{"mean cosine to the 4 nearest of 22 images", "nearest: "}, "search", "outliers", "--index", index, "--neighbors", "4", "--top", "2", "--html", page)

	want(t, exitUsage, []string{"--row 22", "0 to 21"}, "search", "query", "--row", "22", "--index", index)
	want(t, exitUsage, []string{"--row"}, "search", "query", "--index", index)
	want(t, exitUsage, []string{"--min_similarity"}, "search", "dups", "--index", index, "--min_similarity", "NaN")
	want(t, exitUsage, []string{"--neighbors"}, "search", "outliers", "--index", index, "--neighbors", "0")
	want(t, exitData, []string{"none.jpg", "no such file"}, "search", "query", filepath.Join(dir, "none.jpg"), "--index", index)
	want(t, exitData, []string{"dino search index"}, "search", "dups", "--index", filepath.Join(dir, "none"))
	if err := os.Rename(data, data+"2"); err != nil {
		t.Fatal(err)
	}
	want(t, exitData, []string{"--data_path"}, "search", "dups", "--index", index, "--html", page)
	want(t, exitDone, []string{"page: "}, "search", "dups", "--index", index, "--html", page, "--data_path", data+"2")
	if err := os.Rename(weights, weights+"2"); err != nil {
		t.Fatal(err)
	}
	query = filepath.Join(data+"2", odd)
	want(t, exitCheckpoint, []string{"--pretrained_weights"}, "search", "query", query, "--index", index)
	want(t, exitDone, []string{"1.0000"}, "search", "query", query, "--index", index, "--pretrained_weights", weights+"2")
	features := filepath.Join(index, "features.0.f32")
	b, err := os.ReadFile(features)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, features, b[:len(b)-1])
	want(t, exitData, []string{"features.0.f32", "damaged", "--rebuild"}, "search", "dups", "--index", index)
}
