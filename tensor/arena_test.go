package tensor

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godino-ml/godino/kernels"
)

// TestArena takes and gives back tensors in random order: no memory is lent twice, and the same pass again takes none.
func TestArena(t *testing.T) {
	a := NewArena(NewCPU(kernels.Reference(), 1))
	a.Poison()
	var bytes int64
	for pass := range 3 {
		r := rand.New(rand.NewPCG(1, 2))
		var mine []*Tensor
		var inUse int64
		for i := range 500 {
			if len(mine) > 0 && r.IntN(3) == 0 {
				at := r.IntN(len(mine))
				inUse -= int64(mine[at].Len()) * 4
				a.Free(mine[at])
				mine = slices.Delete(mine, at, at+1)
			} else {
				x := a.New(1+i%5, 3)
				if v := x.data[0]; v == v {
					t.Fatalf("pass %d: lent memory is not poisoned", pass)
				}
				mine = append(mine, x)
				inUse += int64(x.Len()) * 4
			}
			if a.inUse != inUse {
				t.Fatalf("pass %d: %d bytes in use, want %d", pass, a.inUse, inUse)
			}
		}
		for i, x := range mine {
			Fill(x, float32(i))
		}
		for i, x := range mine {
			if x.data[0] != float32(i) || x.data[len(x.data)-1] != float32(i) {
				t.Fatalf("pass %d: memory is lent twice", pass)
			}
			if !a.Lent(x) || a.Lent(x.View(x.Len())) {
				t.Fatalf("pass %d: Lent is wrong", pass)
			}
		}
		a.Reset()
		if a.inUse != 0 || a.Lent(mine[0]) {
			t.Fatalf("pass %d: %d bytes in use after Reset", pass, a.inUse)
		}
		if pass > 0 && a.Bytes() != bytes {
			t.Fatalf("pass %d: the arena holds %d bytes, %d after the pass before", pass, a.Bytes(), bytes)
		}
		bytes = a.Bytes()
	}
}

// TestArenaFreeOfAnother: a tensor that the arena has not lent, or has back already, is a mistake.
func TestArenaFreeOfAnother(t *testing.T) {
	dev := NewCPU(kernels.Reference(), 1)
	a, b := NewArena(dev), NewArena(dev)
	a.New(3)
	other, freed := b.New(3), a.New(3)
	a.Free(freed)
	for name, x := range map[string]*Tensor{"another arena's": other, "no arena's": New(dev, 3), "freed already": freed} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Free of a tensor that is %s did not panic", name)
				}
			}()
			a.Free(x)
		}()
	}
}
