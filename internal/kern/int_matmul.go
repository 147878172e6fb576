package kern

// How is a matrix product of codes run?

import (
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// MatMul writes the product of x, m×k row-major (k×m if trans is set), with the
// matrix that p was set up with into y, m×n row-major. The rest is as in
// [IntProduct.Conv]; a bias has n elements.
func (p *IntProduct) MatMul(threads, m int, y IntY, x IntX, trans bool, bias []float32) {
	f := p.current()
	if f == nil || trans || p.d.Blocks > 1 && p.d.Block%f.kind.lanes() != 0 {
		p.portableMatMul(threads, m, y, x, trans, bias)
		return
	}
	r := &intMatRun{p: p, f: f, m: m, y: y, bias: bias}
	if bias == nil {
		r.bias = p.none
	}
	all := intScratches.Get().(*intScratch)
	defer all.put()
	r.rows(threads, all, x)
	rows := evenRows(m, matRows)
	panels, blocks := ceilDiv(p.n, panelCols), ceilDiv(m, rows)
	par.ForN(threads, panels*blocks, ceilDiv(intGrain(), panelCols*p.k*rows), func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		for u := lo; u < hi; u++ {
			row := u / panels * rows
			r.block(s, u%panels, row, min(row+rows, m))
		}
	})
}

// matRows is the number of rows that one goroutine takes at a time: whole tiles,
// enough to use a panel of weights often.
const matRows = 5 * tileMaxRows

// intMatRun is one matrix product in the vector form.
type intMatRun struct {
	p    *IntProduct
	f    *intForm
	m    int
	a    unsafe.Pointer // rows of dwords of x
	rs   int            // bytes from one row to the next
	y    IntY
	bias []float32
}

// rows brings x into rows of whole dwords; codes whose rows are that are used in
// place.
func (r *intMatRun) rows(threads int, s *intScratch, x IntX) {
	k := r.p.k
	if r.f.kind == formBytes && x.Codes != nil && k%4 == 0 {
		r.a, r.rs = unsafe.Pointer(&x.Codes[0]), k
		return
	}
	r.rs = 4 * r.f.steps
	s.image = grow(s.image, r.m*r.f.steps)
	r.a = unsafe.Pointer(&s.image[0])
	par.ForN(threads, r.m, max(1, packGrain/k), func(lo, hi int) {
		t := intScratches.Get().(*intScratch)
		defer t.put()
		for i := lo; i < hi; i++ {
			row := unsafe.Add(r.a, i*r.rs)
			src := x.at(i*k, k)
			if r.f.kind == formPairs {
				dst := unsafe.Slice((*int16)(row), 2*r.f.steps)
				src.centred(dst[:k])
				clear(dst[k:])
				continue
			}
			dst := unsafe.Slice((*uint8)(row), r.rs)
			if src.Codes != nil {
				copy(dst, src.Codes)
			} else {
				Quantize(dst[:k], src.Values, src.Grid)
			}
			clear(dst[k:])
		}
	})
}

// block computes rows [row, end) of one panel of columns.
func (r *intMatRun) block(s *intScratch, panel, row, end int) {
	size := panelCols * r.f.steps
	if len(r.f.half) > 0 {
		s.panel = grow(s.panel, size)
	}
	w := r.f.words(s.panel, panel*size, size)
	col := panel * panelCols
	n := min(panelCols, r.p.n-col)
	s.epi = intEpi{acc: unsafe.Pointer(&s.acc), mask: [2]uint16{columnMask(0, n), columnMask(1, n)}}
	s.epi.setGrid(&r.y)
	limit, _ := tileShape()
	part := evenRows(end-row, limit)
	for ; row < end; row += part {
		r.tile(s, w, col, row, min(part, end-row))
	}
}

// tile computes a tile of rows of x and the columns from col on.
func (r *intMatRun) tile(s *intScratch, w []uint32, col, row, rows int) {
	p, e := r.p, &s.epi
	e.rows, e.prev = rows, nil
	for b := range p.d.Blocks {
		from, to := r.f.from[b], r.f.from[b+1]
		if rows == 1 && r.f.kind == formBytes {
			r.vector(s, w, row, from, to)
		} else {
			r.sums(s, w, row, rows, from, to)
		}
		at := b*wide(p.n) + col
		e.sub, e.scale = unsafe.Pointer(&r.f.sub[at]), unsafe.Pointer(&p.scale[at])
		if b < p.d.Blocks-1 {
			e.bias = unsafe.Pointer(&p.none[col])
			e.toMid(s)
		}
	}
	e.bias = unsafe.Pointer(&r.bias[col])
	s.end(&r.y, row*p.n+col, tileLanes, p.n, true)
}

// sums computes steps [from, to) of a tile.
func (r *intMatRun) sums(s *intScratch, w []uint32, row, rows, from, to int) {
	kind := tileInt16
	if r.f.kind == formBytes {
		kind = tileUintA
	}
	t := &s.tile
	*t = tileArgs{rs: r.rs, offA: &stepTables.dword[0], offB: &stepTables.panel[0], c: unsafe.Pointer(&s.acc), ldc: 4 * panelCols}
	for k := from; k < to; k += KC {
		t.k, t.add = min(KC, to-k), 0
		if k > from {
			t.add = 1
		}
		t.a = unsafe.Add(r.a, row*r.rs+4*k)
		vectors := t.setColumns(unsafe.Pointer(&w[panelCols*k]), panelCols)
		runTile(kind, rows, vectors, t)
	}
}

// vectorSteps bounds the time of one call of the kernel for one row.
const vectorSteps = 4096

// vector is sums for one row.
func (r *intMatRun) vector(s *intScratch, w []uint32, row, from, to int) {
	for k := from; k < to; k += vectorSteps {
		c := (*[panelCols]int32)(s.acc[:])
		if k > from {
			c = (*[panelCols]int32)(s.acc[panelCols:])
		}
		vectorFast(c, unsafe.Add(r.a, row*r.rs+4*k), w[panelCols*k:], min(vectorSteps, to-k))
		for i := range panelCols {
			if k > from {
				s.acc[i] += c[i]
			}
		}
	}
}

// portableMatMul is the definition.
func (p *IntProduct) portableMatMul(threads, m int, y IntY, x IntX, trans bool, bias []float32) {
	p.portable(y, x, m*p.k, m*p.n, bias, func(out []float32, x, w []int16, d Dequant) {
		ldx, ldw := p.k, p.n
		if trans {
			ldx = m
		}
		if p.trans {
			ldw = p.k
		}
		intGemm(threads, m, p.n, p.k, RowMajor(x, ldx, trans), RowMajor(w, ldw, p.trans), out, d)
	})
}
