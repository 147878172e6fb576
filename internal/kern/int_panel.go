package kern

// How are matrices of codes packed?

import (
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// packMatrix packs a matrix into panels, side by side.
func (p *IntProduct) packMatrix(f *intForm, codes []int16) {
	panels := ceilDiv(p.n, panelCols)
	size := panelCols * f.steps
	f.data = grow(f.data, panels*size)
	whole := p.whole(f.kind)
	par.For(panels, ceilDiv(packGrainInts, panelCols*p.k), func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		for i := lo; i < hi; i++ {
			dst, ch := f.data[i*size:][:size], i*panelCols
			n := min(panelCols, p.n-ch)
			if n < panelCols {
				clear(dst)
			}
			switch {
			case whole && p.trans:
				p.packRowsOf(f, s, dst, codes, ch, n)
			case whole && f.kind == formBytes:
				p.packColumnsOf(f, s, dst, codes, ch, n)
			case whole:
				p.packPairsOf(f, dst, codes, ch, n)
			default:
				p.packDwords(f, dst, codes, ch, n)
			}
			p.panelExcess(f, dst, ch)
		}
	})
}

// packDwords packs n channels of a panel one dword at a time.
func (p *IntProduct) packDwords(f *intForm, dst []uint32, codes []int16, ch, n int) {
	chStep, kStep := 1, p.n
	if p.trans {
		chStep, kStep = p.k, 1
	}
	for i := range n {
		row := codes[(ch+i)*chStep:]
		for s := range f.steps {
			dst[s*panelCols+i] = f.dword(s, row, kStep)
		}
	}
}

// packRowsOf packs channels whose terms are neighbours: rows of dwords, transposed.
func (p *IntProduct) packRowsOf(f *intForm, s *intScratch, dst []uint32, codes []int16, ch, n int) {
	s.panel = grow(s.panel, n*f.steps)
	for i := range n {
		row, lo, hi := unsafe.Pointer(&s.panel[i*f.steps]), (ch+i)*p.k, (ch+i+1)*p.k
		if f.kind == formPairs {
			d := unsafe.Slice((*int16)(row), 2*f.steps)
			clear(d[copy(d, codes[lo:hi]):])
			continue
		}
		d := unsafe.Slice((*int8)(row), 4*f.steps)
		if codes == nil {
			p.Bytes.Fill(d[:p.k], lo, hi)
		} else {
			narrow(d, codes[lo:hi])
		}
		clear(d[p.k:])
	}
	transpose(unsafe.Pointer(&dst[0]), 4*panelCols, unsafe.Pointer(&s.panel[0]), 4*f.steps, n, f.steps)
}

// packColumnsOf packs channels that are neighbours: bytes of four rows, interleaved.
func (p *IntProduct) packColumnsOf(f *intForm, s *intScratch, dst []uint32, codes []int16, ch, n int) {
	a, done := &s.pack, 0 // done: steps
	if codes == nil && p.Bytes.Codes != nil {
		done = p.k / 4
		a.interleave(dst, unsafe.Pointer(&p.Bytes.Codes[ch]), p.n, done, n)
	}
	left := f.steps - done
	s.rows = grow(s.rows, 4*left*panelCols)
	if left == 0 {
		return
	}
	b := unsafe.Slice((*int8)(unsafe.Pointer(&s.rows[0])), len(s.rows))
	for k := 4 * done; k < p.k; k++ {
		row, at := b[(k-4*done)*panelCols:][:n], k*p.n+ch
		if codes == nil {
			p.Bytes.Fill(row, at, at+n)
		} else {
			narrow(row, codes[at:at+n])
		}
	}
	clear(b[(p.k-4*done)*panelCols:])
	a.interleave(dst[done*panelCols:], unsafe.Pointer(&s.rows[0]), panelCols, left, n)
}

// interleave packs n columns of so many steps of four rows of bytes, stride apart.
func (a *intPackArgs) interleave(dst []uint32, rows unsafe.Pointer, stride, steps, n int) {
	if steps == 0 {
		return
	}
	for i := range a.src {
		a.src[i] = unsafe.Add(rows, i*stride)
	}
	a.srcStride, a.rows = 4*stride, steps
	a.dst, a.dstStride = unsafe.Pointer(&dst[0]), 4*panelCols
	a.run(4, n)
}

// packPairsOf packs channels that are neighbours: two rows of terms side by side.
func (p *IntProduct) packPairsOf(f *intForm, dst []uint32, codes []int16, ch, n int) {
	for s := range f.steps {
		to, low := dst[s*panelCols:][:n], codes[2*s*p.n+ch:][:n]
		if 2*s+1 == p.k { // an odd number of terms
			for i, v := range low {
				to[i] = uint32(uint16(v))
			}
			continue
		}
		for i, v := range codes[(2*s+1)*p.n+ch:][:n] {
			to[i] = uint32(uint16(low[i])) | uint32(uint16(v))<<16
		}
	}
}

// narrow writes the low bytes of src.
func narrow(dst []int8, src []int16) {
	if narrowFast(dst, src) {
		return
	}
	for i, v := range src {
		dst[i] = int8(v)
	}
}

// ones8 is a row of steps of four ones each.
var ones8 = func() (x [KC]uint32) {
	for i := range x {
		x[i] = 0x01010101
	}
	return x
}()

// panelExcess is excess of the panel whose first channel is ch: the product of a row of
// zero points with it.
func (p *IntProduct) panelExcess(f *intForm, panel []uint32, ch int) {
	for b := range p.d.Blocks {
		dst := f.sub[b*wide(p.n)+ch:][:panelCols]
		clear(dst)
		if f.kind != formBytes || p.in.ZeroPoint == 0 {
			continue
		}
		for k := f.from[b]; k < f.from[b+1]; k += KC {
			var c [panelCols]int32
			vectorFast(&c, unsafe.Pointer(&ones8[0]), panel[k*panelCols:], min(KC, f.from[b+1]-k))
			for j, v := range c {
				dst[j] += v * p.in.ZeroPoint
			}
		}
	}
}
