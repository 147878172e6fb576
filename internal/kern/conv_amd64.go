//go:build amd64 && !noasm

package kern

// How are the small kernels of convolutions called?

import "unsafe"

// copyRows writes rows of cols dwords of c to a.
func (r *rowArgs) copyRows(cols int) {
	if level < LevelAVX512 || r.rows*r.planes*cols == 0 {
		r.goCopy(cols)
		return
	}
	r.masks(cols, 1)
	convRowsCopy((*byte)(unsafe.Pointer(r)))
}

// splitRows writes the even dwords of rows of c to a and the odd ones to b.
func (r *rowArgs) splitRows(cols int) {
	switch {
	case level < LevelAVX2 || r.rows*r.planes*cols == 0:
		r.goSplit(cols)
	case level == LevelAVX2:
		r.pairsAVX2(cols, false)
	default:
		r.masks(cols, 2)
		r.table = unsafe.Pointer(&splitTable)
		convRowsSplit((*byte)(unsafe.Pointer(r)))
	}
}

// mergeRows undoes splitRows.
func (r *rowArgs) mergeRows(cols int) {
	switch {
	case level < LevelAVX2 || r.rows*r.planes*cols == 0:
		r.goMerge(cols)
	case level == LevelAVX2:
		r.pairsAVX2(cols, true)
	default:
		r.masks(cols, 2)
		r.table = unsafe.Pointer(&mergeTable)
		convRowsMerge((*byte)(unsafe.Pointer(r)))
	}
}

// pairsAVX2 splits or merges whole groups of sixteen dwords with a kernel and the
// rest of the rows in Go.
func (r *rowArgs) pairsAVX2(cols int, merge bool) {
	whole, groups := *r, cols/vecLanes
	switch whole.full = groups; {
	case groups == 0:
	case merge:
		convRowsMergeAVX2((*byte)(unsafe.Pointer(&whole)))
	default:
		convRowsSplitAVX2((*byte)(unsafe.Pointer(&whole)))
	}
	n := cols % vecLanes
	if n == 0 {
		return
	}
	r.a, r.c = unsafe.Add(r.a, 32*groups), unsafe.Add(r.c, 64*groups)
	if n > 1 {
		r.b = unsafe.Add(r.b, 32*groups)
	}
	if merge {
		r.goMerge(n)
	} else {
		r.goSplit(n)
	}
}

// run computes a strip of rows rows.
func (s *stripArgs) run(rows int) {
	if level < LevelAVX512 {
		s.goStrip(rows)
		return
	}
	convStrip(rows, (*byte)(unsafe.Pointer(s)))
}

// fetchRows brings lines cache lines of each row into the second-level cache.
func fetchRows(p unsafe.Pointer, rows, stride, lines int) {
	if rows == 0 || lines == 0 {
		return
	}
	a := struct {
		p                   unsafe.Pointer
		lines, stride, rows int
	}{p, lines, stride, rows}
	convFetch((*byte)(unsafe.Pointer(&a)))
}

// columnsOfFour is the order of convAddLanes16's sums: four rows of four become columns.
var columnsOfFour = func() (order [vecLanes]uint32) {
	for i := range order {
		order[i] = uint32(i%4*4 + i/4)
	}
	return order
}()

// addAllLanes writes the sum of each sixteen lanes of src to dst.
func addAllLanes(dst, src []float32) {
	if level < LevelAVX2 || len(dst) == 0 {
		goAddLanes(dst, src)
		return
	}
	a := struct {
		dst, src *float32
		n        int
		order    *[vecLanes]uint32
	}{&dst[0], &src[0], len(dst) / vecLanes, &columnsOfFour}
	if level >= LevelAVX512 && a.n > 0 {
		convAddLanes16((*byte)(unsafe.Pointer(&a)))
		dst, src = dst[a.n*vecLanes:], src[a.n*vecLanes*vecLanes:]
		if len(dst) == 0 {
			return
		}
	}
	a.dst, a.src, a.n = &dst[0], &src[0], len(dst)
	convAddLanes((*byte)(unsafe.Pointer(&a)))
}

func (s *sweepArgs) sweep() {
	switch {
	case level < LevelAVX2:
		s.goSweep()
	case level == LevelAVX2:
		s.bits = unsafe.Pointer(&laneBits)
		convSweepAVX2((*byte)(unsafe.Pointer(s)))
	case s.k == nineTaps:
		convSweep9((*byte)(unsafe.Pointer(s)))
	default:
		convSweep((*byte)(unsafe.Pointer(s)))
	}
}

func (s *nineArgs) lanes() {
	if level < LevelAVX512 {
		s.byThree()
		return
	}
	convLanes9((*byte)(unsafe.Pointer(s)))
}

func (s *laneArgs) lanes(rows int) {
	switch {
	case level >= LevelAVX512:
		convLanes(rows, (*byte)(unsafe.Pointer(s)))
	case level == LevelAVX2:
		row := *s
		row.bits = unsafe.Pointer(&laneBits)
		for i := range rows {
			row.dy, row.sum = unsafe.Add(s.dy, i*s.step), unsafe.Add(s.sum, i*s.sumStep)
			convLanesAVX2((*byte)(unsafe.Pointer(&row)))
		}
	default:
		s.goLanes(rows)
	}
}

func (a *depthArgs) run(p *depthPass) {
	if level < LevelAVX512 {
		a.masks, a.vectors = unsafe.Pointer(&p.lanes[0]), len(p.lanes)
		depthAVX2(p.r, p.s, p.stride, args(a))
		return
	}
	a.masks, a.vectors = unsafe.Pointer(&p.masks[0]), len(p.masks)
	if p.oh >= 2*depthBlock && p.r*p.s >= nineTaps {
		depthPairs512(p.r, p.s, p.stride, args(a))
		return
	}
	depth512(p.r, p.s, p.stride, args(a))
}

// weights sums the gradient of the weights of a pass with all taps.
func (a *depthArgs) weights(p *depthPass) {
	if level < LevelAVX512 {
		a.masks, a.vectors = unsafe.Pointer(&p.lanes[0]), len(p.lanes)
		depthWeightAVX2(p.r, args(a))
		return
	}
	a.masks, a.vectors = unsafe.Pointer(&p.masks[0]), len(p.masks)
	depthWeight512(p.r, args(a))
}

func (a *planeArgs) run() {
	if level < LevelAVX512 {
		a.goPlane()
		return
	}
	convPlane((*byte)(unsafe.Pointer(a)))
}

func (s *planeLaneArgs) run(rows int) {
	if level < LevelAVX512 {
		s.goLanes(rows)
		return
	}
	convPlaneLanes(rows, (*byte)(unsafe.Pointer(s)))
}

func (p *panelArgs) pack() {
	switch {
	case level >= LevelAVX512:
		convPanel512((*byte)(unsafe.Pointer(p)))
	case level == LevelAVX2:
		convPanelAVX2((*byte)(unsafe.Pointer(p)))
	default:
		p.goPanel(panelLanes())
	}
}
