package cuda

import "errors"

// ErrNotBuilt says that this program has no CUDA driver.
var ErrNotBuilt = errors.New("this build of godino has no CUDA driver: build it with -tags cuda")

// Available is nil where an NVIDIA GPU can be used, else the reason why none can.
func Available() error { return available() }

// Open is the GPU of that number, from 0.
func Open(number int) (*Device, error) {
	driver, err := open(number)
	if err != nil {
		return nil, err
	}
	return NewDevice(driver), nil
}
