package dino

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// LogName is the run's log: a JSON object a line. Lines with "event":"step" are a [StepStats], those with "event":"epoch" an [EpochStats].
const LogName = "log.jsonl"

type stepLine struct {
	Event string `json:"event"`
	StepStats
}

type epochLine struct {
	Event string `json:"event"`
	EpochStats
}

type warningLine struct {
	Event string `json:"event"`
	Warning
}

// runLog appends to log.jsonl.
type runLog struct{ f *os.File }

// openLog opens the log of a run that has done steps steps: lines beyond, which a run that was killed wrote after its last checkpoint, and
// half a line at the end are cut off. With steps −1, of a run that starts, the log starts empty. finished is how many steps were done at the last epoch line, −1 if there is none.
func openLog(path string, steps int) (l *runLog, finished int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, 0, err
	}
	end, finished, err := logEnd(f, steps)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	return &runLog{f}, finished, nil
}

// logEnd is the length of the part of the log that belongs to the first steps steps.
func logEnd(r io.Reader, steps int) (end int64, finished int, err error) {
	b := bufio.NewReader(r)
	finished = -1
	for {
		line, err := b.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, finished, nil // without its newline the last line is not whole
		}
		if err != nil {
			return 0, 0, err
		}
		var at struct {
			Event string
			Step  int // of a step line its number, of an epoch line the steps done
		}
		if json.Unmarshal(line, &at) != nil || at.Step > steps || at.Event == "step" && at.Step == steps {
			return end, finished, nil
		}
		if at.Event == "epoch" {
			finished = at.Step
		}
		end += int64(len(line))
	}
}

func (l *runLog) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// One write a line: a reader, or a kill, sees whole lines or the last one cut off.
	_, err = l.f.Write(append(bytes.TrimSpace(line), '\n'))
	return err
}

func (l *runLog) close() error { return l.f.Close() }
