package cuda_test

import (
	"testing"

	"github.com/godino-ml/godino/kernels/cuda"
	"github.com/godino-ml/godino/kernels/cuda/cudatest"
)

// Tokens of images are copied around; n is the width of one.
var tokenWidths = []int{5, 24, 6, 400}

func TestConcatTokens(t *testing.T) {
	test(t, tokenWidths, func(r *run, n int) {
		const count, tokens = 3, 4
		cls, patches, pos, y := r.parameter(n), r.in(count*tokens*n), r.parameter((tokens+1)*n), r.undefined(r.typ, count*(tokens+1)*n)
		dy, dcls, dpos, dpatches := r.in(count*(tokens+1)*n), r.gradient(n), r.gradient((tokens+1)*n), r.out(count*tokens*n)
		y.is(nil)
		dcls.is(dcls.prior())
		dpos.is(dpos.prior())
		dpatches.is(nil)
		for b := range count {
			y.want = append(append(y.want, cls.x...), patches.x[b*tokens*n:(b+1)*tokens*n]...)
			image := dy.x[b*(tokens+1)*n : (b+1)*(tokens+1)*n]
			dpatches.want = append(dpatches.want, image[n:]...)
			for i, v := range image {
				y.want[b*(tokens+1)*n+i] += pos.x[i]
				dpos.want[i] += v
				if i < n {
					dcls.want[i] += v
				}
			}
		}
		addTo(r, dpatches)
		r.d.ConcatTokensForward(y.ptr, cls.ptr, patches.ptr, pos.ptr, r.typ, count, tokens, n)
		r.d.ConcatTokensBackward(0, dpatches.ptr, dpos.ptr, dy.ptr, r.typ, count, tokens, n, r.add)
		r.d.ConcatTokensBackward(dcls.ptr, 0, 0, dy.ptr, r.typ, count, tokens, n, r.add)
	})
}

// addTo adds what an array held to what it should hold, if the run adds.
func addTo(r *run, a *array) {
	if r.add {
		for i, v := range a.x {
			a.want[i] += v
		}
	}
}

func TestInsertTokens(t *testing.T) {
	test(t, tokenWidths, func(r *run, n int) {
		const count, tokens, inserted = 3, 3, 2
		for _, at := range []int{0, 1, tokens} {
			x, inserts, y := r.in(count*tokens*n), r.parameter(inserted*n), r.undefined(r.typ, count*(tokens+inserted)*n)
			dy, dx, dinserts := r.in(count*(tokens+inserted)*n), r.out(count*tokens*n), r.gradient(inserted*n)
			y.is(nil)
			dx.is(nil)
			dinserts.is(dinserts.prior())
			for b := range count {
				image := x.x[b*tokens*n : (b+1)*tokens*n]
				y.want = append(append(append(y.want, image[:at*n]...), inserts.x...), image[at*n:]...)
				image = dy.x[b*(tokens+inserted)*n : (b+1)*(tokens+inserted)*n]
				dx.want = append(append(dx.want, image[:at*n]...), image[(at+inserted)*n:]...)
				for i := range dinserts.want {
					dinserts.want[i] += image[at*n+i]
				}
			}
			addTo(r, dx)
			r.d.InsertTokensForward(y.ptr, x.ptr, inserts.ptr, r.typ, count, tokens, n, at, inserted)
			r.d.InsertTokensBackward(dx.ptr, 0, dy.ptr, r.typ, count, tokens, n, at, inserted, r.add)
			r.d.InsertTokensBackward(0, dinserts.ptr, dy.ptr, r.typ, count, tokens, n, at, inserted, r.add)
		}
	})
}

func TestRemoveTokens(t *testing.T) {
	test(t, tokenWidths, func(r *run, n int) {
		const count, tokens, removed = 3, 5, 2
		for _, at := range []int{0, 1, tokens - removed} {
			x, y := r.in(count*tokens*n), r.out(count*(tokens-removed)*n)
			dy, dx := r.in(count*(tokens-removed)*n), r.out(count*tokens*n)
			y.is(nil)
			dx.is(nil)
			for b := range count {
				image := x.x[b*tokens*n : (b+1)*tokens*n]
				y.want = append(append(y.want, image[:at*n]...), image[(at+removed)*n:]...)
				image = dy.x[b*(tokens-removed)*n : (b+1)*(tokens-removed)*n]
				dx.want = append(append(append(dx.want, image[:at*n]...), make([]float32, removed*n)...), image[at*n:]...)
			}
			addTo(r, y)
			addTo(r, dx)
			r.d.RemoveTokensForward(y.ptr, x.ptr, r.typ, count, tokens, n, at, removed, r.add)
			r.d.RemoveTokensBackward(dx.ptr, dy.ptr, r.typ, count, tokens, n, at, removed, r.add)
		}
	})
}

func TestSelectToken(t *testing.T) {
	test(t, tokenWidths, func(r *run, n int) {
		const count, tokens = 3, 4
		for _, index := range []int{0, 2, 3} {
			x, y := r.in(count*tokens*n), r.undefined(r.typ, count*n)
			dy, dx := r.in(count*n), r.out(count*tokens*n)
			y.is(nil)
			dx.is(make([]float32, count*tokens*n))
			for b := range count {
				y.want = append(y.want, x.x[(b*tokens+index)*n:][:n]...)
				copy(dx.want[(b*tokens+index)*n:], dy.x[b*n:(b+1)*n])
			}
			addTo(r, dx)
			r.d.SelectTokenForward(y.ptr, x.ptr, r.typ, count, tokens, n, index)
			r.d.SelectTokenBackward(dx.ptr, dy.ptr, r.typ, count, tokens, n, index, r.add)
		}
	})
}

// More items than a grid is high.
func TestManyItems(t *testing.T) {
	const count = 10
	defer cuda.SetMaxGrid(3)()
	each(t, cudatest.New(t), []int{1, 2000}, func(r *run, n int) {
		x, y := r.in(count*2*n), r.undefined(r.typ, count*n)
		y.is(nil)
		for b := range count {
			y.want = append(y.want, x.x[(2*b+1)*n:][:n]...)
		}
		r.d.SelectTokenForward(y.ptr, x.ptr, r.typ, count, 2, n, 1)
		samples := cudatest.PutInts(r.d, []int32{1, 4, 9})
		branch, z := r.in(3*n), r.undefined(r.typ, count*n)
		z.is(make([]float32, count*n))
		for i, b := range []int{1, 4, 9} {
			copy(z.want[b*n:], branch.x[i*n:(i+1)*n])
		}
		r.d.ResidualSamples(z.ptr, 0, branch.ptr, r.typ, samples, 1, 3, count, n)
	})
}
