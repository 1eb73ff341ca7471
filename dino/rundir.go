package dino

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/godino-ml/godino/dino/dataset"
	"github.com/godino-ml/godino/nn/weights"
)

// runDir is what a run of any kind has of its directory: it is nobody else's while it is open, with the log and the last checkpoint.
type runDir struct {
	path     string
	lock     *flock.Flock
	log      *runLog
	finished int           // steps done at the last epoch line in the log; −1 for none, 0 for the untrained network
	every    time.Duration // the longest time between checkpoints within an epoch; below 0 never
	saved    time.Time     // when the last checkpoint was written, by this run
	savedAt  int           // and after how many steps; −1 if none was
	last     string        // path of the last checkpoint
}

// openDir makes the directory, if it is not there, and takes it.
func openDir(path string, every time.Duration) (d runDir, err error) {
	if every == 0 {
		every = 15 * time.Minute
	}
	d = runDir{path: path, finished: -1, every: every, savedAt: -1}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return d, err
	}
	d.lock, err = lockDir(path)
	return d, err
}

// start opens the log of a run that has done steps steps, or of a new one if it has no checkpoint, and writes config.json.
func (d *runDir) start(steps int, config any) (err error) {
	if d.last == "" {
		steps = -1 // a new run: what one before it wrote and never saved, its baselines too, is not of this one
	}
	if d.log, d.finished, err = openLog(filepath.Join(d.path, LogName), steps); err != nil {
		return err
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return weights.AtomicWrite(filepath.Join(d.path, "config.json"), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// due says that it is time for a checkpoint within an epoch.
func (d *runDir) due() bool { return d.every >= 0 && time.Since(d.saved) >= d.every }

// wrote takes note of a checkpoint.
func (d *runDir) wrote(path string, steps int) { d.saved, d.savedAt, d.last = time.Now(), steps, path }

// close gives the directory free.
func (d *runDir) close() error {
	var errs []error
	if d.log != nil {
		errs = append(errs, d.log.close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Unlock())
	}
	d.log, d.lock = nil, nil
	return errors.Join(errs...)
}

// identify is what a run keeps of its images.
func identify(ds *dataset.Dataset) DataID {
	return DataID{Fingerprint: ds.Fingerprint(), Images: ds.Len(), Root: ds.Root()}
}

// differences says how the images of a checkpoint differ from now's, if they do; remedy is added in brackets.
func (d DataID) differences(now DataID, remedy string) []string {
	if d.Fingerprint == now.Fingerprint && d.Images == now.Images {
		return nil
	}
	return []string{fmt.Sprintf("images: %d of %s, now %d of %s (names or sizes differ%s)", d.Images, d.Root, now.Images, now.Root, remedy)}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
