package cuda

// SetMaxGrid and SetColumnBlocks make grids smaller, until the function that they return is called.

func SetMaxGrid(n int) (restore func())      { return set(&maxGrid, n) }
func SetColumnBlocks(n int) (restore func()) { return set(&columnBlocks, n) }

func set(variable *int, n int) (restore func()) {
	before := *variable
	*variable = n
	return func() { *variable = before }
}
