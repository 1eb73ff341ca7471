package augment

import "github.com/godino-ml/godino/kernels/cuda"

// AddTo adds view v by a recipe to the crops that a GPU will make, of a picture of width pixels a row whose bytes begin at picture among all. crops has the
// view's size. What the GPU makes is what View makes, bit for bit.
func (m *MultiCrop) AddTo(crops *cuda.Crops, s *Scratch, r *Recipe, picture, width int) {
	c := cuda.Crop{Picture: picture, Width: width, X: r.Box.X, Y: r.Box.Y, Flip: r.Flip, Solarize: 256, Colour: s.operations[:0]}
	c.Across = s.horizontal.onGPU(r.Box.W, crops.Size)
	c.Down = s.vertical.onGPU(r.Box.H, crops.Size)
	if r.jittered {
		for _, op := range r.jitter.order {
			if factor, changes := r.jitter.factor(op); changes {
				o := cuda.ColourOperation{Kind: cuda.Brightness + cuda.ColourKind(op), Factor: float32(factor)}
				if o.Kind == cuda.Hue {
					o.Factor = float32(hueShift(factor))
				}
				c.Colour = append(c.Colour, o)
			}
		}
	}
	if r.Grey {
		c.Colour = append(c.Colour, cuda.ColourOperation{Kind: cuda.Grey})
	}
	s.operations = c.Colour
	if r.Blur > 0 {
		if n, box, edge := boxWeights(r.Blur); n > 0 || edge > 0 {
			c.Radius, c.BlurBox, c.BlurEdge = n, box, edge
		}
	}
	if r.Solarize {
		c.Solarize = solarizeFrom
	}
	crops.Add(&c)
}

// onGPU are the bicubic weights of one pass as a GPU gets them, in t's memory.
func (t *taps) onGPU(in, out int) cuda.Taps {
	if in == out {
		t.by = nil // what t holds is of no size
		t.first = grow(t.first, out)
		for i := range t.first {
			t.first[i] = int32(i)
		}
		return cuda.Taps{First: t.first}
	}
	t.set(bicubic, in, out, 0, out)
	return cuda.Taps{Width: t.width, First: t.first, Count: t.count, Weights: t.weights}
}
