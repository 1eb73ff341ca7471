package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// adamw: one step of AdamW, alone and with a moving average of the parameters; rest1 and rest2 are 1 − beta1 and 1 − beta2, rest is 1 − momentum.
func adamw(c *build.Context, isa ISA) {
	adamwStep(c, isa, false)
	adamwStep(c, isa, true)
}

func adamwStep(c *build.Context, isa ISA, average bool) {
	name, t, momentum := "AdamW", "", ""
	doc := "with g' = gradScale·grad[i]: m[i] = beta1·m[i] + rest1·g', v[i] = beta2·v[i] + rest2·g'², p[i] = decay·p[i] − stepSize·m[i] / (√v[i]·invSqrtBias + eps)"
	if average {
		name, t, momentum = "AdamWEMA", ", t", ", momentum, rest"
		doc += ", t[i] = momentum·t[i] + rest·p[i]"
	}
	k := begin(c, isa, name, "func(p, m, v, grad"+t+" *float32, n int, decay, beta1, rest1, beta2, rest2, stepSize, invSqrtBias, eps, gradScale"+momentum+" float32)", doc)
	p, m, v, g := k.pointer("p"), k.pointer("m"), k.pointer("v"), k.pointer("grad")
	follow := func(lane, reg.VecVirtual) {}
	if average {
		t, momentum, rest := k.pointer("t"), k.scalar("momentum"), k.scalar("rest")
		follow = func(l lane, pi reg.VecVirtual) { l.follow(t, pi, momentum, rest) }
	}
	k.count()
	decay, beta1, rest1, beta2, rest2 := k.scalar("decay"), k.scalar("beta1"), k.scalar("rest1"), k.scalar("beta2"), k.scalar("rest2")
	stepSize, invSqrtBias, eps, gradScale := k.scalar("stepSize"), k.scalar("invSqrtBias"), k.scalar("eps"), k.scalar("gradScale")
	k.each(1, func(l lane) {
		grad := l.load(g)
		k.VMULPS(gradScale, grad, grad)
		mi := l.load(m)
		k.VMULPS(beta1, mi, mi)
		k.VFMADD231PS(grad, rest1, mi)
		l.store(mi, m)
		k.VMULPS(grad, grad, grad)
		vi := l.load(v)
		k.VMULPS(beta2, vi, vi)
		k.VFMADD231PS(grad, rest2, vi)
		l.store(vi, v)
		k.VSQRTPS(vi, vi)
		k.VFMADD213PS(eps, invSqrtBias, vi)
		k.VMULPS(stepSize, mi, mi)
		k.VDIVPS(vi, mi, mi)
		pi := l.load(p)
		k.VFMSUB213PS(mi, decay, pi)
		l.store(pi, p)
		follow(l, pi)
	})
	k.end()
}
