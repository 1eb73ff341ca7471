//go:build !libjpeg

package libjpeg

import "errors"

// Version names the library, such as "libjpeg-turbo 2.1.5"; it is empty in a program built without it.
func Version() string { return "" }

// Decode decodes a JPEG file of one or three components and w×h pixels into rgb (h, w, 3). What rgb holds after an error means nothing.
func Decode(rgb, file []byte, w, h int) error {
	return errors.New("this program is built without libjpeg")
}
