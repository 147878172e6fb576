package kern

import (
	"math"
	"unsafe"
)

// Gradients of pools, and averages, in vectors. A plane is padded and cut into phases by the
// stride, as for convolutions: what the windows of a row meet at one tap are neighbours then.
// A gradient is gathered: each element adds up what its windows give it, in the order of the
// windows.

// tapArgs goes through rows of windows. The assembly reads the fields by their offsets.
type tapArgs struct {
	x   unsafe.Pointer // the padded plane at the first window
	row int            // bytes from the windows of one row to the next
	off *int           // bytes from a window to each tap, in order
	n   int            // taps

	out, dout unsafe.Pointer // [oh][ow]
	ow, oh    int
	which     unsafe.Pointer // int32: the first tap that equals the maximum, -1 for none
	d         unsafe.Pointer // its gradient
	pitch     int            // bytes between rows of which and d
	nan       int            // set: not 0 if a maximum is NaN, and then which is of no use

	count *float64 // averages: columns of each window inside, some more entries behind
	rows  *float64 // and rows
}

// spreadArgs writes rows of one phase of a gradient.
type spreadArgs struct {
	which, d unsafe.Pointer // as in tapArgs, at the first element's row and column
	pitch    int
	off      *int // bytes from there to each window of an element
	tap      *int // and the element's tap in it
	n        int
	dst      unsafe.Pointer
	step     int // bytes between its rows
	cols     int
	rows     int
}

// poolPlan is what planes of one pooling share. It is read-only once made.
type poolPlan struct {
	padLayout
	off    []int // bytes from a window to each tap
	phases []poolPhase

	// Rows of windows with a border, in which no tap is chosen and the gradient is 0.
	top, left, height, pitch int

	cols, rows []float64 // how many columns and rows of windows count for an average

}

// poolPhase are the elements with the same place relative to windows.
type poolPhase struct {
	y0, x0     int   // the first
	rows, cols int   // how many
	tap, off   []int // of their windows, in the windows' order; off counts bytes in bordered rows
}

// poolTaps bounds the windows that have plans: larger ones are rare, and have few outputs.
const poolTaps = 1 << 10

// tapped says that p has a plan: the level has the kernels, and windows are not too large.
func (p *Pool) tapped() bool {
	return level >= LevelAVX2 && p.Kernel[0]*p.Kernel[1] <= poolTaps && p.Stride[0] <= maxStride && p.Stride[1] <= maxStride
}

var poolPlans planCache[Pool, poolPlan]

func (p *Pool) plan() *poolPlan {
	key := *p
	key.Planes = 0
	return poolPlans.get(key, newPoolPlan)
}

func newPoolPlan(p Pool) *poolPlan {
	// A window may reach further than the padding where the last ones are cut short.
	pad := p.Pad
	pad[2] = max(0, (p.OH-1)*p.Stride[0]+p.Kernel[0]-p.H-p.Pad[0])
	pad[3] = max(0, (p.OW-1)*p.Stride[1]+p.Kernel[1]-p.W-p.Pad[1])
	l := &poolPlan{padLayout: newPadLayout(1, p.H, p.W, pad, p.Stride, func(phase []int) { clear(phase) })}
	for i := range p.Kernel[0] * p.Kernel[1] {
		at, phases := l.row(i/p.Kernel[1] - l.padLayout.top)
		x := i % p.Kernel[1]
		l.off = append(l.off, 4*(at+phases[x%p.Stride[1]]+x/p.Stride[1]))
	}
	above, below := tapReach(p.H, p.OH, p.Kernel[0], p.Stride[0], 1, p.Pad[0])
	before, behind := tapReach(p.W, p.OW, p.Kernel[1], p.Stride[1], 1, p.Pad[1])
	above, before = max(0, above), max(0, before)
	l.top, l.left, l.height, l.pitch = above, before, above+p.OH+max(0, below), before+p.OW+max(0, behind)
	for y0 := range min(p.Stride[0], p.H) {
		for x0 := range min(p.Stride[1], p.W) {
			l.phases = append(l.phases, l.newPhase(&p, y0, x0))
		}
	}
	for oy := range p.OH {
		y0, y1, _, _ := p.window(oy, 0)
		l.rows = append(l.rows, float64(y1-y0))
	}
	for ox := range p.OW {
		_, _, x0, x1 := p.window(0, ox)
		l.cols = append(l.cols, float64(x1-x0))
	}
	if !p.ExcludePad {
		fill(l.rows, float64(p.Kernel[0]))
		fill(l.cols, float64(p.Kernel[1]))
	}
	for range 8 { // of vectors, which may be longer than the row
		l.cols = append(l.cols, 1)
	}
	return l
}

// newPhase finds the windows of the elements (y0 + i·stride, x0 + j·stride): later taps belong
// to earlier windows.
func (l *poolPlan) newPhase(p *Pool, y0, x0 int) poolPhase {
	f := poolPhase{y0: y0, x0: x0, rows: ceilDiv(p.H-y0, p.Stride[0]), cols: ceilDiv(p.W-x0, p.Stride[1])}
	for i := p.Kernel[0]*p.Kernel[1] - 1; i >= 0; i-- {
		y, okY := tapSource(y0, i/p.Kernel[1], p.Stride[0], 1, p.Pad[0])
		x, okX := tapSource(x0, i%p.Kernel[1], p.Stride[1], 1, p.Pad[1])
		if okY && okX {
			f.tap = append(f.tap, i)
			f.off = append(f.off, 4*((y+l.top)*l.pitch+x+l.left))
		}
	}
	return f
}

// poolWork is the memory of one goroutine.
type poolWork struct {
	l        *poolPlan
	pad      *[]float32 // a padded plane
	which, d *[]float32 // bordered rows of windows; which holds int32
	grid     *[]float32 // phases of the gradient before they are merged
}

// padSlack is what vectors may read behind a padded plane or bordered rows.
const padSlack = 2 * vecLanes

// newPoolWork makes the memory of a goroutine; border is what a padded plane has around it.
func (l *poolPlan) newPoolWork(border float32, gradient bool) *poolWork {
	w := &poolWork{l: l, pad: borrow[float32](l.size + padSlack)}
	fill(*w.pad, border)
	if gradient {
		n := l.height*l.pitch + padSlack
		w.which, w.d = borrow[float32](n), borrow[float32](n)
		none := unsafe.Slice((*int32)(unsafe.Pointer(&(*w.which)[0])), n)
		for i := range none {
			none[i] = -1
		}
		clear(*w.d)
		w.grid = borrow[float32](l.h * l.w)
	}
	return w
}

func (w *poolWork) release() {
	for _, b := range []*[]float32{w.pad, w.which, w.d, w.grid} {
		if b != nil {
			giveBack(b)
		}
	}
}

// inside is where the first window lies in bordered rows.
func (w *poolWork) inside(rows *[]float32) unsafe.Pointer {
	return unsafe.Pointer(&(*rows)[w.l.top*w.l.pitch+w.l.left])
}

// tapArgs are the arguments of rows [oy, oy+rows) of windows.
func (w *poolWork) tapArgs(ow, oy, rows int) tapArgs {
	l := w.l
	a := tapArgs{x: unsafe.Pointer(&(*w.pad)[oy*l.pw]), row: 4 * l.pw, off: &l.off[0], n: len(l.off), ow: ow, oh: rows,
		pitch: 4 * l.pitch, count: &l.cols[0], rows: &l.rows[oy]}
	if w.d != nil {
		a.which, a.d = unsafe.Add(w.inside(w.which), 4*oy*l.pitch), unsafe.Add(w.inside(w.d), 4*oy*l.pitch)
	}
	return a
}

// tapRows calls fn for stretches of rows of windows.
func (l *poolPlan) tapRows(p *Pool, fn func(oy, rows int)) {
	limit := max(1, elemChunk/(p.OW*len(l.off)))
	for oy := 0; oy < p.OH; oy += limit {
		fn(oy, min(limit, p.OH-oy))
	}
}

// spread writes the gradient dx of a plane from the bordered rows: of the taps chosen, or of
// all.
func (w *poolWork) spread(p *Pool, dx []float32, pick bool) {
	at := 0
	for i := range w.l.phases {
		f := &w.l.phases[i]
		a := spreadArgs{pitch: 4 * w.l.pitch, n: len(f.tap), step: 4 * f.cols, cols: f.cols}
		dst := unsafe.Pointer(&(*w.grid)[at])
		if len(w.l.phases) == 1 {
			dst = unsafe.Pointer(&dx[0])
		}
		at += f.rows * f.cols
		if a.n == 0 {
			clear(unsafe.Slice((*float32)(dst), f.rows*f.cols))
			continue
		}
		a.off, a.tap = &f.off[0], &f.tap[0]
		limit := max(1, elemChunk/(f.cols*a.n))
		for y := 0; y < f.rows; y += limit {
			a.rows, a.dst = min(limit, f.rows-y), unsafe.Add(dst, 4*y*f.cols)
			a.which, a.d = unsafe.Pointer(&(*w.which)[y*w.l.pitch]), unsafe.Pointer(&(*w.d)[y*w.l.pitch])
			a.run(pick)
		}
	}
	if len(w.l.phases) > 1 {
		mergePhases(dx, *w.grid, p.H, p.W, p.Stride)
	}
}

// tapCost is about what a plane costs, in elements.
func (p *Pool) tapCost() int { return p.H*p.W + p.OH*p.OW*p.Kernel[0]*p.Kernel[1]/4 }

// maxBack writes the gradient of [MaxPool] plane by plane; it takes none whose maxima have a
// NaN, for which it calls other.
func (p *Pool) maxBack(dx, x, out, dout []float32, other func(plane int)) {
	l := p.plan()
	p.planes(p.tapCost(), func(lo, hi int) {
		w := l.newPoolWork(float32(math.NaN()), true)
		defer w.release()
		for i := lo; i < hi; i++ {
			l.fillPlanes(*w.pad, x[i*p.H*p.W:][:p.H*p.W], 1)
			nan := 0
			l.tapRows(p, func(oy, rows int) {
				a := w.tapArgs(p.OW, oy, rows)
				at := i*p.OH*p.OW + oy*p.OW
				a.out, a.dout = unsafe.Pointer(&out[at]), unsafe.Pointer(&dout[at])
				a.first()
				nan |= a.nan
			})
			if nan != 0 {
				other(i)
				continue
			}
			w.spread(p, dx[i*p.H*p.W:][:p.H*p.W], true)
		}
	})
}

// average writes the averages of [AvgPool].
func (p *Pool) averageTaps(out, x []float32) {
	l := p.plan()
	p.planes(p.tapCost(), func(lo, hi int) {
		w := l.newPoolWork(0, false)
		defer w.release()
		for i := lo; i < hi; i++ {
			l.fillPlanes(*w.pad, x[i*p.H*p.W:][:p.H*p.W], 1)
			l.tapRows(p, func(oy, rows int) {
				a := w.tapArgs(p.OW, oy, rows)
				a.out = unsafe.Pointer(&out[(i*p.OH+oy)*p.OW])
				a.mean()
			})
		}
	})
}

// averageBack writes the gradient of [AvgPool].
func (p *Pool) averageBack(dx, dout []float32) {
	l := p.plan()
	p.planes(p.tapCost(), func(lo, hi int) {
		w := l.newPoolWork(0, true)
		defer w.release()
		for i := lo; i < hi; i++ {
			l.tapRows(p, func(oy, rows int) {
				a := w.tapArgs(p.OW, oy, rows)
				a.dout = unsafe.Pointer(&dout[(i*p.OH+oy)*p.OW])
				a.share()
			})
			w.spread(p, dx[i*p.H*p.W:][:p.H*p.W], false)
		}
	})
}
