package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/godino-ml/godino/dino"
	"github.com/godino-ml/godino/internal/shapes"
)

// A run keeps its page; dino report makes the same again; dino serve shows it, and where its network looks.
func TestReportAndServe(t *testing.T) {
	dir := t.TempDir()
	data, runDir := filepath.Join(dir, "data"), filepath.Join(dir, "run")
	imageFolder(t, data, 0, 60)
	args := append([]string{"train", "--data_path", data, "--output_dir", runDir, "--epochs", "1", "--val_share", "0.2"}, tiny...)
	want(t, exitDone, nil, append(args, "--report", "false")...)
	for _, name := range []string{"report.html", "report", "tensorboard"} {
		if _, err := os.Stat(filepath.Join(runDir, name)); err == nil {
			t.Errorf("--report false, and there is %s", name)
		}
	}
	want(t, exitDone, []string{"report.html", "events.out.tfevents"}, "report", runDir, "--tensorboard")
	if page, err := os.ReadFile(filepath.Join(runDir, "report.html")); err != nil || !strings.Contains(string(page), "Missing: no attention") {
		t.Error("the page of a run without a report does not say what is missing", err)
	}
	want(t, exitData, []string{"holds no run"}, "report", data)

	if err := os.RemoveAll(runDir); err != nil {
		t.Fatal(err)
	}
	want(t, exitDone, nil, append(args, "--tensorboard")...)
	before, err := os.ReadFile(filepath.Join(runDir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	want(t, exitDone, nil, "report", runDir)
	if after, err := os.ReadFile(filepath.Join(runDir, "report.html")); err != nil || !bytes.Equal(before, after) || bytes.Contains(after, []byte("Missing:")) {
		t.Error("dino report makes another page than the run did, or one with parts missing", err)
	}

	var picture bytes.Buffer
	if err := png.Encode(&picture, shapes.Picture(2, 0, 50)); err != nil {
		t.Fatal(err)
	}
	drop := func(address string, picture []byte) (captions []string) {
		answer, err := http.Post(address+"attention", "image/png", bytes.NewReader(picture))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var drawn struct {
			Pictures []struct{ Caption string }
		}
		if err := json.NewDecoder(answer.Body).Decode(&drawn); err != nil {
			t.Errorf("status %d, %v", answer.StatusCode, err)
		}
		for _, p := range drawn.Pictures {
			captions = append(captions, p.Caption)
		}
		return captions
	}
	if drawn := drop(serve(t, runDir, "127.0.0.1:0"), picture.Bytes()); len(drawn) != 4 { // itself, the mean, two heads
		t.Errorf("drawn are %q", drawn)
	}
	// With an index of the pictures, one of them comes back as its own neighbour.
	index := filepath.Join(dir, "index")
	want(t, exitDone, nil, "search", "index", data, "--index", index, "--pretrained_weights", filepath.Join(runDir, dino.CheckpointName))
	files, err := filepath.Glob(filepath.Join(data, "*", "*.png"))
	if err != nil || len(files) == 0 {
		t.Fatal("no pictures", err)
	}
	own, err := os.ReadFile(files[7])
	if err != nil {
		t.Fatal(err)
	}
	name, _ := filepath.Rel(data, files[7])
	if drawn := drop(serve(t, runDir, "127.0.0.1:0", "--index", index), own); len(drawn) != 4+8 || drawn[4] != "1.000 "+filepath.ToSlash(name) {
		t.Errorf("with an index, drawn are %q, want first %s", drawn, name)
	}
	want(t, exitData, []string{"--index"}, "serve", runDir, "--addr", "127.0.0.1:0", "--index", data)
	open := serve(t, runDir, ":0") // to all: with a token
	if _, token, ok := strings.Cut(open, "?token="); !ok || len(token) < 26 {
		t.Errorf("beyond this machine at %q", open)
	}
	port := regexp.MustCompile(`:(\d+)/`).FindStringSubmatch(open)[1]
	for path, status := range map[string]int{"": http.StatusUnauthorized, "metrics" + open[strings.Index(open, "?"):]: http.StatusOK} {
		answer, err := http.Get("http://127.0.0.1:" + port + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != status {
			t.Errorf("/%s: status %d, want %d", path, answer.StatusCode, status)
		}
	}
	want(t, exitData, nil, "serve", filepath.Join(runDir, dino.LogName), "--addr", "127.0.0.1:0")
	want(t, exitUsage, []string{"--addr"}, "serve", runDir, "--addr", "nonsense")
}

// serve runs dino serve to the end of the test and returns the address that it prints.
func serve(t *testing.T, runDir, addr string, more ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &firstLine{line: make(chan string, 1)}
	var errOut bytes.Buffer
	status := make(chan int)
	go func() { status <- run(ctx, append([]string{"serve", runDir, "--addr", addr}, more...), out, &errOut) }()
	t.Cleanup(func() {
		cancel()
		if s := <-status; s != exitDone {
			t.Errorf("serve ended with status %d: %s", s, errOut.String())
		}
	})
	_, address, ok := strings.Cut(<-out.line, " at ")
	if !ok {
		t.Fatal("no address is printed")
	}
	return strings.TrimSpace(address)
}

// firstLine hands on what is written first.
type firstLine struct {
	once sync.Once
	line chan string
}

func (f *firstLine) Write(b []byte) (int, error) {
	f.once.Do(func() { f.line <- string(b) })
	return len(b), nil
}
