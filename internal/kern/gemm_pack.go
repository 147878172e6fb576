package kern

// When and how are the factors of a product packed?

import (
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// packing is what happens to A before tiles read it.
type packing int

const (
	packNone  packing = iota
	packWhole         // all tiles before the first is read
	packLate          // by the unit that needs them, chain by chain
)

// badStride is the distance at which rows fall on the same lines of the
// first-level cache.
const badStride = 2048

// farSteps is the distance, in bytes, from which each step of a tile of A lies in
// a page of its own, or nearly.
const farSteps = 768

// far says that A is slow to read where it lies, and that enough panels need it to be
// worth packing.
func (p *product) far() bool {
	if p.a.Col == 1 {
		return 4*p.a.Row%badStride == 0 && p.m > 1 && p.panels > 1
	}
	return level >= LevelAVX512 && p.a.Row == 1 && 4*p.a.Col >= farSteps && p.panels > 2
}

func (p *product) prepareA() {
	p.aPtr, p.rs, p.aStep = unsafe.Pointer(unsafe.SliceData(p.a.Data)), 4*p.a.Row, 4*p.a.Col
	if p.far() {
		p.packing = packLate
		k := min(p.k, KC)
		if p.tilesUnit == p.rowTiles {
			p.packing, k = packWhole, p.k
		}
		rows := ceilDiv(p.m, p.rowTiles)
		if p.a.Col == 1 {
			p.rs = 4 * (k + tileLanes)
			p.aTile = rows * p.rs
		} else {
			p.aStep = 4 * rows
			p.aTile = k * p.aStep
		}
		if p.packing == packWhole {
			p.packed[0] = borrow[float32](p.rowTiles * p.aTile / 4)
			p.aPtr = unsafe.Pointer(unsafe.SliceData(*p.packed[0]))
			par.For(p.rowTiles, max(1, packGrain*4/(p.k*rows)), p.packA)
		}
	}
	p.offA, p.tables[0] = p.offsets(p.aStep)
}

// packTiles packs row tiles [lo, hi) of A.
func (p *product) packTiles(lo, hi int) {
	for i := lo; i < hi; i++ {
		p.packTile(unsafe.Add(p.aPtr, i*p.aTile), i, 0, p.k)
	}
}

// packTile copies the steps of a row tile of A from k on.
func (p *product) packTile(to unsafe.Pointer, tile, k, steps int) {
	row := p.firstRow(tile)
	rows := p.firstRow(tile+1) - row
	from := unsafe.Pointer(&p.a.Data[row*p.a.Row+k*p.a.Col])
	if p.a.Col == 1 {
		copyRows(to, p.rs, from, 4*p.a.Row, rows, steps)
	} else {
		copyRows(to, p.aStep, from, 4*p.a.Col, steps, rows)
	}
}

// inPlace says that B is used where it lies.
func (p *product) inPlace() bool {
	whole := level > LevelAVX2 || p.n%p.width == 0 // AVX2 reads all lanes
	rows := inPlaceRows()
	if p.k > 64 && 4*p.b.Row >= farSteps {
		rows = min(rows, 2*tileMaxRows)
	}
	return p.b.Col == 1 && whole && p.m <= rows
}

func (p *product) prepareB() {
	p.bPtr, p.bRow, p.bPanel = unsafe.Pointer(unsafe.SliceData(p.b.Data)), 4*p.b.Row, 4*p.width
	if !p.inPlace() {
		p.bRow, p.bPanel = 4*p.width, 4*p.width*p.k
		if p.tilesUnit == p.rowTiles { // no other unit needs the same panel
			p.late = true
		} else {
			p.packed[1] = borrow[float32](p.panels * p.width * p.k)
			p.bPtr = unsafe.Pointer(unsafe.SliceData(*p.packed[1]))
			par.For(p.panels, max(1, packGrain*4/(p.k*p.width)), p.packB)
		}
	}
	p.offB, p.tables[1] = p.offsets(p.bRow)
}

// Tables of offsets that most products share: steps of one dword, one vector and
// two.
var ramps = func() (r [3][KC]int) {
	for i, step := range []int{4, 4 * tileLanes, 8 * tileLanes} {
		for k := range r[i] {
			r[i][k] = k * step
		}
	}
	return r
}()

// offsets returns a table of the steps of one chain and, if borrowed, the table
// to give back.
func (p *product) offsets(step int) (*int, *[]int) {
	for i := range ramps {
		if ramps[i][1] == step {
			return &ramps[i][0], nil
		}
	}
	t := borrow[int](min(p.k, KC))
	for i := range *t {
		(*t)[i] = i * step
	}
	return &(*t)[0], t
}

// packPanels copies panels [lo, hi) of B.
func (p *product) packPanels(lo, hi int) {
	for i := lo; i < hi; i++ {
		p.packPanel((*p.packed[1])[i*p.width*p.k:][:p.width*p.k], i, 0)
	}
}

// packPanel copies the steps of a panel of B from k on that dst has room for;
// columns past n are 0.
func (p *product) packPanel(dst []float32, panel, k int) {
	j, n, steps := panel*p.width, min(p.width, p.n-panel*p.width), len(dst)/p.width
	if n < p.width {
		clear(dst)
	}
	to, from := unsafe.Pointer(&dst[0]), unsafe.Pointer(&p.b.Data[k*p.b.Row+j*p.b.Col])
	switch {
	case p.b.Col == 1:
		copyRows(to, 4*p.width, from, 4*p.b.Row, steps, n)
	case p.b.Row == 1:
		transpose(to, 4*p.width, from, 4*p.b.Col, n, steps)
	default:
		for i := range steps {
			for l := range n {
				dst[i*p.width+l] = p.b.Data[(k+i)*p.b.Row+(j+l)*p.b.Col]
			}
		}
	}
}
