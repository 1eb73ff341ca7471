package eval

import (
	"fmt"
	"slices"

	"github.com/godino-ml/godino/tensor"
)

// PatchGrid is how the patches of an image lie.
type PatchGrid struct{ Rows, Cols int }

// PatchColourOptions say how patches are coloured.
type PatchColourOptions struct {
	Foreground bool     // colour the foreground alone
	Threshold  *float64 // of the first component, scaled to [0, 1], from where on a patch is foreground; nil lets Otsu choose
	Invert     bool     // the other side is the foreground
}

// PatchColours are the colours of the patches of images.
type PatchColours struct {
	RGB        [][]float32 // of each image: (N, 3) in [0, 1]
	Foreground [][]bool    // of each image: (N); nil without
	Threshold  float64     // that was used
	Explained  []float64   // share of the variance of red, green and blue
}

// ColourPatches turns the first three principal components of the patch features of several images into red, green and blue, as Oquab et
// al., DINOv2 (arXiv:2304.07193), figure 1. Components and their scale are those of all images together, so that a colour means the same in
// each: from the 1st to the 99th percentile. With Foreground the first component parts the patches in two, and the components are those of the
// foreground: the side that holds less of the images' borders. f holds the patches of one image after another.
func ColourPatches(dev *tensor.Device, f Features, images []PatchGrid, o PatchColourOptions) (*PatchColours, error) {
	n := 0
	for _, g := range images {
		n += g.Rows * g.Cols
	}
	if n != f.Len() {
		return nil, fmt.Errorf("%d features of %d patches", f.Len(), n)
	}
	c := &PatchColours{}
	part := f
	var foreground []bool
	if o.Foreground {
		first, err := FitPCA(dev, f, 1)
		if err != nil {
			return nil, err
		}
		y := first.Project(dev, f)
		scale01(y, 1)
		if c.Threshold = Otsu(y); o.Threshold != nil {
			c.Threshold = *o.Threshold
		}
		foreground = make([]bool, n)
		for i, v := range y {
			foreground[i] = float64(v) >= c.Threshold
		}
		if bordered(foreground, images) != o.Invert {
			for i := range foreground {
				foreground[i] = !foreground[i]
			}
		}
		part = Features{Dim: f.Dim}
		for i, in := range foreground {
			if in {
				part.Data = append(part.Data, f.Data[i*f.Dim:(i+1)*f.Dim]...)
			}
		}
		if part.Len() < 2 {
			return nil, fmt.Errorf("the threshold %g leaves %d of %d patches in the foreground", c.Threshold, part.Len(), n)
		}
	}
	k := min(3, f.Dim)
	p, err := FitPCA(dev, part, k)
	if err != nil {
		return nil, err
	}
	c.Explained = p.Explained
	y := p.Project(dev, part)
	scale01(y, k)
	at, row := 0, 0
	for _, g := range images {
		size := g.Rows * g.Cols
		rgb := make([]float32, 3*size)
		for i := range size {
			if foreground == nil || foreground[at+i] {
				copy(rgb[3*i:3*i+3], y[row*k:(row+1)*k])
				row++
			}
		}
		c.RGB = append(c.RGB, rgb)
		if foreground != nil {
			c.Foreground = append(c.Foreground, foreground[at:at+size])
		}
		at += size
	}
	return c, nil
}

// bordered says whether more of the images' borders than of their insides is in the mask.
func bordered(mask []bool, images []PatchGrid) bool {
	var border, inside, borderIn, insideIn int
	at := 0
	for _, g := range images {
		for i := range g.Rows {
			for j := range g.Cols {
				in := 0
				if mask[at] {
					in = 1
				}
				if i == 0 || j == 0 || i == g.Rows-1 || j == g.Cols-1 {
					border++
					borderIn += in
				} else {
					inside++
					insideIn += in
				}
				at++
			}
		}
	}
	return borderIn*inside > insideIn*border
}

// scale01 scales each column of (N, k) from its 1st to its 99th percentile to [0, 1]; what is constant becomes ½.
func scale01(y []float32, k int) {
	n := len(y) / k
	column := make([]float32, n)
	for c := range k {
		for i := range n {
			column[i] = y[i*k+c]
		}
		slices.Sort(column)
		low, high := column[(n-1)/100], column[n-1-(n-1)/100]
		for i := range n {
			v := float32(0.5)
			if high > low {
				v = min(max((y[i*k+c]-low)/(high-low), 0), 1)
			}
			y[i*k+c] = v
		}
	}
}
