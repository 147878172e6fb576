package kern

// How are activation, rounding and pooling one pass?

// An activation, a fake-quantizer and a maximum pooling of 2×2 windows in one pass: the
// values between them are never stored. Backward one bit for each element says whether it
// gets its window's gradient.
//
// Picks hold these bits. Eight neighbouring windows of a row have four bytes: bit l of the
// first two is element l of the sixteen inputs in their first row, of the last two in
// their second. The last eight windows of a row overlap those before them where the row is
// not made of eights; a row of fewer has one such group, with 0 where there is no window.

const pickWindows, pickBytes = 8, 4

// Fits2x2 says that [ActQuantPool2] computes p: 2×2 windows side by side, all inside the
// image.
func (p *Pool) Fits2x2() bool { return p.two() }

// pickRow is the number of bytes of a row of windows.
func (p *Pool) pickRow() int { return ceilDiv(p.OW, pickWindows) * pickBytes }

// PicksLen returns the number of bytes of the picks of [ActQuantPool2].
func (p *Pool) PicksLen() int { return p.Planes * p.OH * p.pickRow() }

// ActQuantPool2 writes what [MaxPool] makes of [AffineActQuant] of x, without k1 and k2,
// into out: x is [Planes,H,W], out [Planes,OH,OW], and p.Fits2x2() holds. Unless picks is
// nil it has PicksLen() bytes and gets the bits: 1 for the element of each window that
// [MaxPoolBackward] gives the gradient, if the activation and the grid let it pass.
func ActQuantPool2(p *Pool, out, x []float32, act Clip, g *Grid, picks []uint8) {
	f := newFinish(act, g)
	p.stacks(func(q *Pool, in, o int) {
		actPool2(&f, q, out[o:][:q.OH*q.OW], x[in:][:q.H*q.W], p.picksOf(q, picks, o))
	})
}

// Pool2Backward writes the gradient of [ActQuantPool2] with respect to x into dx
// [Planes,H,W]: that of the window, from dout [Planes,OH,OW], where the bit is set, else 0.
func Pool2Backward(p *Pool, dx, dout []float32, picks []uint8) {
	p.stacks(func(q *Pool, in, o int) {
		pickPool2(q, dx[in:][:q.H*q.W], dout[o:][:q.OH*q.OW], p.picksOf(q, picks, o))
	})
}

// picksOf returns the picks of a part of p whose first output is o.
func (p *Pool) picksOf(q *Pool, picks []uint8, o int) []uint8 {
	if picks == nil {
		return nil
	}
	return picks[o/p.OW*p.pickRow():][:q.PicksLen()]
}

// actPool2 computes one plane.
func actPool2(f *finish, p *Pool, out, x []float32, picks []uint8) {
	if actPool2Fast(f, p, out, x, picks) {
		return
	}
	clear(picks)
	for oy := range p.OH {
		for ox := range p.OW {
			var y [4]float32
			var pass [4]bool
			at := 2*oy*p.W + 2*ox
			for i := range y {
				y[i], pass[i] = f.one(x[at+i/2*p.W+i%2])
			}
			m := max(y[0], y[1], y[2], y[3])
			out[oy*p.OW+ox] = m
			if i := firstOfFour(y[:2], y[2:], m, 2); picks != nil && pass[i] {
				p.pick(picks[oy*p.pickRow():], ox, i)
			}
		}
	}
}

// group returns where eight windows start that group i of a row is about.
func (p *Pool) group(i int) int { return max(0, min(i*pickWindows, p.OW-pickWindows)) }

// pick sets the bit of element i of window ox of a row.
func (p *Pool) pick(row []uint8, ox, i int) {
	for g := range ceilDiv(p.OW, pickWindows) {
		if first := p.group(g); first <= ox && ox < first+pickWindows {
			lane := 2*(ox-first) + i%2
			row[g*pickBytes+i/2*2+lane/8] |= 1 << (lane % 8)
		}
	}
}

// picked reports whether the bit of element i of window ox is set.
func (p *Pool) picked(row []uint8, ox, i int) bool {
	g := ox / pickWindows
	lane := 2*(ox-p.group(g)) + i%2
	return row[g*pickBytes+i/2*2+lane/8]>>(lane%8)&1 != 0
}

// pickPool2 writes the gradient of one plane.
func pickPool2(p *Pool, dx, dout []float32, picks []uint8) {
	if p.W != 2*p.OW || p.H != 2*p.OH {
		clear(dx)
	}
	if pickPool2Fast(p, dx, dout, picks) {
		return
	}
	for oy := range p.OH {
		for ox, d := range dout[oy*p.OW:][:p.OW] {
			for i := range 4 {
				at := (2*oy+i/2)*p.W + 2*ox + i%2
				dx[at] = 0
				if p.picked(picks[oy*p.pickRow():], ox, i) {
					dx[at] = 0 + d
				}
			}
		}
	}
}
