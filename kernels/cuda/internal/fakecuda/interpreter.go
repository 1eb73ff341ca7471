//go:build fakecuda

package main

import (
	"fmt"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/internal/ptx"
)

func interpreter(capability string) (cuda.Driver, error) {
	major, minor := 8, 0
	if capability != "" {
		if _, err := fmt.Sscanf(capability, "%d.%d", &major, &minor); err != nil {
			return nil, fmt.Errorf("GODINO_FAKECUDA=%s: want a compute capability, such as 9.0", capability)
		}
	}
	return ptx.New(ptx.Modes{}, major, minor), nil
}
