package viz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/png"
	"io"
	"math"
)

// maxGIF is what the frames of a GIF, which are kept until the last, may take, in bytes.
const maxGIF = 2 << 30

// GIF collects the frames of an animated GIF that plays for ever. Frames with at most 256 colours keep them, others are dithered.
type GIF struct {
	fps   float64
	g     gif.GIF
	bytes int64
}

// NewGIF starts one; a GIF's clock ticks a hundred times a second, and what that leaves of fps is made up for over the frames.
func NewGIF(fps float64) *GIF { return &GIF{fps: fps} }

// Add adds a frame.
func (a *GIF) Add(img image.Image) error {
	b := img.Bounds()
	if len(a.g.Image) > 0 && a.g.Image[0].Bounds().Size() != b.Size() {
		return fmt.Errorf("a frame of %v pixels after one of %v", b.Size(), a.g.Image[0].Bounds().Size())
	}
	if a.bytes += int64(b.Dx()) * int64(b.Dy()); a.bytes > maxGIF {
		return fmt.Errorf("the frames up to number %d take more than %d GB as a GIF: write fewer or smaller ones, or a PNG", len(a.g.Image), maxGIF>>30)
	}
	frame := image.NewPaletted(image.Rectangle{Max: b.Size()}, nil)
	if p, ok := fewColours(img); ok {
		frame.Palette = p
		draw.Draw(frame, frame.Bounds(), img, b.Min, draw.Src)
	} else {
		frame.Palette = palette.Plan9
		draw.FloydSteinberg.Draw(frame, frame.Bounds(), img, b.Min)
	}
	i := float64(len(a.g.Image))
	delay := math.Round(100*(i+1)/a.fps) - math.Round(100*i/a.fps)
	a.g.Image = append(a.g.Image, frame)
	a.g.Delay = append(a.g.Delay, int(min(max(delay, 1), math.MaxUint16)))
	return nil
}

// fewColours is the palette of a picture with at most 256 colours.
func fewColours(img image.Image) (color.Palette, bool) {
	rgba, ok := img.(*image.RGBA)
	if !ok {
		return nil, false
	}
	seen := map[color.RGBA]bool{}
	var p color.Palette
	for y := rgba.Rect.Min.Y; y < rgba.Rect.Max.Y; y++ {
		for x := rgba.Rect.Min.X; x < rgba.Rect.Max.X; x++ {
			if c := rgba.RGBAAt(x, y); !seen[c] {
				if len(p) == 256 {
					return nil, false
				}
				seen[c] = true
				p = append(p, c)
			}
		}
	}
	return p, true
}

// Encode writes the file.
func (a *GIF) Encode(w io.Writer) error { return gif.EncodeAll(w, &a.g) }

// APNG writes an animated PNG (W3C PNG, third edition), frame by frame: all colours, played for ever; programs that know no animation show
// the first frame.
type APNG struct {
	w        io.Writer
	frames   int // in all
	written  int
	sequence uint32
	header   []byte
	delay    [2]uint16
}

// NewAPNG starts one of that many frames.
func NewAPNG(w io.Writer, frames int, fps float64) *APNG {
	// A fraction of 16-bit numbers.
	unit := min(1000, math.Floor(math.MaxUint16/max(fps, 1)))
	return &APNG{w: w, frames: frames, delay: [2]uint16{uint16(min(math.Round(unit), math.MaxUint16)), uint16(max(1, math.Round(unit*fps)))}}
}

// Add writes the next frame. All have the size of the first.
func (a *APNG) Add(img image.Image) error {
	if a.written == a.frames {
		return fmt.Errorf("more than %d frames", a.frames)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		return err
	}
	var header []byte
	var data [][]byte
	for b := file.Bytes()[8:]; len(b) >= 12; { // length, type, data, checksum
		n := binary.BigEndian.Uint32(b)
		switch body := b[8 : 8+n]; string(b[4:8]) {
		case "IHDR":
			header = body
		case "IDAT":
			data = append(data, body)
		case "PLTE", "tRNS":
			return errors.New("a frame with a palette or transparency; draw it as image.RGBA on an opaque ground")
		}
		b = b[12+n:]
	}
	b := img.Bounds()
	if a.written == 0 {
		a.header = header
		if _, err := io.WriteString(a.w, "\x89PNG\r\n\x1a\n"); err != nil {
			return err
		}
		if err := errors.Join(a.chunk("IHDR", header), a.chunk("acTL", be32(uint32(a.frames), 0))); err != nil {
			return err
		}
	} else if !bytes.Equal(header, a.header) {
		return fmt.Errorf("frame %d has another size or kind of pixel than the first", a.written)
	}
	control := be32(a.next(), uint32(b.Dx()), uint32(b.Dy()), 0, 0)
	control = binary.BigEndian.AppendUint16(control, a.delay[0])
	control = binary.BigEndian.AppendUint16(control, a.delay[1])
	if err := a.chunk("fcTL", append(control, 0, 0)); err != nil { // leave the frame standing, and write over it
		return err
	}
	for _, d := range data {
		kind := "IDAT"
		if a.written > 0 {
			kind, d = "fdAT", append(be32(a.next()), d...)
		}
		if err := a.chunk(kind, d); err != nil {
			return err
		}
	}
	a.written++
	return nil
}

// Close ends the file.
func (a *APNG) Close() error {
	if a.written != a.frames {
		return fmt.Errorf("%d of %d frames", a.written, a.frames)
	}
	return a.chunk("IEND", nil)
}

func (a *APNG) next() uint32 {
	a.sequence++
	return a.sequence - 1
}

func (a *APNG) chunk(kind string, data []byte) error {
	b := append(be32(uint32(len(data))), kind...)
	b = append(b, data...)
	b = append(b, be32(crc32.ChecksumIEEE(b[4:]))...)
	_, err := a.w.Write(b)
	return err
}

func be32(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}
