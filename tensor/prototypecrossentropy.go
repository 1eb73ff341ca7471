package tensor

import (
	"math"

	"github.com/godino-ml/godino/kernels/cuda"
)

// PrototypeCrossEntropyForward computes the cross-entropy with soft targets of the logits of prototypes (see PrototypesForward), which it
// forgets block by block,
//
//	loss[r] = −Σ_{i ∈ pairs[r]} Σ_k target[i,k]·logsoftmax(scale·z[r]·wᵀ)[k],
//
// for scale > 0 (the inverse of a temperature). target (T, K), loss (R). pairs lists the rows of target that each row is compared with;
// there may be none. Kept for the backward: lse (R), the logarithm of Σ_k exp(scale·logits[r]), and targetSum (T), Σ_k target[i]; and, on a GPU
// alone, w and the logits, in memory that a lends: 2·K·(R+D) bytes of bf16, 117 MB for DINO's 65,536 outputs, 640 crops and 256 columns. To make
// them again would cost as much as a third of the backward.
func PrototypeCrossEntropyForward(a *Arena, loss, lse, targetSum, z, v, g, target *Tensor, pairs *Pairs, scale float32) *PrototypeProducts {
	p := checkPrototypeCrossEntropy("PrototypeCrossEntropyForward", z, v, g, target, targetSum, lse, pairs)
	check(loss.Len() == p.rows, "PrototypeCrossEntropyForward", "loss (R)", loss)
	if g := p.dev.gpu; g != nil {
		kept := &PrototypeProducts{w: p.whole(a), logits: a.lend(z.typ, p.rows*p.count, []int{p.rows, p.count})}
		p.logitsOnGPU(kept.logits, kept.w)
		c := p.crossEntropy(kept.logits, lse, targetSum, target, pairs, scale)
		c.Loss = loss.f32()
		g.PrototypeCrossEntropyForward(c)
		return kept
	}
	k := p.dev.kernels
	p.dev.runRows(target.Rows(), p.count, func(from, to int) {
		for i := from; i < to; i++ {
			targetSum.data[i] = k.Sum(target.data[i*p.count : (i+1)*p.count])
		}
	})
	// Of every block: the logarithm of its part of the sum, and −Σ target·scale·logits.
	parts := p.dev.scratch(2 * p.blocks * p.rows)
	logSums, products := parts[:p.blocks*p.rows], parts[p.blocks*p.rows:]
	p.run(p.blocks, func(block int, s *prototypeScratch) {
		from, n := p.bounds(block)
		p.normalise(s, from, n)
		p.multiply(p.logits(s.logits, n, s, n), s)
		k.LogSumExp(logSums[block*p.rows:][:p.rows], s.logits[:p.rows*n], scale)
		for r, targets := range pairs.rows {
			x := s.logits[r*n : (r+1)*n]
			var sum float32
			for _, i := range targets {
				sum += k.SoftCrossEntropyForward(x, target.data[i*p.count+from:][:n], scale, 0)
			}
			products[block*p.rows+r] = sum
		}
	})
	p.dev.runRows(p.rows, p.blocks, func(from, to int) {
		for r := from; r < to; r++ {
			// The largest part is taken out first, so that exp cannot overflow.
			shift := float32(math.Inf(-1))
			for b := range p.blocks {
				shift = max(shift, logSums[b*p.rows+r])
			}
			var sum, l float64
			for b := range p.blocks {
				sum += math.Exp(float64(logSums[b*p.rows+r] - shift))
				l += float64(products[b*p.rows+r])
			}
			logSum := float64(shift) + math.Log(sum)
			for _, i := range pairs.rows[r] {
				l += float64(targetSum.data[i]) * logSum
			}
			lse.data[r], loss.data[r] = float32(logSum), float32(l)
		}
	})
	p.dev.release(parts)
	return nil
}

// PrototypeProducts are what a GPU keeps from PrototypeCrossEntropyForward for its backward; nil on a CPU.
type PrototypeProducts struct{ w, logits *Tensor }

// crossEntropy is what the kernels are told.
func (p *prototypes) crossEntropy(logits, lse, targetSum, target *Tensor, pairs *Pairs, scale float32) *cuda.PrototypeCrossEntropy {
	start, index := pairs.on(p.dev)
	return &cuda.PrototypeCrossEntropy{R: p.rows, T: target.Rows(), N: p.count, Type: logits.typ, TypeTarget: target.typ, Logits: logits.ptr, Target: target.ptr,
		Start: start, Index: index, Scale: scale, LSE: lse.f32(), TargetSum: targetSum.f32()}
}

// PrototypeCrossEntropyBackward computes the gradients of weight·dloss·Σ loss[r], making the logits again block by block. dloss (1); nil is 1. dv
// and then dz are overwritten, or added to if addV or addZ; dg is added to. Each may be nil: not wanted. The target has no gradient.
// kept is what the forward has returned, which serves once; a is the arena that it was given.
func PrototypeCrossEntropyBackward(a *Arena, kept *PrototypeProducts, dz, dv, dg, z, v, g, target, lse, targetSum *Tensor, pairs *Pairs, scale, weight float32, dloss *Tensor, addZ, addV bool) {
	p := checkPrototypeCrossEntropy("PrototypeCrossEntropyBackward", z, v, g, target, targetSum, lse, pairs)
	if g := p.dev.gpu; g != nil {
		c := p.crossEntropy(kept.logits, lse, targetSum, target, pairs, scale)
		g.PrototypeCrossEntropyBackward(c, kept.logits.ptr, dloss.f32(), weight)
		p.undoOnGPU("PrototypeCrossEntropyBackward", a, dz, dv, dg, kept.logits, kept.w, addZ, addV)
		a.Free(kept.logits)
		a.Free(kept.w)
		return
	}
	k, w := p.dev.kernels, weight*dloss.scalar()*scale
	p.undo("PrototypeCrossEntropyBackward", dz, dv, dg, addZ, addV, func(s *prototypeScratch, from, n int) {
		p.multiply(p.logits(s.logits, n, s, n), s)
		clear(s.dlogits[:p.rows*n])
		for r, targets := range pairs.rows {
			x, dx := s.logits[r*n:(r+1)*n], s.dlogits[r*n:(r+1)*n]
			var sum float32
			for _, i := range targets {
				sum += targetSum.data[i]
			}
			for j, i := range targets {
				t := target.data[i*p.count+from:][:n]
				if j == 0 {
					k.SoftCrossEntropyBackward(dx, x, t, scale, lse.data[r], sum, w)
				} else {
					k.AddScaled(dx, t, -w)
				}
			}
		}
	})
}

func checkPrototypeCrossEntropy(op string, z, v, g, target, targetSum, lse *Tensor, pairs *Pairs) *prototypes {
	p := checkPrototypes(op, z, v, g)
	ok := target.Cols() == p.count && targetSum.Len() == target.Rows() && lse.Len() == p.rows && len(pairs.rows) == p.rows
	for _, list := range pairs.rows {
		for _, i := range list {
			ok = ok && i >= 0 && i < target.Rows()
		}
	}
	check(ok, op, "z (R,D), v (K,D), g (K,1), target (T,K), targetSum (T), lse (R), R lists of rows below T", z, v, g, target, targetSum, lse)
	return p
}
