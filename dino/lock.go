package dino

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// ErrLocked is wrapped by the error of a run whose directory another run is using.
var ErrLocked = errors.New("another run is using this directory")

// lockDir makes dir this process's alone until the result is unlocked. The lock is the operating system's: it ends with the process,
// however that ends, so that a stale file is no lock. The file says who holds it.
func lockDir(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, "lock")
	l := flock.New(path, flock.SetPermissions(0o644)) // whoever is refused may read who holds it
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if !ok {
		holder, _ := os.ReadFile(path) // without it the message is shorter
		return nil, fmt.Errorf("%s: %w: %s; stop it or choose another --output_dir", dir, ErrLocked, strings.TrimSpace(string(holder)))
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	text := fmt.Sprintf("process %d on %s, since %s\n", os.Getpid(), host, time.Now().Format(time.RFC3339))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.Unlock()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return l, nil
}
