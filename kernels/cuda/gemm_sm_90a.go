package cuda

import "math"

// The rows of a tile of C that a consumer of gemm_sm_90a.cu computes, and the terms of a stage.
const (
	hopperTileM, hopperTileK = 128, 64
)

// hopperTileN is the width of a kernel's tiles.
func hopperTileN(kernel string) int {
	if kernel == "gemm_nn_derivative" {
		return 128
	}
	return 192
}

// hopperShared is the ring of stages, its barriers, the tile of ones, the scales of rows, and what aligning to 1024 bytes may take.
func hopperShared(kernel string) int {
	n := hopperTileN(kernel)
	stages := 5
	if n == 128 {
		stages = 6
	}
	return stages*2*hopperTileK*(hopperTileM+n) + 128 + 256 + 1024 + 1024
}

// gemmHopper computes p by wgmma and TMA, if it is a product for that: of bf16 in rows of 16 bytes, large enough to fill the GPU with tiles, with one of the
// epilogues that there is a kernel for. Products with TransA are cut along their terms; their parts are added up by gemm_reduce, with any epilogue.
func (d *Device) gemmHopper(p *Gemm) bool {
	if !d.hopper || p.Type != BFloat16 || p.M < 64 || p.N < 64 || p.K < 64 || !aligned(p.A, 2*p.LDA) || !aligned(p.B, 2*p.LDB) {
		return false
	}
	if p.TransA {
		if p.TransB {
			return false
		}
		c := d.cut(p, "gemm_tn")
		columns := p.partialColumns()
		partial := d.workspace(4 * c.splits * p.M * (columns + 1))
		rows := Ptr(0)
		if p.RowSums != 0 {
			rows = partial.Add(c.splits*p.M*columns, Float32)
		}
		d.launchHopper("gemm_tn", p, c, P(partial), P(rows), I(p.M), I(p.N), I(c.tilesM), I(c.tilesN), I(c.group), I(c.splits), I(c.steps), Flag(c.sideBySide))
		d.gemmReduce(p, partial, c.splits)
		return true
	}
	kernel := p.hopperKernel()
	if kernel == "" {
		return false
	}
	c := d.cut(p, kernel)
	if c.blocks < d.info.Multiprocessors/2 {
		return false
	}
	residual := p.Residual
	if p.Beta != 0 {
		residual = p.C
	}
	d.launchHopper(kernel, p, c, P(p.C), I(p.M), I(p.N), I(p.LDC), F(p.Alpha), P(p.Bias), P(p.H), P(p.Activation), P(residual), P(p.Scale), I(max(1, p.SampleRows)),
		I(c.tilesM), I(c.tilesN), I(c.group), I(c.steps), Flag(c.sideBySide))
	return true
}

// hopperKernel is the kernel with p's epilogue; there is none for many.
func (p *Gemm) hopperKernel() string {
	ld := 2 * p.LDC
	if p.TypeC != BFloat16 || p.N%8 != 0 || !aligned(p.C, ld) || !aligned(p.H, ld) || !aligned(p.Activation, ld) || !aligned(p.Residual, ld) || !aligned(p.Bias, 0) {
		return ""
	}
	name := "gemm_nn"
	if p.TransB {
		name = "gemm_nt"
	}
	residual := p.Residual != 0
	switch {
	case p.GELU:
		if !p.TransB || p.MulGELUDerivative || residual || p.Scale != 0 || p.Beta != 0 {
			return ""
		}
		return name + "_gelu"
	case p.MulGELUDerivative:
		if p.TransB || p.Bias != 0 || residual || p.Scale != 0 || p.Beta != 0 {
			return ""
		}
		return name + "_derivative"
	case residual && p.Beta == 0 || !residual && p.Scale == 0 && p.Beta == 1: // then C is the residual
		return name + "_residual"
	case residual || p.Scale != 0 || p.Beta != 0:
		return ""
	}
	return name
}

// hopperCut is what the blocks of a product work on; see work in gemm_sm_90a.cu.
type hopperCut struct {
	tilesM, tilesN int // items
	cluster        int // tiles of an item
	sideBySide     bool
	group          int
	splits, steps  int
	blocks         int // that have work
}

// cut chooses how neighbouring tiles make an item, the order of items, and for products with TransA the number of parts. It knows shapes and the number of
// multiprocessors alone: what it says decides the order of additions.
func (d *Device) cut(p *Gemm, kernel string) hopperCut {
	m, n, steps := ceilDiv(p.M, hopperTileM), ceilDiv(p.N, hopperTileN(kernel)), ceilDiv(p.K, hopperTileK)
	c := hopperCut{tilesM: m, tilesN: n, cluster: 1, splits: 1, steps: steps}
	if m*n > 1 {
		c.cluster = 2 // below each other, which shares the larger tile, unless that leaves more tiles empty
		c.sideBySide = ceilDiv(n, 2)*m < ceilDiv(m, 2)*n
		if c.sideBySide {
			c.tilesN = ceilDiv(n, 2)
		} else {
			c.tilesM = ceilDiv(m, 2)
		}
	}
	clusters := max(d.info.Multiprocessors/c.cluster, 1)
	items := c.tilesM * c.tilesN
	if p.TransA {
		least := math.Inf(1)
		for splits := 1; splits <= min(64, ceilDiv(steps, 8)); splits++ {
			s := ceilDiv(steps, splits)
			if ceilDiv(steps, s) != splits {
				continue
			}
			time := float64(ceilDiv(items*splits, clusters)*(s+hopperOverhead)) + float64(splits)*float64(p.M*p.N)*hopperPartialCost/float64(clusters*c.cluster)
			if time < least {
				least, c.splits, c.steps = time, splits, s
			}
		}
	}
	// A wave of blocks covers rows of items as long as they are: of B, which is a weight or so, all stays in the L2 cache.
	c.group = c.tilesN
	if c.group > 16 {
		c.group = 8
	}
	c.blocks = min(clusters, items*c.splits) * c.cluster
	return c
}

// hopperOverhead is what an item costs beside its stages, in stages of 768 cycles; hopperPartialCost what a partial sum costs that is written and read again, in stages
// of a multiprocessor: 8 bytes at 4 TB/s.
const (
	hopperOverhead    = 3
	hopperPartialCost = 8.0 * 132 / 4e12 / (768 / 1.7e9)
)

func (d *Device) launchHopper(kernel string, p *Gemm, c hopperCut, args ...Arg) {
	a := d.operandMap(p.A, p.LDA, p.M, p.K, p.TransA, hopperTileM/2)
	b := d.operandMap(p.B, p.LDB, p.N, p.K, !p.TransB, hopperTileN(kernel)/2)
	if a == nil || b == nil {
		return
	}
	cluster := Dim{}
	if c.cluster > 1 {
		cluster.X = c.cluster
	}
	d.launchCluster("gemm_sm_90a", kernel, Dim{X: c.blocks}, Dim{X: 384}, cluster, hopperShared(kernel), append([]Arg{Map(a), Map(b)}, args...)...)
}

// operandMap is the tensor map of an operand of rows (of A; columns of B) and terms. If the rows are contiguous (major), a box is 64 of them × 32 terms; else
// 64 terms × half rows.
func (d *Device) operandMap(at Ptr, ld, rows, terms int, major bool, half int) *[128]byte {
	if major {
		return d.tensorMap(at, rows, terms, ld, 64, hopperTileK/2)
	}
	return d.tensorMap(at, terms, rows, ld, hopperTileK, half)
}

// tensorKey is a matrix of bf16 and the box of it that TMA copies with the 128-byte swizzle: columns, rows and the leading dimension in elements.
type tensorKey struct {
	at                Ptr
	columns, rows, ld int
	across, down      int
}

// tensorMap encodes a tensor map, or finds it where it was encoded before.
func (d *Device) tensorMap(at Ptr, columns, rows, ld, across, down int) *[128]byte {
	if d.err != nil {
		return nil
	}
	key := tensorKey{at, columns, rows, ld, across, down}
	if m := d.maps[key]; m != nil {
		return m
	}
	m, err := d.driver.TensorMap(&TensorMap{Base: at, Type: BFloat16, Dims: []int{columns, rows}, Strides: []int{2 * ld}, Box: []int{across, down}, Swizzle: 128})
	if err != nil {
		d.fail(err)
		return nil
	}
	if d.maps == nil || len(d.maps) >= 1<<14 { // memory that comes and goes would fill it
		d.maps = map[tensorKey]*[128]byte{}
	}
	d.maps[key] = &m
	return &m
}
