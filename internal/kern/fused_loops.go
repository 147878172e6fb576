package kern

// What do the fused kernels compute? These loops are the definition.

import "math"

// The portable loops of the fused kernels. Each *Fast function does all of it in
// assembly, or nothing and returns false; the loop here is the definition.

// finish is what happens to a value before it is stored: activation and grid.
type finish struct {
	act  Clip
	g    Grid
	grid bool // there is a grid
	odd  bool // numbers that the assembly does not take
	k    finishConst
}

// finishConst are a finish's numbers as the assembly reads them.
type finishConst struct {
	lo, hi     float32 // limits of the activation
	zero       float32 // +0 where max(-0, lo) must give +0, else -0: added after the maximum
	scale      float32
	qlo, qhi   float32 // smallest and largest code, relative to the zero point
	qlo1, qhi1 float32 // one below, one above
	top        float32 // qhi, or the code of the activation's upper limit
	from, to   float32 // first and last value whose gradient passes
	_          [5]float32
	anyLo      [8]uint32 // all ones where the lower limit does not exist
	anyHi      [8]uint32
}

// setClip sets what concerns the activation alone.
func (k *finishConst) setClip(act Clip) {
	k.lo, k.hi, k.zero = act.Lo, act.Hi, float32(math.Copysign(0, -1))
	if k.lo == 0 && !math.Signbit(float64(k.lo)) {
		k.zero = 0
	}
	for i := range k.anyLo {
		if k.lo < -maxFloat32 {
			k.anyLo[i] = ^uint32(0)
		}
		if k.hi > maxFloat32 {
			k.anyHi[i] = ^uint32(0)
		}
	}
}

// setGrid sets what concerns the grid alone, but for setPass.
func (k *finishConst) setGrid(g Grid) {
	k.scale = g.Scale
	k.qlo, k.qhi = g.limits()
	k.qlo1, k.qhi1, k.top = k.qlo-1, k.qhi+1, k.qhi
}

// setPass sets the values that pass the grid. Codes grow with the values, so these have
// a first and a last one.
func (k *finishConst) setPass() { k.from, k.to = -reach(-k.qlo, k.scale), reach(k.qhi, k.scale) }

// reach returns the largest x whose code, rne(x/scale), is at most limit, a whole number
// from 0 to 2^21.
func reach(limit, scale float32) float32 {
	x := math.Float32bits(float32((float64(limit) + 0.5) * float64(scale)))
	code := func(x uint32) float32 { return steps(math.Float32frombits(x), scale, 0, limit+1) }
	for code(x) <= limit {
		x++
	}
	for code(x) > limit {
		x--
	}
	return math.Float32frombits(x)
}

// join puts the activation before the grid: its upper limit has a code, above which there
// is none, and what passes both passes.
func (k *finishConst) join(act Clip) {
	k.top = steps(act.Hi, k.scale, k.qlo, k.qhi)
	if act.Lo >= -maxFloat32 {
		k.from = max(k.from, math.Nextafter32(act.Lo, float32(math.Inf(1))))
	}
	if act.Hi <= maxFloat32 {
		k.to = min(k.to, math.Nextafter32(act.Hi, float32(math.Inf(-1))))
	}
}

func newFinish(act Clip, g *Grid) finish {
	f := finish{act: act}
	f.odd = act.Lo != act.Lo || act.Hi != act.Hi || act.Hi == 0 && math.Signbit(float64(act.Hi))
	f.k.setClip(act)
	if g == nil {
		return f
	}
	f.g, f.grid = *g, true
	if f.odd = f.odd || !g.proper(); !f.odd {
		f.k.setGrid(*g)
		f.k.setPass()
		f.k.join(act)
	}
	return f
}

// proper says that the scale is what it should be; the search for limits would not end
// with another.
func (g Grid) proper() bool { return g.Scale > 0 && g.Scale <= maxFloat32 }

// one returns the stored value of v and whether the gradient passes.
func (f *finish) one(v float32) (y float32, pass bool) {
	y, pass = f.act.Apply(v), f.act.Passes(v)
	if !f.grid {
		return y, pass
	}
	lo, hi := f.g.limits()
	r := steps(y, f.g.Scale, lo-1, hi+1)
	return min(max(r, lo), hi) * f.g.Scale, pass && r >= lo && r <= hi
}

// affineRows computes rows of width elements; k1 and k2 hold nothing, one number for each
// row, or, for a single row, one for each element.
func affineRows(f *finish, dst, x []float32, width int, k1, k2 []float32, mask []uint8) {
	if affineRowsFast(f, dst, x, width, k1, k2, mask) {
		return
	}
	clear(mask)
	rows := len(x) / width
	for r := range rows {
		k1, step := rowParams(k1, r, rows)
		k2, _ := rowParams(k2, r, rows)
		for i := range width {
			at := r*width + i
			v := x[at]
			if k1 != nil {
				v = float32(v*k1[i*step]) + k2[i*step]
			}
			dst[at] = f.store(v, mask, r, i, width)
		}
	}
}

// store returns the stored value of v, element i of row r, and sets its bit.
func (f *finish) store(v float32, mask []uint8, r, i, width int) float32 {
	y, pass := f.one(v)
	if pass && mask != nil {
		mask[r*((width+7)/8)+i/8] |= 1 << (i % 8)
	}
	return y
}

// rowParams returns the parameters of one of some rows, and how far they move with each
// element: a single row may have one for each.
func rowParams(k []float32, row, rows int) (params []float32, step int) {
	switch {
	case k == nil:
		return nil, 0
	case rows > 1:
		return k[row : row+1], 0
	}
	return k, min(1, len(k)-1)
}

func addRows(f *finish, dst, a, b []float32, width int, mask []uint8) {
	if addRowsFast(f, dst, a, b, width, mask) {
		return
	}
	clear(mask)
	for r := range len(a) / width {
		for i := range width {
			at := r*width + i
			dst[at] = f.store(a[at]+b[at], mask, r, i, width)
		}
	}
}

// statsAdd adds planes to the statistics of their channel.
func statsAdd(l *lanes, s *Stats, x []float32, p planes) {
	e, done := statsAddFast(l, x, p)
	for k := range p.count {
		plane := x[p.at+k*p.stride:][:p.width]
		if !done {
			for i, f := range plane {
				v := float64(f)
				l.a[i%16] += v
				l.b[i%16] += float64(v * v)
			}
		}
		if !e.clean {
			s.join(extentGo(plane))
		}
	}
	if e.clean {
		s.join(e)
	}
}

// merge takes in the range of other elements.
func (s *Stats) merge(o *Stats) {
	s.join(extent{lo: o.Min, hi: o.Max, n: o.Finite, nan: o.NaN})
}

func (s *Stats) join(e extent) {
	s.Min, s.Max = min(s.Min, e.lo), max(s.Max, e.hi)
	s.Finite, s.NaN = s.Finite+e.n, s.NaN || e.nan
}

// maskedAdd adds dy to lanes a and, unless x is nil, dy·x to lanes b, where the bit is
// set.
func maskedAdd(l *lanes, dy, x []float32, mask []uint8, p planes) {
	if maskedAddFast(l, dy, x, mask, p) {
		return
	}
	for k := range p.count {
		at, bit := p.at+k*p.stride, p.bit+k*p.bits
		for i, f := range dy[at:][:p.width] {
			if mask != nil && mask[bit+i/8]>>(i%8)&1 == 0 {
				continue
			}
			d := float64(f)
			l.a[i%16] += d
			if x != nil {
				l.b[i%16] += float64(d * float64(x[at+i]))
			}
		}
	}
}

// masked returns d where the bit of element i of row r is set, else 0.
func masked(d float32, mask []uint8, r, i, width int) float32 {
	if mask != nil && mask[r*((width+7)/8)+i/8]>>(i%8)&1 == 0 {
		return 0
	}
	return d
}

func maskScaleRows(dx, dy []float32, width int, mask []uint8, p []float32) {
	if maskScaleFast(dx, dy, width, mask, p) {
		return
	}
	rows := len(dy) / width
	for r := range rows {
		p, step := rowParams(p, r, rows)
		for i := range width {
			d := masked(dy[r*width+i], mask, r, i, width)
			if p != nil {
				d *= p[i*step]
			}
			dx[r*width+i] = d
		}
	}
}

func backwardRows(dx, dy, x []float32, width int, mask []uint8, p, q, r []float32) {
	if backwardFast(dx, dy, x, width, mask, p, q, r) {
		return
	}
	rows := len(dy) / width
	for row := range rows {
		p, step := rowParams(p, row, rows)
		q, _ := rowParams(q, row, rows)
		r, _ := rowParams(r, row, rows)
		for i := range width {
			at, k := row*width+i, i*step
			dm := masked(dy[at], mask, row, i, width)
			dx[at] = float32(dm*p[k]) + (float32(x[at]*q[k]) + r[k])
		}
	}
}
