package cuda

// The grids of the families of kernels over elements, rows and columns.

// elements is the grid of kernels of 256 threads that stride over n elements: enough blocks to fill the GPU, no more.
func (d *Device) elements(n int) Dim {
	if n == 0 {
		return Dim{}
	}
	return Dim{X: min(ceilDiv(n, 256), 8*max(d.info.Multiprocessors, 1))}
}

// maxGrid is the most blocks in the second dimension of a grid; tests make it smaller.
var maxGrid = 65535

// items is the grid of kernels of 256 threads over n elements each of count items, vectors of at least four elements a thread.
func items(count, n int) Dim {
	if count == 0 || n == 0 {
		return Dim{}
	}
	return Dim{X: ceilDiv(n, 4*256), Y: min(count, maxGrid)}
}

// rowThreads is the block of kernels that take a block a row of n columns: about eight columns a thread and pass.
func rowThreads(n int) Dim { return Dim{X: min(max(32*ceilDiv(n, 8*32), 32), 1024)} }

// columnWidth is how many columns a thread of a sum over rows takes: four where all rows are aligned, else one.
func columnWidth(n int, rows ...Ptr) int {
	if vectors(n, rows...) {
		return 4
	}
	return 1
}

// vectors says whether rows of n columns, one after the other from these addresses, allow vectors of four.
func vectors(n int, rows ...Ptr) bool {
	for _, p := range rows {
		if p%16 != 0 {
			return false
		}
	}
	return n%4 == 0
}

// columnBlocks is how many blocks fill a GPU; tests make it smaller.
var columnBlocks = 1024

// columnChunks cuts rows into chunks for sums over the rows of n columns: enough blocks to fill a GPU, at least 32 rows in each. They depend on the shape
// alone.
func columnChunks(rows, n, width int) (chunks, per int) {
	chunks = min(ceilDiv(columnBlocks, ceilDiv(n, 32*width)), ceilDiv(rows, 32))
	per = ceilDiv(rows, chunks)
	return ceilDiv(rows, per), per
}

// columnsAdd adds the sums of chunks in partial (chunks, a's n and b's n) to a and b, either of which may be 0: not wanted.
func (d *Device) columnsAdd(a, b, partial Ptr, chunks, n, columns int) {
	d.launch("columns", "columns_add", Dim{X: ceilDiv(columns, 32)}, Dim{X: 256}, 0, P(a), P(b), P(partial), I(chunks), I(n), I(columns))
}
