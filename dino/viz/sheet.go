package viz

import (
	"image"
	"image/draw"
)

// Sheet lays images out in rows of columns, each at its own size in the middle of a cell as large as the largest, gap pixels of white
// around every cell. No images give an empty picture of one gap.
func Sheet(images []image.Image, columns, gap int) *image.RGBA {
	columns = max(1, min(columns, len(images)))
	gap = max(0, gap)
	var cell image.Point
	for _, img := range images {
		s := img.Bounds().Size()
		cell.X, cell.Y = max(cell.X, s.X), max(cell.Y, s.Y)
	}
	rows := (len(images) + columns - 1) / columns
	sheet := image.NewRGBA(image.Rect(0, 0, max(1, columns*(cell.X+gap)+gap), max(1, rows*(cell.Y+gap)+gap)))
	draw.Draw(sheet, sheet.Bounds(), image.White, image.Point{}, draw.Src)
	for i, img := range images {
		b := img.Bounds()
		at := image.Pt(
			gap+i%columns*(cell.X+gap)+(cell.X-b.Dx())/2,
			gap+i/columns*(cell.Y+gap)+(cell.Y-b.Dy())/2)
		draw.Draw(sheet, image.Rectangle{Min: at, Max: at.Add(b.Size())}, img, b.Min, draw.Over)
	}
	return sheet
}
