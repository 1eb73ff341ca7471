package main

import (
	"errors"
	"fmt"

	"github.com/godino-ml/godino/dino/dataset"
)

// Exit statuses, so that scripts can tell what went wrong.
const (
	exitDone       = 0 // done, or interrupted and saved
	exitFailure    = 1
	exitUsage      = 2 // a flag is unknown, or its value makes no sense
	exitDiverged   = 3 // training diverged or collapsed
	exitData       = 4 // no images, or too many that cannot be read
	exitCheckpoint = 5 // a file of weights cannot be read or does not fit
)

const exitStatusHelp = "0 done or saved, 1 failure, 2 usage, 3 diverged or collapsed, 4 data, 5 checkpoint."

// statusError is an error that names its exit status.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &statusError{exitUsage, fmt.Errorf(format, args...)}
}

func dataError(err error) error       { return withStatus(exitData, err) }
func checkpointError(err error) error { return withStatus(exitCheckpoint, err) }

func withStatus(status int, err error) error {
	if err == nil {
		return nil
	}
	return &statusError{status, err}
}

func exitStatus(err error) int {
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	return exitFailure
}

// badImageIsData gives the status of data to an error about a picture.
func badImageIsData(err error) error {
	if bad := (*dataset.BadImageError)(nil); errors.As(err, &bad) {
		return dataError(err)
	}
	return err
}
