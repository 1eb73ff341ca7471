package dataset

import "crypto/sha256"

// Sum is the SHA-256 of an image file's bytes: two files of one sum are copies.
type Sum [sha256.Size]byte

// Check reads image i whole and decodes it. The error, if any, is a [*BadImageError]; sum is there unless the bytes could not be read.
func (d *Dataset) Check(i int) (sum *Sum, err error) {
	if d.draw != nil {
		_, err := d.Load(i)
		return nil, err
	}
	err = d.withBytes(i, func(data []byte) error {
		s := Sum(sha256.Sum256(data))
		sum = &s
		_, err := Decode(data, d.FullPath(i), d.opts.MaxPixels)
		return err
	})
	return sum, err
}

// Sum reads image i whole, without decoding it; of a picture that was drawn it is the sum of its pixels. The error, if any, is a
// [*BadImageError].
func (d *Dataset) Sum(i int) (Sum, error) {
	if d.draw != nil {
		img, err := d.Load(i)
		if err != nil {
			return Sum{}, err
		}
		return sha256.Sum256(img.Pix), nil
	}
	var s Sum
	err := d.withBytes(i, func(data []byte) error {
		s = sha256.Sum256(data)
		return nil
	})
	return s, err
}
