package dataset

import (
	"crypto/sha256"
	"fmt"
)

// Sum is the SHA-256 of an image file's bytes: two files of one sum are copies.
type Sum [sha256.Size]byte

// Check reads image i whole and decodes it. The error, if any, is a [*BadImageError]; sum is there unless the bytes could not be read.
func (d *Dataset) Check(i int) (sum *Sum, err error) {
	if d.draw != nil {
		_, err := d.Load(i)
		return nil, err
	}
	it := &d.items[i]
	if it.size > d.opts.MaxBytes {
		return nil, &BadImageError{Path: d.FullPath(i), Reason: fmt.Sprintf("%d bytes are more than the limit of %d", it.size, d.opts.MaxBytes), Err: ErrTooLarge}
	}
	buf := fileBytes.Get().(*[]byte)
	defer fileBytes.Put(buf)
	if err := d.read(it, buf); err != nil {
		return nil, &BadImageError{Path: d.FullPath(i), Reason: reason(err), Err: err}
	}
	s := Sum(sha256.Sum256(*buf))
	_, err = Decode(*buf, d.FullPath(i), d.opts.MaxPixels)
	return &s, err
}
