package tensor

// chunkElements is how many elements of one array a chunk of an elementwise or row-wise operation holds: 64 KiB. It stays in the second-level
// cache with the few other arrays of the operation, takes some 5–50 µs and is far below what a stop of the garbage collector minds to wait for.
const chunkElements = 16384

// runElements calls f for the chunks [from, to) of n elements on the device's threads.
func (d *Device) runElements(n int, f func(from, to int)) {
	d.Run((n+chunkElements-1)/chunkElements, func(chunk, _ int) {
		f(chunk*chunkElements, min((chunk+1)*chunkElements, n))
	})
}

// runRows calls f for chunks [from, to) of rows of cols elements on the device's threads.
func (d *Device) runRows(rows, cols int, f func(from, to int)) {
	per := rowsPerChunk(cols)
	d.Run((rows+per-1)/per, func(chunk, _ int) {
		f(chunk*per, min((chunk+1)*per, rows))
	})
}

// rowsPerChunk is how many rows of that many columns a chunk holds.
func rowsPerChunk(cols int) int { return max(1, chunkElements/max(1, cols)) }

// clearUnless clears x unless add: what a backward does with the chunk of a gradient that it is to overwrite, while it is about to touch it
// anyway.
func clearUnless(add bool, x []float32) {
	if !add {
		clear(x)
	}
}
