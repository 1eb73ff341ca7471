//go:build libjpeg

package libjpeg

// #cgo LDFLAGS: -ljpeg
// #include "decode.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// Version names the library, such as "libjpeg-turbo 2.1.5"; it is empty in a program built without it.
func Version() string { return C.GoString(C.godino_jpeg_version()) }

// Decode decodes a JPEG file of one or three components and w×h pixels into rgb (h, w, 3). What rgb holds after an error means nothing.
func Decode(rgb, file []byte, w, h int) error {
	if w <= 0 || h <= 0 || w > C.GODINO_JPEG_MAX_SIDE || h > C.GODINO_JPEG_MAX_SIDE || len(rgb) != 3*w*h {
		panic(fmt.Sprintf("libjpeg: %d bytes for %d×%d pixels", len(rgb), w, h))
	}
	if len(file) == 0 {
		return errors.New("the file is empty")
	}
	var message [C.GODINO_JPEG_MESSAGE]C.char
	ok := C.godino_jpeg_decode((*C.uchar)(unsafe.Pointer(&rgb[0])), (*C.uchar)(unsafe.Pointer(&file[0])), C.ulong(len(file)), C.uint(w), C.uint(h), &message[0])
	if ok == 0 {
		return errors.New(C.GoString(&message[0]))
	}
	return nil
}
