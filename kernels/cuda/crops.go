package cuda

import (
	"encoding/binary"
	"math"
)

// Crop says how a crop is made of a picture of three bytes a pixel: what package dino/augment draws and computes.
type Crop struct {
	Picture      int  // place of the picture's first byte among all pictures
	Width        int  // of the picture, in pixels
	X, Y         int  // of the box that is resized
	Across, Down Taps // of the crop's columns, from X on, and rows, from Y on
	Flip         bool

	Colour []ColourOperation // in their order; each kind at most once

	// Of the blur, weights in 2^-24 of the extended box filter: Radius samples to each side have BlurBox, one more on either side BlurEdge. None if both are 0.
	Radius            int
	BlurBox, BlurEdge uint32

	Solarize int // the least byte that is inverted; 256 for none
}

// Taps are weights in 2^-22: output i is Σ_t Weights[i·Width+t]·input[First[i]+t] for t < Count[i]. A nil Weights makes outputs of the inputs First[i] alone.
type Taps struct {
	Width                 int
	First, Count, Weights []int32
}

// ColourOperation changes colours as torchvision does on Pillow's pictures.
type ColourOperation struct {
	Kind   ColourKind
	Factor float32 // of Hue what is added to the hue in bytes
}

// ColourKind is what a colour operation does.
type ColourKind uint8

// The kinds, numbered as crops.cu has them.
const (
	Brightness ColourKind = iota + 1
	Contrast
	Saturation
	Hue
	Grey
)

// Crops collects crops of Size×Size pixels for one launch. Its memory is used again after Reset.
type Crops struct {
	Size int

	count    int
	rows     int // bytes of all pictures' rows after the first pass
	most     int // rows of one crop
	colour   bool
	blur     bool
	records  []byte
	taps     []byte
	elements int // of taps
}

// Reset forgets all crops.
func (c *Crops) Reset() {
	*c = Crops{Size: c.Size, records: c.records[:0], taps: c.taps[:0]}
}

// Count is how many crops there are.
func (c *Crops) Count() int { return c.count }

// Add adds a crop. It keeps none of its slices.
func (c *Crops) Add(x *Crop) {
	last := c.Size - 1
	top := int(x.Down.First[0])
	n := int(x.Down.First[last]) - top + 1
	if x.Down.Weights != nil {
		n += int(x.Down.Count[last]) - 1
	}
	across := c.addTaps(&x.Across, 0)
	down := c.addTaps(&x.Down, top)
	var operations uint32
	var factor [Grey + 1]float32
	for i, o := range x.Colour {
		operations |= uint32(o.Kind) << (4 * i)
		factor[o.Kind] = o.Factor
	}

	b, le := c.records, binary.LittleEndian // struct Crop of crops.cu
	word := func(x int) { b = le.AppendUint32(b, uint32(x)) }
	number := func(x float32) { b = le.AppendUint32(b, math.Float32bits(x)) }
	b = le.AppendUint64(b, uint64(x.Picture+3*((x.Y+top)*x.Width+x.X)))
	b = le.AppendUint64(b, uint64(c.rows))
	word(3 * x.Width)
	word(n)
	word(across)
	word(down)
	word(int(Flag(x.Flip).bits))
	word(int(operations))
	number(factor[Brightness])
	number(factor[Contrast])
	number(factor[Saturation])
	word(int(factor[Hue]))
	word(x.Radius)
	word(int(x.BlurBox))
	word(int(x.BlurEdge))
	word(x.Solarize)
	c.records = b

	c.count++
	c.rows += 3 * n * c.Size
	c.most = max(c.most, n)
	c.colour = c.colour || operations != 0
	c.blur = c.blur || x.BlurBox|x.BlurEdge != 0
}

// Join adds the crops of samples, each of the same number and size, view-major: the first of every sample, then the second of every sample, and so on. The
// pictures of sample i are from pictures[i] on.
func (c *Crops) Join(samples []*Crops, pictures []int) {
	le := binary.LittleEndian
	base := c.elements
	for _, o := range samples {
		c.taps = append(c.taps, o.taps...)
		c.elements += o.elements
		c.most = max(c.most, o.most)
		c.colour = c.colour || o.colour
		c.blur = c.blur || o.blur
	}
	for view := range samples[0].count {
		taps := base
		for i, o := range samples {
			size := len(o.records) / o.count
			at := len(c.records)
			c.records = append(c.records, o.records[view*size:(view+1)*size]...)
			r := c.records[at:] // start, rows, pitch, n, across, down
			le.PutUint64(r, le.Uint64(r)+uint64(pictures[i]))
			le.PutUint64(r[8:], uint64(c.rows))
			le.PutUint32(r[24:], le.Uint32(r[24:])+uint32(taps))
			le.PutUint32(r[28:], le.Uint32(r[28:])+uint32(taps))
			c.rows += 3 * int(le.Uint32(r[20:])) * c.Size
			taps += o.elements
		}
		c.count += len(samples)
	}
}

// addTaps appends taps as the kernels read them, first inputs, counts and the weights column by column, and tells where.
func (c *Crops) addTaps(t *Taps, from int) (at int) {
	at = c.elements
	b, le := c.taps, binary.LittleEndian
	for _, first := range t.First[:c.Size] {
		b = le.AppendUint32(b, uint32(int(first)-from))
	}
	width := t.Width
	if t.Weights == nil {
		width = 1
		for range c.Size {
			b = le.AppendUint32(b, 1)
		}
		for range c.Size {
			b = le.AppendUint32(b, 1<<22)
		}
	} else {
		for _, count := range t.Count[:c.Size] {
			b = le.AppendUint32(b, uint32(count))
		}
		for i := range width {
			for x := range c.Size {
				b = le.AppendUint32(b, uint32(t.Weights[x*width+i]))
			}
		}
	}
	c.taps = b
	c.elements += (2 + width) * c.Size
	return at
}

// Parts are what has to be in the GPU's memory for the launch, one after the other; the second begins at a multiple of 16 bytes.
func (c *Crops) Parts() (records, taps []byte) { return c.records, c.taps }

// Crops makes crops of the pictures: out (crops, 3, Size, Size) has type t and is normalised, (byte/255 − mean)/std for red, green and blue. records and taps are
// where the crops' Parts lie.
func (d *Device) Crops(out Ptr, t Type, c *Crops, pictures, records, taps Ptr, mean, std [3]float32) {
	area := c.Size * c.Size
	planes := 3 * area * c.count
	padded := (planes + 255) &^ 255
	work := d.workspace(2*padded + c.rows)
	spare, rows := work+Ptr(padded), work+Ptr(2*padded)
	grid := func(elements int) Dim { return Dim{X: ceilDiv(elements, 256), Y: c.count} }
	block := Dim{X: 256}
	if c.count == 0 {
		return
	}
	d.launch("crops", "crops_rows", grid(c.most*c.Size), block, 0, P(rows), P(pictures), P(records), P(taps), I(c.Size))
	d.launch("crops", "crops_columns", grid(area), block, 0, P(work), P(rows), P(records), P(taps), I(c.Size))
	if c.colour {
		d.launch("crops", "crops_colour", Dim{X: c.count}, Dim{X: 512}, 0, P(work), P(records), I(c.Size))
	}
	if c.blur {
		d.launch("crops", "crops_blur", Dim{X: 3, Y: c.count}, Dim{X: 512}, 0, P(work), P(spare), P(records), I(c.Size))
	}
	d.launch("crops", "crops_normalize_"+t.String(), Dim{X: ceilDiv(area, 4*256), Y: c.count, Z: 3}, block, 0,
		P(out), P(work), P(records), I(area), F(mean[0]), F(mean[1]), F(mean[2]), F(std[0]), F(std[1]), F(std[2]))
}
