// Package cuda is the room of the NVIDIA kernels: the .cu sources, their PTX and the launchers. It is empty in this version: godino computes on
// CPUs, and Available says so.
package cuda

import "errors"

// ErrNotBuilt says that this program has no NVIDIA kernels.
var ErrNotBuilt = errors.New("this build of godino has no CUDA kernels")

// Available is nil where an NVIDIA GPU can be used, else the reason why none can.
func Available() error { return ErrNotBuilt }
