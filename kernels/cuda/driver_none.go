//go:build !(cuda && cgo && linux)

package cuda

func gpus() ([]Info, error) { return nil, ErrNotBuilt }

func open(int) (Driver, error) { return nil, ErrNotBuilt }
