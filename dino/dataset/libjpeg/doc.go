// Package libjpeg decodes JPEG by the C library libjpeg-turbo, some three times as fast as the standard library. It is there in programs built
// with the tag libjpeg and cgo,
//
//	go build -tags libjpeg ./cmd/dino
//
// on a system that has the library's header and object (Debian: libjpeg62-turbo-dev). Elsewhere Version is empty and Decode always fails.
//
// The bytes are hostile: whatever the library complains of, if only by a warning, is an error here, and nothing is decoded but pictures of the
// size that the caller expects.
package libjpeg
