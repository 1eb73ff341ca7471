package main

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTableAndPlot(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, "pets", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(&strings.Builder{}, dir, ""); err == nil {
		t.Error("an empty folder is no error")
	}
	write("knn-0.01-0.json", `{"weights":"w","train":8,"test":9,"classes":7,"scores":[{"k":8,"top1":20,"top5":90}]}`+"\n")
	write("knn-0.01-1.json", `{"weights":"w","train":8,"test":9,"classes":7,"scores":[{"k":8,"top1":31,"top5":90}]}`+"\n")
	write("linear-0.01-0.json", `{"epoch":{"epoch":0,"scores":[{"top1":99}],"best":{"top1":99}}}
{"result":{"train":8,"test":9,"best":{"top1":99},"last":[{"lr":1,"top1":42.5}]}}
`)
	write("finetune-1-0.json", `{"start":{"Images":813,"StepsPerEpoch":2}}
{"step":{"epoch":0}}
{"epoch":{"epoch":0,"score":{"top1":88}}}
{"saved":{"Path":"p"}}
{"epoch":{"epoch":1,"score":{"top1":77.25},"best":{"top1":88}}}
{"result":{"best":{"top1":88}}}
`)
	var out strings.Builder
	if err := run(&out, dir, dir); err != nil {
		t.Fatal(err)
	}
	want := `| pets: labels | DINO + k-NN | DINO + linear | DINO + finetune | from scratch |
|---|---|---|---|---|
| 1 % (8) | 25.5 (20.0–31.0) | 42.5 | – | – |
| 100 % (813) | – | – | 77.2 | – |

`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
	f, err := os.Open(filepath.Join(dir, "labels-pets.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.DecodeConfig(f); err != nil || img.Width < 800 {
		t.Errorf("%+v, %v", img, err)
	}
	write("scratch-1-0.json", `{"start":{"Images":813}}`+"\n")
	if err := run(&out, dir, ""); err == nil || !strings.Contains(err.Error(), "scratch-1-0.json") {
		t.Errorf("a run without a score: %v", err)
	}
}
