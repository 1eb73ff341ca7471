//go:build cuda && linux

package libcuda

// #cgo CFLAGS: -O2 -Wall -I${SRCDIR}/../../include
// #cgo LDFLAGS: -L${SRCDIR} -ldl -lpthread
// #include "libcuda.h"
import "C"

import "errors"

// Problem is why this machine has no CUDA driver, nil where it has one.
func Problem() error {
	if p := C.libcuda_problem(); p != nil {
		return errors.New(C.GoString(p))
	}
	return nil
}
