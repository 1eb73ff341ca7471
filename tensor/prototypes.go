package tensor

import (
	"github.com/godino-ml/godino/kernels"
	"github.com/godino-ml/godino/kernels/cuda"
)

// Prototypes are the rows of a weight-normalised linear layer without bias (Salimans, Kingma 2016),
//
//	w[k] = g[k]·v[k]/‖v[k]‖,
//
// and their logits the products z·wᵀ of bottleneck vectors z with them. There are so many that w, its gradient or the logits of a batch would
// be larger than everything else of a training step. So operations go through them block by block: a block of w is made, used for all that it
// is good for while it is in the cache, and forgotten.
//
// Letters: R rows of z, D the length of a row, K prototypes; v (K, D), g (K, 1).

// PrototypesForward computes logits = z·wᵀ. logits (R, K), z (R, D). a lends a GPU memory until it returns.
func PrototypesForward(a *Arena, logits, z, v, g *Tensor) {
	p := checkPrototypes("PrototypesForward", z, v, g)
	check(logits.Rows() == p.rows && logits.Cols() == p.count, "PrototypesForward", "logits (R,K), z (R,D), v (K,D), g (K,1)", logits, z, v, g)
	if p.dev.gpu != nil {
		w := p.whole(a)
		p.logitsOnGPU(logits, w)
		a.Free(w)
		return
	}
	p.run(p.blocks, func(block int, s *prototypeScratch) {
		from, n := p.bounds(block)
		p.normalise(s, from, n)
		p.multiply(p.logits(logits.data[from:], p.count, s, n), s)
	})
}

// PrototypesBackward undoes logits = z·wᵀ. dv and then dz are overwritten, or added to if addV or addZ; dg is added to. Each may be nil: not
// wanted. a lends a GPU memory until it returns.
func PrototypesBackward(a *Arena, dz, dv, dg, dlogits, z, v, g *Tensor, addZ, addV bool) {
	p := checkPrototypes("PrototypesBackward", z, v, g)
	check(dlogits.Rows() == p.rows && dlogits.Cols() == p.count, "PrototypesBackward", "dlogits (R,K), z (R,D), v (K,D), g (K,1)", dlogits, z, v, g)
	if p.dev.gpu != nil {
		w, d := p.whole(a), dlogits
		if d.typ != z.typ {
			d = a.lend(z.typ, p.rows*p.count, []int{p.rows, p.count})
			Copy(d, dlogits)
			defer a.Free(d)
		}
		p.undoOnGPU("PrototypesBackward", a, dz, dv, dg, d, w, addZ, addV)
		a.Free(w)
		return
	}
	p.undo("PrototypesBackward", dz, dv, dg, addZ, addV, func(s *prototypeScratch, from, n int) {
		for r := range p.rows {
			copy(s.dlogits[r*n:(r+1)*n], dlogits.data[r*p.count+from:])
		}
	})
}

const (
	// prototypeElements is how many elements a block of w has together with the block of logits: 256 KiB. Both, and their gradients, stay in
	// the second-level cache.
	prototypeElements = 1 << 16
	// prototypeSpans is how many parts the sum over all prototypes is cut into, which different threads may add up.
	prototypeSpans = 32
)

// prototypes is one operation under way. Blocks and spans depend on the shapes alone, and so do the order of additions and its bits.
type prototypes struct {
	dev              *Device
	z, v, g          *Tensor
	rows, dim, count int // R, D, K
	block, blocks    int // prototypes of a block, but for the last
}

// prototypeScratch is what one worker needs: one block of everything. n is the number of prototypes of the block at hand.
type prototypeScratch struct {
	w, dw           []float32 // (n, D)
	norm            []float32 // (n), ‖v‖
	logits, dlogits []float32 // (R, n)
	gemm            []float32
	product         kernels.Product // at hand
}

func checkPrototypes(op string, z, v, g *Tensor) *prototypes {
	check(len(v.shape) == 2 && z.Cols() == v.shape[1] && g.Len() == v.shape[0], op, "z (R,D), v (K,D), g (K,1)", z, v, g)
	p := &prototypes{dev: z.dev, z: z, v: v, g: g, rows: z.Rows(), dim: z.Cols(), count: v.shape[0]}
	const tile = 32 // columns of the widest tile of a product: a narrower block would waste a part of it
	p.block = min(max(prototypeElements/max(1, p.rows+p.dim)/tile, 2), 16) * tile
	p.blocks = ceilDiv(p.count, p.block)
	return p
}

// bounds are the prototypes of a block, [from, from+n).
func (p *prototypes) bounds(block int) (from, n int) {
	from = block * p.block
	return from, min(p.block, p.count-from)
}

// run calls f for the chunks on the device's threads.
func (p *prototypes) run(chunks int, f func(chunk int, s *prototypeScratch)) {
	work := 0
	scratch := make([]prototypeScratch, p.dev.Threads())
	for _, n := range [2]int{p.block, p.count - (p.blocks-1)*p.block} {
		s := &scratch[0]
		for _, x := range [3]kernels.Product{p.logits(nil, n, s, n), p.dz(nil, false, s, n), p.dw(s, n)} {
			s.product = x
			work = max(work, p.dev.kernels.GemmWork(&s.product))
		}
	}
	work = ceilDiv(work, 32) * 32
	ofW, ofLogits := p.block*p.dim, p.block*p.rows
	size := 2*ofW + p.block + 2*ofLogits + work
	memory := p.dev.scratch(size * p.dev.Threads())
	free := memory
	take := func(n int) (s []float32) {
		s, free = free[:n], free[n:]
		return s
	}
	for i := range scratch {
		scratch[i] = prototypeScratch{w: take(ofW), dw: take(ofW), norm: take(p.block), logits: take(ofLogits), dlogits: take(ofLogits), gemm: take(work)}
	}
	p.dev.Run(chunks, func(chunk, worker int) { f(chunk, &scratch[worker]) })
	p.dev.release(memory)
}

// normalise makes w of n prototypes.
func (p *prototypes) normalise(s *prototypeScratch, from, n int) {
	for i := range n {
		v := p.v.data[(from+i)*p.dim:][:p.dim]
		s.norm[i] = p.dev.kernels.WeightNormForward(s.w[i*p.dim:(i+1)*p.dim], v, p.g.data[from+i])
	}
}

// The three products of n prototypes: their logits, what they add to dz, and their dw.

func (p *prototypes) logits(logits []float32, ld int, s *prototypeScratch, n int) kernels.Product {
	return kernels.Product{TransB: true, M: p.rows, N: n, K: p.dim, Alpha: 1, A: p.z.data, LDA: p.dim, B: s.w, LDB: p.dim, C: logits, LDC: ld}
}

func (p *prototypes) dz(dz []float32, add bool, s *prototypeScratch, n int) kernels.Product {
	x := kernels.Product{M: p.rows, N: p.dim, K: n, Alpha: 1, A: s.dlogits, LDA: n, B: s.w, LDB: p.dim, C: dz, LDC: p.dim}
	if add {
		x.Beta, x.D, x.LDD = 1, x.C, x.LDC
	}
	return x
}

func (p *prototypes) dw(s *prototypeScratch, n int) kernels.Product {
	return kernels.Product{TransA: true, M: n, N: p.dim, K: p.rows, Alpha: 1, A: s.dlogits, LDA: n, B: p.z.data, LDB: p.dim, C: s.dw, LDC: p.dim}
}

func (p *prototypes) multiply(x kernels.Product, s *prototypeScratch) {
	s.product = x // a kernel takes it by reference: one of each call's own would be memory for the garbage collector
	p.dev.kernels.GemmSerial(&s.product, s.gemm)
}

// undo makes the gradients from those of the logits, which gradient writes to s.dlogits for n prototypes: s has their w.
func (p *prototypes) undo(op string, dz, dv, dg *Tensor, addZ, addV bool, gradient func(s *prototypeScratch, from, n int)) {
	p.checkGradients(op, dz, dv, dg)
	spans, area := min(p.blocks, prototypeSpans), p.rows*p.dim
	var sums []float32 // dz of every span
	if dz != nil {
		sums = p.dev.scratch(spans * area)
	}
	p.run(spans, func(span int, s *prototypeScratch) {
		first := span * p.blocks / spans
		for block := first; block < (span+1)*p.blocks/spans; block++ {
			from, n := p.bounds(block)
			p.normalise(s, from, n)
			gradient(s, from, n)
			if dz != nil {
				p.multiply(p.dz(sums[span*area:], block > first, s, n), s)
			}
			if dv != nil || dg != nil {
				p.multiply(p.dw(s, n), s)
				p.undoNormalise(dv, dg, addV, s, from, n)
			}
		}
	})
	if dz == nil {
		return
	}
	p.dev.runElements(area, func(from, to int) {
		clearUnless(addZ, dz.data[from:to])
		for span := range spans {
			p.dev.kernels.Add(dz.data[from:to], sums[span*area+from:span*area+to])
		}
	})
	p.dev.release(sums)
}

func (p *prototypes) checkGradients(op string, dz, dv, dg *Tensor) {
	check((dz == nil || SameShape(dz, p.z)) && (dv == nil || SameShape(dv, p.v)) && (dg == nil || dg.Len() == p.count),
		op, "dz as z, dv as v, dg as g, or nil", dz, dv, dg, p.z, p.v, p.g)
}

// undoNormalise makes of the gradient s.dw those of v and g, for n prototypes.
func (p *prototypes) undoNormalise(dv, dg *Tensor, addV bool, s *prototypeScratch, from, n int) {
	for i := range n {
		at, to := (from+i)*p.dim, (from+i+1)*p.dim
		var dvRow []float32
		if dv != nil {
			dvRow = dv.data[at:to]
			clearUnless(addV, dvRow)
		}
		d := p.dev.kernels.WeightNormBackward(dvRow, s.dw[i*p.dim:(i+1)*p.dim], p.v.data[at:to], p.g.data[from+i], s.norm[i])
		if dg != nil {
			dg.data[from+i] += d
		}
	}
}

// whole is all of w on a GPU, in the type of z.
func (p *prototypes) whole(a *Arena) *Tensor {
	w := a.lend(p.z.typ, p.count*p.dim, []int{p.count, p.dim})
	p.dev.gpu.WeightNormForward(w.ptr, p.v.f32(), p.g.f32(), p.count, p.dim, w.typ)
	return w
}

// logitsOnGPU computes logits = z·wᵀ.
func (p *prototypes) logitsOnGPU(logits, w *Tensor) {
	p.dev.gpu.Gemm(&cuda.Gemm{TransB: true, M: p.rows, N: p.count, K: p.dim, Alpha: 1, Type: w.typ, A: p.z.ptr, LDA: p.dim, B: w.ptr, LDB: p.dim,
		TypeC: logits.typ, C: logits.ptr, LDC: p.count})
}

// undoOnGPU makes the gradients from those of the logits, which have the type of z.
func (p *prototypes) undoOnGPU(op string, a *Arena, dz, dv, dg, dlogits, w *Tensor, addZ, addV bool) {
	p.checkGradients(op, dz, dv, dg)
	if dz != nil {
		x := cuda.Gemm{M: p.rows, N: p.dim, K: p.count, Alpha: 1, Type: w.typ, A: dlogits.ptr, LDA: p.count, B: w.ptr, LDB: p.dim,
			TypeC: dz.typ, C: dz.ptr, LDC: p.dim}
		if addZ {
			x.Beta = 1
		}
		p.dev.gpu.Gemm(&x)
	}
	if dv == nil && dg == nil {
		return
	}
	dw := a.NewFloat32(p.count, p.dim)
	p.dev.gpu.Gemm(&cuda.Gemm{TransA: true, M: p.count, N: p.dim, K: p.rows, Alpha: 1, Type: w.typ, A: dlogits.ptr, LDA: p.count, B: p.z.ptr, LDB: p.dim,
		TypeC: dw.typ, C: dw.ptr, LDC: p.dim})
	p.dev.gpu.WeightNormBackward(dv.f32(), dg.f32(), dw.ptr, p.v.f32(), p.g.f32(), p.count, p.dim, addV)
	a.Free(dw)
}
