package cuda

import (
	"errors"
	"fmt"
)

// ErrNotBuilt says that this program has no CUDA driver.
var ErrNotBuilt = errors.New("this program was built without the CUDA driver: build it with -tags cuda (docs/cuda.md says how)")

// GPUs describes the NVIDIA GPUs of this machine, in the order of their numbers; the error says why there are none.
func GPUs() ([]Info, error) { return gpus() }

// Available is nil where an NVIDIA GPU can be used, else the reason why none can.
func Available() error {
	all, err := GPUs()
	for _, info := range all {
		if err = info.Usable(); err == nil {
			return nil
		}
	}
	return err
}

// Usable is nil for GPUs that run the kernels, whose PTX is for compute capability 8.0 and newer.
func (i Info) Usable() error {
	if i.Major < 8 {
		return fmt.Errorf("the kernels need compute capability 8.0 or newer, and %s has %d.%d", i.Name, i.Major, i.Minor)
	}
	return nil
}

// String is a line about the GPU.
func (i Info) String() string {
	return fmt.Sprintf("%s, compute capability %d.%d, %d multiprocessors, %d GiB, driver %s", i.Name, i.Major, i.Minor, i.Multiprocessors, i.Memory>>30, i.Driver)
}

// Open is the GPU of that number, from 0.
func Open(number int) (*Device, error) {
	driver, err := open(number)
	if err != nil {
		return nil, err
	}
	return NewDevice(driver), nil
}
