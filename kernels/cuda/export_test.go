package cuda

// SetMaxGrid makes the second dimension of grids smaller, until the function that it returns is called.
func SetMaxGrid(n int) (restore func()) {
	before := maxGrid
	maxGrid = n
	return func() { maxGrid = before }
}
