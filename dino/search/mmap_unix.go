//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package search

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps the first size bytes of a file into memory, to be read. The file must not become shorter while it is mapped: an index never
// changes its files, it writes others.
func mapFile(f *os.File, size int) (data []byte, unmap func() error, err error) {
	data, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	_ = unix.Madvise(data, unix.MADV_WILLNEED) // a hint
	return data, func() error { return unix.Munmap(data) }, nil
}
