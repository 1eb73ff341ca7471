package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/godino-ml/godino/dino/dataset/libjpeg"
)

// DefaultMaxPixels is the largest picture decoded unless told otherwise, Pillow's own warning limit: 89,478,485 pixels.
const DefaultMaxPixels = 178956970 / 2

// maxSide is the longest side, which is also JPEG's. It keeps the tables of a resizer small.
const maxSide = 65535

// DefaultMaxBytes is the largest image file read unless told otherwise.
const DefaultMaxBytes = 512 << 20

// BadImageError says which image could not be used, and why.
type BadImageError struct {
	Path   string
	Reason string
	Err    error // the cause, if another error was
}

// ErrTooLarge is the cause of a BadImageError for a picture beyond a limit, of pixels or bytes, which may be whole.
var ErrTooLarge = errors.New("larger than the limit")

func (e *BadImageError) Error() string { return fmt.Sprintf("image %s: %s", e.Path, e.Reason) }
func (e *BadImageError) Unwrap() error { return e.Err }

// endings are the file name endings that count as images, in lower case.
var endings = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}

// IsImageName says whether a file of that name counts as an image, by its ending.
func IsImageName(name string) bool {
	return slices.Contains(endings, strings.ToLower(filepath.Ext(name)))
}

// A format is told by the first bytes of a file, since endings lie.
type format struct {
	name     string
	magic    string // '?' matches any byte
	perByte  int    // the most pixels that one byte of a file can describe
	config   func(io.Reader) (image.Config, error)
	decode   func(io.Reader) (image.Image, error)
	videoYCC bool // luma 16–235 (WebP), not 0–255 (JFIF)
}

// JPEG needs a bit or more for the DC coefficient of each 8×8 block: 512 pixels a byte. Deflate expands at most 1032 to 1, with eight
// pixels in a byte at one bit a pixel: 8256; GIF's LZW stays below that, and for the other formats the same figure serves as sanity.
const maxPixelsPerByte = 8256

var formats = []format{
	{name: "JPEG", magic: "\xff\xd8", perByte: 512, config: jpeg.DecodeConfig, decode: jpeg.Decode},
	{name: "PNG", magic: "\x89PNG\r\n\x1a\n", perByte: maxPixelsPerByte, config: png.DecodeConfig, decode: png.Decode},
	{name: "GIF", magic: "GIF8?a", perByte: maxPixelsPerByte, config: gif.DecodeConfig, decode: gif.Decode},
	{name: "BMP", magic: "BM", perByte: maxPixelsPerByte, config: bmp.DecodeConfig, decode: bmp.Decode},
	{name: "TIFF", magic: "II\x2a\x00", perByte: maxPixelsPerByte, config: tiff.DecodeConfig, decode: tiff.Decode},
	{name: "TIFF", magic: "MM\x00\x2a", perByte: maxPixelsPerByte, config: tiff.DecodeConfig, decode: tiff.Decode},
	{name: "WebP", magic: "RIFF????WEBPVP8", perByte: maxPixelsPerByte, config: webp.DecodeConfig, decode: webp.Decode, videoYCC: true},
}

func sniff(data []byte) *format {
	for i := range formats {
		m := formats[i].magic
		if len(data) < len(m) {
			continue
		}
		match := true
		for j := range len(m) {
			match = match && (m[j] == '?' || m[j] == data[j])
		}
		if match {
			return &formats[i]
		}
	}
	return nil
}

// JPEGDecoder names what decodes JPEG files in this program: image/jpeg, or libjpeg-turbo and its version (see package libjpeg).
func JPEGDecoder() string {
	if v := libjpeg.Version(); v != "" {
		return v
	}
	return "image/jpeg"
}

// Decode turns the bytes of an image file into RGB. path is used in errors only; maxPixels 0 means [DefaultMaxPixels]. The error, if
// any, is a [*BadImageError].
func Decode(data []byte, path string, maxPixels int) (*RGB, error) {
	img := new(RGB)
	if err := img.Decode(data, path, maxPixels); err != nil {
		return nil, err
	}
	return img, nil
}

// Decode is the function Decode into the memory that img has, where that is enough. After an error img is empty.
func (img *RGB) Decode(data []byte, path string, maxPixels int) (err error) {
	// The decoders are not all hardened; one bad file must not end a run of days.
	defer func() {
		if p := recover(); p != nil {
			err = &BadImageError{Path: path, Reason: fmt.Sprintf("the decoder panicked: %v", p)}
		}
		if err != nil {
			img.resize(0, 0)
		}
	}()
	bad := func(cause error, form string, args ...any) error {
		return &BadImageError{Path: path, Reason: fmt.Sprintf(form, args...), Err: cause}
	}
	if maxPixels <= 0 {
		maxPixels = DefaultMaxPixels
	}
	if len(data) == 0 {
		return bad(nil, "the file is empty")
	}
	f := sniff(data)
	if f == nil {
		return bad(nil, "not a JPEG, PNG, GIF, BMP, TIFF or WebP file: it starts with % x", data[:min(len(data), 8)])
	}
	c, err := f.config(bytes.NewReader(data))
	if err != nil {
		return bad(err, "damaged %s header: %s", f.name, reason(err))
	}
	// Divide instead of multiplying: width and height come from the file and their product may overflow.
	if c.Width <= 0 || c.Height <= 0 {
		return bad(nil, "the %s header gives it %d×%d pixels", f.name, c.Width, c.Height)
	}
	if c.Width > maxSide || c.Height > maxSide {
		return bad(ErrTooLarge, "%d×%d pixels: a side is longer than %d", c.Width, c.Height, maxSide)
	}
	if c.Width > maxPixels/c.Height {
		return bad(ErrTooLarge, "%d×%d pixels are more than the limit of %d", c.Width, c.Height, maxPixels)
	}
	// A megapixel is let through without this question; small pictures round up to whole blocks.
	if n := c.Width * c.Height; n > 1<<20 && n/f.perByte > len(data) {
		return bad(nil, "truncated: %d bytes of %s cannot hold %d×%d pixels", len(data), f.name, c.Width, c.Height)
	}
	if f.name == "JPEG" && c.ColorModel != color.CMYKModel && libjpeg.Version() != "" {
		img.resize(c.Width, c.Height)
		if libjpeg.Decode(img.Pix, data, c.Width, c.Height) == nil {
			return nil
		}
		// What libjpeg does not like is for the standard library to judge: the same files are bad whatever the program is built with.
	}
	m, err := f.decode(bytes.NewReader(data))
	if err != nil {
		return bad(err, "damaged %s: %s", f.name, reason(err))
	}
	b := m.Bounds()
	if b.Dx() <= 0 || b.Dy() <= 0 || b.Dx() > maxPixels/b.Dy() {
		return bad(nil, "decoded to %d×%d pixels, the limit is %d", b.Dx(), b.Dy(), maxPixels)
	}
	toRGB(img, m, f.videoYCC)
	if f.name == "GIF" && (img.W != c.Width || img.H != c.Height) {
		*img = *placeFrame(img, b.Min, c.Width, c.Height)
	}
	return nil
}

func reason(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "truncated (unexpected end of file)"
	}
	return err.Error()
}

// placeFrame puts a GIF's first frame where it belongs on the GIF's whole, otherwise black, screen.
func placeFrame(frame *RGB, at image.Point, w, h int) *RGB {
	screen := NewRGB(w, h)
	x0, x1 := max(at.X, 0), min(at.X+frame.W, w)
	if x0 >= x1 {
		return screen
	}
	for y := max(at.Y, 0); y < min(at.Y+frame.H, h); y++ {
		src := frame.Pix[3*((y-at.Y)*frame.W+x0-at.X):]
		copy(screen.Pix[3*(y*w+x0):3*(y*w+x1)], src)
	}
	return screen
}

// ReadFile decodes one image file.
func ReadFile(path string, opts Options) (*RGB, error) {
	opts = opts.withDefaults()
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() { // to open a named pipe would wait for its writer
		return nil, &BadImageError{Path: path, Reason: "not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &BadImageError{Path: path, Reason: reason(err), Err: err}
	}
	defer f.Close()
	data, err := readRegular(f, path, opts.MaxBytes)
	if err != nil {
		return nil, err
	}
	return Decode(data, path, opts.MaxPixels)
}

func readRegular(f *os.File, path string, maxBytes int64) ([]byte, error) {
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, &BadImageError{Path: path, Reason: reason(err), Err: err}
	case !st.Mode().IsRegular():
		return nil, &BadImageError{Path: path, Reason: "not a regular file"}
	case st.Size() > maxBytes:
		return nil, &BadImageError{Path: path, Reason: fmt.Sprintf("%d bytes are more than the limit of %d", st.Size(), maxBytes), Err: ErrTooLarge}
	}
	data := make([]byte, st.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, &BadImageError{Path: path, Reason: reason(err), Err: err}
	}
	return data, nil
}
