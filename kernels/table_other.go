//go:build !amd64

package kernels

// nativeTables lists the tables of assembly for this architecture: none yet.
func nativeTables() []*Table { return nil }
