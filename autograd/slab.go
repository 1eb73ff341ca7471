package autograd

// slab hands out values that live until it is reset, and hands out the same ones again afterwards: a pass of as many operations as the last
// allocates none.
type slab[T any] struct {
	values []*T
	used   int
}

// next is a value as its last user has left it.
func (s *slab[T]) next() *T {
	if s.used == len(s.values) {
		s.values = append(s.values, new(T))
	}
	s.used++
	return s.values[s.used-1]
}

// lent are the values handed out since the last reset.
func (s *slab[T]) lent() []*T { return s.values[:s.used] }

// reset takes all values back.
func (s *slab[T]) reset() { s.used = 0 }
