//go:build !cuda

package cuda

func available() error { return ErrNotBuilt }

func open(int) (Driver, error) { return nil, ErrNotBuilt }
