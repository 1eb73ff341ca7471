package shapes

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"testing"
)

// TestPicturesAreKeyed: the same key draws the same pixels, another one does not.
func TestPicturesAreKeyed(t *testing.T) {
	a, b := Picture(1, 7, 24), Picture(1, 7, 24)
	if !bytes.Equal(a.Pix, b.Pix) {
		t.Error("the same seed and index drew two pictures")
	}
	if bytes.Equal(a.Pix, Picture(2, 7, 24).Pix) || bytes.Equal(a.Pix, Picture(1, 17, 24).Pix) {
		t.Error("another seed or index drew the same picture")
	}
}

// TestColoursSayNothing: classes differ in outline alone, so the mean colour of many pictures must be about the same for each.
func TestColoursSayNothing(t *testing.T) {
	const each = 150
	for class := range Classes {
		var sum float64
		for n := range each {
			for i, p := range Picture(3, n*len(Classes)+class, 8).Pix {
				if i%4 != 3 {
					sum += float64(p)
				}
			}
		}
		mean := sum / (each * 8 * 8 * 3)
		// One picture's mean has a deviation of about 45 grey levels, so the mean of 150 strays by less than 4.
		if !(math.Abs(mean-127.5) < 16) {
			t.Errorf("%s: mean grey level %.1f, want about 127.5", Classes[class], mean)
		}
	}
}

// TestOutlinesDiffer: every two classes disagree about a good part of the square around an object.
func TestOutlinesDiffer(t *testing.T) {
	if len(inside) != len(Classes) {
		t.Fatalf("%d outlines for %d classes", len(inside), len(Classes))
	}
	const n = 80
	for a := range inside {
		for b := range a {
			differ := 0
			for i := range n * n {
				u, v := 2*(float64(i%n)+0.5)/n-1, 2*(float64(i/n)+0.5)/n-1
				if inside[a](u, v) != inside[b](u, v) {
					differ++
				}
			}
			if share := float64(differ) / (n * n); share < 0.05 {
				t.Errorf("%s and %s differ in %.1f %% of the square only", Classes[a], Classes[b], 100*share)
			}
		}
	}
}

// TestContactSheet writes the pictures of each class where SHAPES_SHEET names a file, for a person to look at.
func TestContactSheet(t *testing.T) {
	name := os.Getenv("SHAPES_SHEET")
	if name == "" {
		t.Skip("SHAPES_SHEET names no file to write the sheet to")
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, Sheet(0, 12, 64)); err != nil {
		t.Fatal(err)
	}
}
