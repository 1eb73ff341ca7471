package tensorboard

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func written(t *testing.T, dir string) *Writer {
	t.Helper()
	w, err := Create(dir, time.Unix(1700000000, 500_000_000))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Scalars(time.Unix(1700000001, 250_000_000), 300, Scalar{"loss/loss", 6.9}, Scalar{"optimizer/lr", 0}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// The same three events as RecordWriter and the Event messages of TensorBoard 2.21.0 write them.
func TestGolden(t *testing.T) {
	const want = "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b3531100d00000000000000" +
		"3c37b8340900002040fc54d9413a020801a870fdd53500000000000000d6c55de60900005040fc54d94110ac022a270a" +
		"100a096c6f73732f6c6f737315cdccdc400a130a0c6f7074696d697a65722f6c72150000000058c5de8e"
	got, err := os.ReadFile(written(t, t.TempDir()).Path())
	if err != nil {
		t.Fatal(err)
	}
	if h := hex.EncodeToString(got); h != want {
		t.Errorf("written\n%s\nwant\n%s", h, want)
	}
}

// A folder whose name has a pattern's letters; what this package wrote before goes, what others wrote stays.
func TestCreateReplacesItsOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*c")
	first := written(t, dir)
	theirs := filepath.Join(dir, "events.out.tfevents.1.host")
	if err := os.WriteFile(theirs, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	second, err := Create(dir, time.Unix(1700000002, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := os.Stat(first.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Error("the first file is still there:", err)
	}
	for _, path := range []string{theirs, second.Path()} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// TestTensorBoard has TensorBoard read what was written. GODINO_PYTHON names a Python that has it.
func TestTensorBoard(t *testing.T) {
	python := os.Getenv("GODINO_PYTHON")
	if python == "" {
		t.Skip("GODINO_PYTHON names no Python with tensorboard")
	}
	const program = `
import json, sys
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as e:
    print(e); sys.exit(77)
a = EventAccumulator(sys.argv[1])
a.Reload()
print(json.dumps({tag: [(e.wall_time, e.step, e.value) for e in a.Scalars(tag)] for tag in a.Tags()["scalars"]}))
`
	dir := t.TempDir()
	written(t, dir)
	out, err := exec.Command(python, "-c", program, dir).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 77 {
		t.Skipf("%s: %s", python, strings.TrimSpace(string(out)))
	}
	if err != nil {
		t.Fatal(err)
	}
	var got map[string][][3]float64
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err, string(out))
	}
	for tag, value := range map[string]float64{"loss/loss": 6.9, "optimizer/lr": 0} {
		if e := got[tag]; len(e) != 1 || e[0][0] != 1700000001.25 || e[0][1] != 300 || !(math.Abs(e[0][2]-value) < 1e-6) {
			t.Errorf("%s: TensorBoard reads %v", tag, e)
		}
	}
}
