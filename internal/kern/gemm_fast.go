package kern

// How is a matrix product cut into blocks and tiles?

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// product is a float32 matrix product while it is computed on tiles: the rows of
// A are broadcast, the columns of B lie in vectors. It may be the transpose of
// the product that was asked for, C^T = B^T·A^T, which has the same sums.
type product struct {
	m, n, k    int
	a, b       Matrix[float32]
	c          []float32
	ldc        int
	add        bool
	transposed bool // c is written transposed; then add is false

	rowTiles   int // tiles have m/rowTiles rows or one more
	width      int // columns of a panel: one or two vectors
	panels     int
	tilesUnit  int  // a unit of work is this many row tiles
	panelsUnit int  // by this many panels
	byPanel    bool // units go down the rows first, not along the panels

	aPtr, bPtr   unsafe.Pointer
	rs           int // bytes between rows of A
	bRow, bPanel int // bytes between rows of B in a panel, and between panels
	aStep        int // bytes between steps of A
	aTile        int // bytes between tiles of A where they are packed
	packing      packing
	offA, offB   *int
	tables       [2]*[]int
	packed       [2]*[]float32
	late         bool             // panels of B are packed by the unit that needs them
	packA, packB func(lo, hi int) // methods of this product, made once
	compute      func(lo, hi int)
}

// products holds product values for reuse, so that a call allocates nothing.
var products = sync.Pool{New: func() any {
	p := &product{}
	p.packA, p.packB, p.compute = p.packTiles, p.packPanels, p.computeUnits
	return p
}}

// gemmFast is Gemm for float32 on tiles; m, n and k are positive.
func gemmFast(m, n, k int, a, b Matrix[float32], c []float32, ldc int, add bool) {
	p := products.Get().(*product)
	p.m, p.n, p.k, p.a, p.b, p.c, p.ldc, p.add = m, n, k, a, b, c, ldc, add
	p.orient()
	p.cut()
	p.prepareA()
	p.prepareB()
	units := ceilDiv(p.rowTiles, p.tilesUnit) * ceilDiv(p.panels, p.panelsUnit)
	par.For(units, 1, p.compute)
	p.release()
}

func (p *product) release() {
	for i := range 2 {
		if p.packed[i] != nil {
			giveBack(p.packed[i])
		}
		if p.tables[i] != nil {
			giveBack(p.tables[i])
		}
	}
	*p = product{packA: p.packA, packB: p.packB, compute: p.compute} // keeps no operand alive
	products.Put(p)
}

// Costs of the parts of a product, in vectors multiplied in the same time.
const (
	flipVector   = 6 // to transpose a vector
	flipScalar   = 4 // to transpose one element where there are less than 8
	chainVectors = 4 // products that must be under way at a time for full speed
)

// inPlaceRows is the number of rows of C up to which B is not worth copying into
// panels when its rows are contiguous. Narrow vectors use less of each row of B
// at a time, and come back to it more often.
func inPlaceRows() int {
	if level == LevelAVX2 {
		return 16
	}
	return 256
}

// cost estimates the time of a product with n columns in vectors.
func cost(m, n, k int, b Matrix[float32], transposed bool) int {
	vectors := ceilDiv(n, tileLanes)
	c := k * vectors * max(m, ceilDiv(chainVectors, min(vectors, 2)))
	if b.Col != 1 {
		c += flipCost(n, k)
	}
	if transposed {
		c += flipCost(m, n)
	}
	return c
}

func flipCost(rows, cols int) int {
	if min(rows, cols) < 8 {
		return rows * cols * flipScalar
	}
	return rows * cols / tileLanes * flipVector
}

// orient transposes the product when that is faster.
func (p *product) orient() {
	at := Matrix[float32]{p.a.Data, p.a.Col, p.a.Row}
	if p.add || !p.tall() && cost(p.m, p.n, p.k, p.b, false) <= cost(p.n, p.m, p.k, at, true) {
		return
	}
	bt := Matrix[float32]{p.b.Data, p.b.Col, p.b.Row}
	p.m, p.n, p.a, p.b, p.transposed = p.n, p.m, bt, at, true
}

// tall says that the columns of a large A are contiguous, like the rows of B, of which few
// panels would read them: as B, A is copied in longer stretches.
func (p *product) tall() bool {
	return p.a.Row == 1 && p.b.Col == 1 && p.n <= 6*tileLanes && p.m >= 2*p.n && p.m*p.k > farAway
}

// small says that the steps of a chain of n rows or columns stay in the cache beside the
// other factor.
func (p *product) small(n int) bool { return n*min(p.k, KC) <= nearby }

// unitWork is the number of multiply-adds of a unit of work: enough to be worth a
// goroutine's while, and so many units that goroutines end together. It does not
// change results, because units split no sum.
func unitWork(total int) int {
	const least = 64 << 10
	if total <= least {
		return least // asking for GOMAXPROCS takes a lock
	}
	return max(least, total/(8*runtime.GOMAXPROCS(0)))
}

// cut divides the output into tiles and the tiles into units. The tiles of a unit
// share panels of B, and of long sums only so many that the second-level cache
// holds their rows of A.
func (p *product) cut() {
	rows, vectors := tileShape()
	if p.n <= tileLanes {
		vectors = 1
	}
	p.width = vectors * tileLanes
	p.rowTiles, p.panels = ceilDiv(p.m, rows), ceilDiv(p.n, p.width)
	tiles := unitWork(p.m*p.n*p.k) / (rows * p.width * p.k)
	procs := runtime.GOMAXPROCS(0)
	if p.n > p.m && p.small(p.m) && p.panels >= 4*procs {
		// B is the larger factor, and the steps of a chain of all A stay in the cache: each
		// unit packs panels that no other needs.
		least := 1
		if p.m*p.k > farAway { // every unit reads A from memory
			least = min(4, p.panels/(2*procs))
		}
		p.tilesUnit, p.panelsUnit = p.rowTiles, evenRows(p.panels, max(tiles/p.rowTiles, least))
		return
	}
	p.tilesUnit = evenRows(p.rowTiles, min(tiles, 8*ceilDiv(KC, p.k)))
	if p.far() {
		// A unit packs its tiles of A for as many panels as there are.
		p.panelsUnit = evenRows(p.panels, 16)
		least := 1
		if p.n*p.k > farAway { // every unit reads B from memory
			least = p.rowTiles / (2 * procs)
		}
		p.tilesUnit = evenRows(p.rowTiles, min(max(tiles/p.panelsUnit, least), 8))
		return
	}
	byRow := procs > 1 && tiles > 1 && p.rowTiles >= procs && p.m >= 2*p.k
	if byRow {
		// What comes next goes by rows, too: each goroutine is to have its own, and the
		// same ones. B is small beside C then.
		each := ceilDiv(p.rowTiles, procs)
		units := ceilDiv(each, p.tilesUnit)
		p.tilesUnit = ceilDiv(each, units)
		p.rowTiles = procs * units * p.tilesUnit
	}
	p.panelsUnit = evenRows(p.panels, tiles/p.tilesUnit)
	// The last of few units of rows has fewer of them: goroutines share the panels then.
	p.byPanel = procs > 1 && !byRow && ceilDiv(p.rowTiles, p.tilesUnit) < 4*procs && p.rowTiles%p.tilesUnit != 0 &&
		ceilDiv(p.panels, p.panelsUnit) >= 2*procs
	// Panels in one unit read A once from memory, if that leaves enough units.
	if p.panelsUnit == 1 && p.panels == 2 && p.m*p.k > farAway && ceilDiv(p.rowTiles, p.tilesUnit) >= 4*procs {
		p.panelsUnit = 2
	}
}

// computeUnits computes units [lo, hi) of the output.
func (p *product) computeUnits(lo, hi int) {
	across, down := ceilDiv(p.panels, p.panelsUnit), ceilDiv(p.rowTiles, p.tilesUnit)
	for u := lo; u < hi; u++ {
		t0, p0 := u/across*p.tilesUnit, u%across*p.panelsUnit
		if p.byPanel {
			t0, p0 = u%down*p.tilesUnit, u/down*p.panelsUnit
		}
		p.unit(t0, min(t0+p.tilesUnit, p.rowTiles), p0, min(p0+p.panelsUnit, p.panels))
	}
}

// firstRow is the first row of a row tile.
func (p *product) firstRow(tile int) int { return tile * p.m / p.rowTiles }

// unit computes row tiles [t0, t1) of panels [p0, p1).
func (p *product) unit(t0, t1, p0, p1 int) {
	row, col := p.firstRow(t0), p0*p.width
	if !p.transposed {
		p.chains(t0, t1, p0, p1, unsafe.Pointer(&p.c[row*p.ldc+col]), 4*p.ldc)
		return
	}
	rows, cols := p.firstRow(t1)-row, min(p.n, p1*p.width)-col
	stride := (p1-p0)*p.width + tileLanes
	tmp := borrow[float32](rows * stride)
	p.chains(t0, t1, p0, p1, unsafe.Pointer(unsafe.SliceData(*tmp)), 4*stride)
	transpose(unsafe.Pointer(&p.c[col*p.ldc+row]), 4*p.ldc, unsafe.Pointer(unsafe.SliceData(*tmp)), 4*stride, rows, cols)
	giveBack(tmp)
}

// chains computes a block of the output into c, chain by chain.
func (p *product) chains(t0, t1, p0, p1 int, c unsafe.Pointer, ldc int) {
	t := tileArgs{rs: p.rs, offA: p.offA, offB: p.offB, ldc: ldc}
	if p.add {
		t.add = 1
	}
	var tiles, room *[]float32
	if p.packing == packLate {
		tiles = borrow[float32]((t1 - t0) * p.aTile / 4)
		defer giveBack(tiles)
	}
	if p.late {
		room = borrow[float32](min(KC, p.k) * p.width)
		defer giveBack(room)
	}
	for k := 0; k < p.k; k += KC {
		t.k = min(KC, p.k-k)
		if tiles != nil {
			for i := t0; i < t1; i++ {
				p.packTile(unsafe.Pointer(&(*tiles)[(i-t0)*p.aTile/4]), i, k, t.k)
			}
		}
		for panel := p0; panel < p1; panel++ {
			var b unsafe.Pointer
			if p.late {
				p.packPanel((*room)[:t.k*p.width], panel, k)
				b = unsafe.Pointer(unsafe.SliceData(*room))
			} else {
				b = unsafe.Add(p.bPtr, panel*p.bPanel+k*p.bRow)
			}
			vectors := t.setColumns(b, min(p.width, p.n-panel*p.width))
			to := unsafe.Add(c, 4*(panel-p0)*p.width)
			for i := t0; i < t1; i++ {
				row := p.firstRow(i)
				switch p.packing {
				case packNone:
					t.a = unsafe.Add(p.aPtr, row*p.rs+k*p.aStep)
				case packWhole:
					t.a = unsafe.Add(p.aPtr, i*p.aTile+k*p.aStep)
				case packLate:
					t.a = unsafe.Pointer(&(*tiles)[(i-t0)*p.aTile/4])
				}
				t.c = unsafe.Add(to, (row-p.firstRow(t0))*ldc)
				runTile(tileFloat, p.firstRow(i+1)-row, vectors, &t)
				if panel == p0 && i+1 < p.rowTiles && p.packing == packNone && p.m*p.k > farAway {
					p.fetchTile(i+1, k, t.k)
				}
			}
		}
		t.add = 1
	}
}

// fetchTile brings the steps of a row tile of A from k on into the cache: its rows, or
// columns, are too many short stretches for the processor to foresee.
func (p *product) fetchTile(tile, k, steps int) {
	row := p.firstRow(tile)
	rows := p.firstRow(tile+1) - row
	at := unsafe.Add(p.aPtr, row*p.rs+k*p.aStep)
	if p.aStep == 4 {
		fetchRows(at, rows, p.rs, ceilDiv(steps, cacheLine))
	} else if p.rs == 4 {
		fetchRows(unsafe.Add(at, 4*(rows-1)), steps, p.aStep, 1)
	}
}

// nearby is the number of elements that stay in the second-level cache beside others.
const nearby = 128 << 10

// farAway is the number of elements of A from which it does not stay in the
// second-level cache.
const farAway = 256 << 10
