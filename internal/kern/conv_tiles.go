package kern

// Where do tiles write their outputs?

import "unsafe"

// outGrid is where a pass writes: plane p of image i starts at base + 4*(i*image + p*plane).
type outGrid struct {
	base         unsafe.Pointer
	image, plane int
}

func (w *convWork) target(k int) outGrid {
	if w.p.merges() {
		at, image := w.gridOf(k)
		return outGrid{unsafe.Pointer(&(*w.grid)[at]), image, w.p.passes[k].pixels()}
	}
	plane := w.p.outH * w.p.outW
	at := (w.first*w.groups + w.group) * w.p.rows * plane
	return outGrid{unsafe.Pointer(&w.out[at]), w.groups * w.p.rows * plane, plane}
}

// panelLanes is the width of a packed panel.
func panelLanes() int {
	_, vectors := tileShape()
	return vectors * vecLanes
}

// inVectors says that a pass uses its operand where it lies.
func (w *convWork) inVectors(pass *tapPass) bool {
	return w.single || level >= LevelAVX512 && (pass.filled || w.p.rows < 8)
}

// parts is the number of parts into which pass k of the unit can be cut: pairs of
// vectors, blocks of rows, or panels.
func (w *convWork) parts(k int) int {
	pass := &w.p.passes[k]
	switch {
	case w.channels:
		return ceilDiv(pass.oh, pass.channelRows())
	case w.inVectors(pass):
		return ceilDiv(len(pass.vecs), 2)
	}
	return ceilDiv(w.images*pass.pixels(), panelLanes())
}

// pass computes parts [from, to) of pass k.
func (w *convWork) pass(k, from, to int) {
	pass := &w.p.passes[k]
	switch {
	case len(pass.offB) == 0:
		if from == 0 {
			w.clearGrid(k)
		}
	case w.single:
		w.sweepRows(pass, w.target(k), 2*from, min(2*to, len(pass.vecs)))
	case w.channels:
		w.sweepChannels(pass, w.target(k), from, to)
	case w.inVectors(pass):
		w.sweepVectors(pass, w.target(k), 2*from, min(2*to, len(pass.vecs)))
	default:
		for i := from; i < to; i++ {
			w.sweepPanel(pass, w.target(k), i*panelLanes())
		}
	}
}

// clearGrid writes what a pass without taps gives.
func (w *convWork) clearGrid(k int) {
	s := w.target(k)
	for i := range w.images {
		clear(unsafe.Slice((*float32)(unsafe.Add(s.base, 4*i*s.image)), w.p.rows*w.count*s.plane))
	}
}

func (w *convWork) biasAt(row int) unsafe.Pointer {
	if w.bias == nil {
		return nil
	}
	return unsafe.Pointer(&w.bias[w.group*w.p.rows+row])
}

// sweepLimit bounds the time of one call of the sweeping kernel.
const sweepLimit = 8 << 10

// sweepRows runs the rows of weights one by one over vectors [from, to): those of the
// group, or the only ones of all the unit's groups.
func (w *convWork) sweepRows(pass *tapPass, dst outGrid, from, to int) {
	k, rows := len(pass.offB), w.p.rows*w.count
	s := sweepArgs{k: k, offB: &pass.offB[0], stepW: 4 * k, stepC: 4 * dst.plane}
	if w.bias != nil {
		s.stepBias = 4
	}
	if w.count > 1 {
		s.stepB = 4 * w.p.plane
	}
	for row := range rows {
		first := w.weightsOf(w.group, row)
		for i, off := range pass.offA {
			(*w.weights)[row*k+i] = *(*float32)(unsafe.Add(first, off))
		}
	}
	limit := max(1, sweepLimit/k)
	for ; from < to; from += limit {
		s.vecs, s.n = &pass.vecs[from], min(limit, to-from)
		planes := max(1, sweepLimit/(k*s.n))
		for row := 0; row < rows; row += planes {
			s.planes = min(planes, rows-row)
			s.w, s.bias = unsafe.Pointer(&(*w.weights)[row*k]), w.biasAt(row)
			s.b, s.c = unsafe.Add(w.base, row*s.stepB), unsafe.Add(dst.base, row*s.stepC)
			s.sweep()
		}
	}
}

// sweepVectors computes vectors [from, to): pairs of one image in strips, the others
// with tiles.
func (w *convWork) sweepVectors(pass *tapPass, dst outGrid, from, to int) {
	pixels := pass.pixels()
	for i := from; i < to; {
		first := pass.vecs[i].first
		if first >= w.images*pixels {
			return
		}
		n := w.pairs(pass, i, to)
		if n == 0 {
			i += w.scattered(pass, dst, i, to)
			continue
		}
		img := first / pixels
		w.strip(pass, unsafe.Add(dst.base, 4*img*(dst.image-pixels)), 4*dst.plane, i, n)
		i += 2 * n
	}
}

// stripSteps is the number of steps in all pairs of vectors of a strip. It bounds the
// time of a call, and the input that all rows of tiles read again.
const stripSteps = 4 * KC

// pairs is the number of pairs of vectors of a strip from vector i on: they are of one
// image, and the first vector of each is full.
func (w *convWork) pairs(pass *tapPass, i, to int) (n int) {
	pixels := pass.pixels()
	end := (pass.vecs[i].first/pixels + 1) * pixels
	for limit := max(1, stripSteps/min(len(pass.offB), KC)); n < limit && i+2*n+1 < to; n++ {
		if a, b := &pass.vecs[i+2*n], &pass.vecs[i+2*n+1]; a.n < vecLanes || b.first+b.n > end {
			break
		}
	}
	return n
}

// strip computes n pairs of vectors, from vector i on. c is where the output of pixel 0
// of the unit's first image would be.
func (w *convWork) strip(pass *tapPass, c unsafe.Pointer, ldc, i, n int) {
	steps := len(pass.offB)
	for from := 0; from < steps; from += KC {
		s := stripArgs{k: min(KC, steps-from), offB: &pass.offB[from], vecs: &pass.vecs[i], base: w.base, ldc: ldc}
		if from > 0 {
			s.add = 1
		}
		for row := 0; row < w.p.rows; row += w.part {
			rows := min(w.part, w.p.rows-row)
			s.n, s.w, s.c = n, w.packedAt(pass, row, rows, from), unsafe.Add(c, row*ldc)
			if from+KC >= steps {
				s.bias = w.biasAt(row)
			}
			s.ahead, s.lines = w.fetchAhead(n)
			s.run(rows)
		}
	}
}

// scattered computes vector i and, before to, the next one, which may have pixels of
// several images or not be full, and returns how many it took.
func (w *convWork) scattered(pass *tapPass, dst outGrid, i, to int) int {
	var vecs [2]pixVec
	count := copy(vecs[:], pass.vecs[i:to])
	total := w.images * pass.pixels()
	if count == 2 && vecs[1].first >= total {
		count = 1
	}
	t := tileArgs{c: unsafe.Pointer(&(*w.tile)[0]), ldc: 4 * 2 * vecLanes}
	for j := range vecs[:count] {
		v := &vecs[j]
		v.cut(total - v.first)
		t.setVector(j, v, w.base)
	}
	w.rowTiles(&t, pass, count, 0, len(pass.offB), 0)
	for j, v := range vecs[:count] {
		w.scatter(dst, pass.pixels(), v.first, v.n, j*vecLanes, 2*vecLanes)
	}
	return count
}

// cut leaves at most n pixels: behind them there may be no input.
func (v *pixVec) cut(n int) {
	if n >= v.n {
		return
	}
	v.n = n
	v.mask = [2]uint16{v.mask[0] & columnMask(0, n), v.mask[1] & columnMask(0, n)}
	if v.mask[1] == 0 {
		v.off[1] = v.off[0]
	}
}

func (t *tileArgs) setVector(i int, v *pixVec, base unsafe.Pointer) {
	t.b[2*i], t.b[2*i+1] = unsafe.Add(base, v.off[0]), unsafe.Add(base, v.off[1])
	t.m[2*i], t.m[2*i+1] = v.mask[0], v.mask[1]
}

// panelSteps are the offsets of the rows of panels of one and two vectors.
var panelSteps = func() (t [2][KC]int) {
	for k := range KC {
		t[0][k], t[1][k] = 4*vecLanes*k, 8*vecLanes*k
	}
	return t
}()

// rowTiles computes all rows of a tile's columns, steps [from, to). B is the input
// itself when panel is 0, or a packed panel of so many vectors. t has B and C.
func (w *convWork) rowTiles(t *tileArgs, pass *tapPass, vectors, from, to, panel int) {
	base := t.c
	t.rs = 4
	for ; from < to; from += KC {
		t.k, t.offB = min(KC, to-from), &pass.offB[from]
		if panel > 0 {
			t.offB = &panelSteps[panel-1][0]
		}
		t.add = 0
		if from > 0 {
			t.add = 1
		}
		for row := 0; row < w.p.rows; row += w.part {
			rows := min(w.part, w.p.rows-row)
			t.a, t.offA, t.c, t.bias = w.packedAt(pass, row, rows, from), packedSteps(rows), unsafe.Add(base, row*t.ldc), nil
			if from+KC >= len(pass.offB) {
				t.bias = w.biasAt(row)
			}
			runTile(tileFloat, rows, vectors, t)
		}
	}
}

// scatter writes n pixels of all rows of w.tile, from a column on, to their places; rows
// have lanes columns, and first counts through the images.
func (w *convWork) scatter(dst outGrid, pixels, first, n, column, lanes int) {
	for done := 0; done < n; {
		img, at := (first+done)/pixels, (first+done)%pixels
		part := min(n-done, pixels-at)
		m := rowArgs{rows: w.p.rows, planes: 1, stepA: 4 * dst.plane, stepC: 4 * lanes}
		m.a, m.c = unsafe.Add(dst.base, 4*(img*dst.image+at)), unsafe.Pointer(&(*w.tile)[column+done])
		m.copyRows(part)
		done += part
	}
}

// sweepPanel packs the panel whose first pixel is first and computes it.
func (w *convWork) sweepPanel(pass *tapPass, dst outGrid, first int) {
	pixels, lanes := pass.pixels(), panelLanes()
	n := min(lanes, w.images*pixels-first)
	w.setRuns(pass, first, n)
	p := panelArgs{dst: unsafe.Pointer(&(*w.panel)[0]), row: 4 * lanes, runs: &w.runs[0], n: len(w.runs)}
	img, at := first/pixels, first%pixels
	inside := at+n <= pixels
	var t tileArgs
	c := unsafe.Add(dst.base, 4*(img*dst.image+at))
	t.ldc = 4 * dst.plane
	if !inside {
		c, t.ldc = unsafe.Pointer(&(*w.tile)[0]), 4*lanes
	}
	for k := 0; k < len(pass.offB); k += KC {
		p.k, p.offB = min(KC, len(pass.offB)-k), &pass.offB[k]
		p.pack()
		t.c = c
		vectors := t.setColumns(p.dst, n)
		w.rowTiles(&t, pass, vectors, k, k+p.k, lanes/vecLanes)
	}
	if !inside {
		w.scatter(dst, pixels, first, n, 0, lanes)
	}
}

// setRuns finds the runs of neighbouring dwords of n pixels from first on.
func (w *convWork) setRuns(pass *tapPass, first, n int) {
	longest := vecLanes
	if level < LevelAVX512 {
		longest = 8
	}
	w.runs = w.runs[:0]
	for i := 0; i < n; {
		at := w.p.place(pass, first+i)
		run := 1
		for run < longest && i+run < n && w.p.place(pass, first+i+run) == at+run {
			run++
		}
		w.runs = append(w.runs, panelRun{unsafe.Add(w.base, 4*at), 4 * i, columnMask(0, run), &runMasks[min(run, 8)]})
		i += run
	}
}
