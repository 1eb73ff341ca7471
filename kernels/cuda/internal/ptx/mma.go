package ptx

func init() {
	decode("ldmatrix", ldmatrix)
	decode("mma.sync", mma)
}

// whole fails if not all lanes of the warp are here.
func (w *warp) whole(m uint32) {
	if m != all {
		w.fail(-1, "an instruction of the whole warp that only lanes %#x reach", m)
	}
}

// ldmatrix.sync.aligned.m8n8.xN{.trans}.shared.b16 r, [p]: lanes 8i to 8i+7 have the addresses of the rows of matrix i.
func ldmatrix(c *compiler, in *instr) run {
	to := c.dests(class32, c.arg(0))
	trans := in.has("trans")
	if !in.has("m8n8") || !in.has("b16") {
		c.fail("this ldmatrix is unknown to the interpreter")
	}
	s := c.space(in)
	at := c.addressOf(c.arg(1), s)
	return func(w *warp, m uint32) {
		w.whole(m)
		var p [32]uint64
		at(w, m, &p)
		for q, t := range to {
			var rows [8][8]uint32
			for r := range 8 {
				lane := 8*q + r
				b, undefined := w.load(s, p[lane], 16, lane)
				if undefined != 0 {
					w.fail(lane, "ldmatrix of shared memory that nobody wrote: %d of the 16 bytes at %d", undefined, p[lane])
				}
				for k := range 8 {
					rows[r][k] = uint32(little.Uint16(b[2*k:]))
				}
			}
			d := w.set32(t, m)
			for l := range 32 {
				i, j := l/4, l%4*2
				if trans {
					d[l] = rows[j][i] | rows[j+1][i]<<16
				} else {
					d[l] = rows[i][j] | rows[i][j+1]<<16
				}
			}
		}
	}
}

// mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 and m16n8k8 of bf16 or tf32.
func mma(c *compiler, in *instr) run {
	shape, typ := in.op[3], in.op[7]
	if in.op[4] != "row" || in.op[5] != "col" || in.op[6] != "f32" || in.last() != "f32" {
		c.fail("this mma is unknown to the interpreter")
	}
	d, a, b, e := c.dests(class32, c.arg(0)), c.sources(class32, c.arg(1)), c.sources(class32, c.arg(2)), c.sources(class32, c.arg(3))
	k := 16
	switch {
	case shape == "m16n8k16" && typ == "bf16":
	case shape == "m16n8k8" && (typ == "bf16" || typ == "tf32"):
		k = 8
	case shape == "m16n8k4" && typ == "tf32":
		k = 4
	default:
		c.fail("this mma is unknown to the interpreter")
	}
	per := 2 // elements a register
	if typ == "tf32" {
		per = 1
	}
	if len(a) != 16*k/32/per || len(b) != 8*k/32/per || len(d) != 4 || len(e) != 4 {
		c.fail("mma with vectors of another length")
	}
	return func(w *warp, m uint32) {
		w.whole(m)
		var A [16][16]float32
		var B [8][16]float32
		for q, reg := range a {
			x := w.r32(reg, m)
			for l, v := range x {
				r, col := l>>2+8*(q&1), (l&3)*per+4*per*(q>>1)
				if per == 1 {
					A[r][col] = f32(v &^ 0x1fff)
				} else {
					A[r][col], A[r][col+1] = f32(v<<16), f32(v&0xffff0000)
				}
			}
		}
		for q, reg := range b {
			x := w.r32(reg, m)
			for l, v := range x {
				n, row := l>>2, (l&3)*per+4*per*q
				if per == 1 {
					B[n][row] = f32(v &^ 0x1fff)
				} else {
					B[n][row], B[n][row+1] = f32(v<<16), f32(v&0xffff0000)
				}
			}
		}
		var sums [4][32]float32
		for q, reg := range e {
			x := w.r32(reg, m)
			for l := range 32 {
				r, col := l>>2+8*(q>>1), (l&3)*2+q&1
				row, column := &A[r], &B[col]
				var s float32
				for i := 0; i < k; i++ {
					s += float32(row[i] * column[i])
				}
				sums[q][l] = f32(x[l]) + s
			}
		}
		for q, reg := range d {
			r := w.set32(reg, m)
			for l := range r {
				r[l] = bits32(sums[q][l])
			}
		}
	}
}
