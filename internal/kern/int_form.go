package kern

// In which form do codes enter a product, and how are panels laid out?

import (
	"sync/atomic"
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// panelCols is the number of channels in a panel of a packed matrix: the columns
// of two vectors.
const panelCols = 2 * tileLanes

// intForm is a weight matrix packed for tiles. Each sum is cut into steps, each
// of which multiplies the codes of one dword. Blocks start at a new dword, and a
// dword's missing codes are 0.
//
//	convolution  [channel][steps], rows stride dwords apart
//	matrix       [panel][steps][panelCols]
//
// A convolution's columns are output pixels, whose dwords intPlan lays out; a
// matrix's columns are channels, and the dwords of its rows are four or two
// neighbours in a row of x.
type intForm struct {
	kind   formKind
	wide   bool    // convolution: a dword holds neighbours along an image row, not channels
	steps  int     // dwords of one sum
	from   []int   // blocks+1: the first step of each block
	stride int     // convolution: dwords from one channel to the next
	lane   []int32 // steps·lanes: the term in each place, -1 for none
	data   []uint32
	half   []uint8                 // instead of data: two codes to a byte, low nibble first
	sub    []int32                 // blocks × wide(n): what a sum has too much, zero·Σw
	plan   atomic.Pointer[intPlan] // convolution: of the last image size
}

// newForm packs centred codes, those of Bytes for nil, in f's memory unless f is nil.
func (p *IntProduct) newForm(kind formKind, codes []int16, f *intForm) *intForm {
	if f == nil {
		f = &intForm{}
	}
	f.kind = kind
	f.plan.Store(nil)
	f.from = grow(f.from, p.d.Blocks+1)
	if p.matrix {
		p.matrixTerms(f)
	} else {
		p.convTerms(f)
	}
	f.steps = len(f.lane) / kind.lanes()
	f.from[p.d.Blocks] = f.steps
	f.sub = grow(f.sub, p.d.Blocks*wide(p.n))
	p.pack(f, codes)
	if !p.matrix {
		p.excess(f, codes)
	}
	f.half = f.half[:0]
	if p.half && kind == formBytes {
		f.halve()
	}
	return f
}

// matrixTerms numbers the terms of each dword of a matrix product.
func (p *IntProduct) matrixTerms(f *intForm) {
	f.lane = f.lane[:0]
	for b := range p.d.Blocks {
		f.from[b] = len(f.lane) / f.kind.lanes()
		lo, hi := p.d.span(b, p.k)
		for i := lo; i < hi; i++ {
			f.lane = append(f.lane, int32(i))
		}
		f.fillDword()
	}
}

// fillDword marks the rest of the last dword as empty.
func (f *intForm) fillDword() {
	for len(f.lane)%f.kind.lanes() != 0 {
		f.lane = append(f.lane, -1)
	}
}

// convTerms numbers the terms of each dword of a convolution: several channels,
// or several neighbours of one channel where that needs fewer steps.
func (p *IntProduct) convTerms(f *intForm) {
	c, l := &p.conv, f.kind.lanes()
	area := c.R * c.S
	planes := 0
	for b := range p.d.Blocks {
		lo, hi := p.d.span(b, p.k)
		planes += ceilDiv((hi-lo)/area, l)
	}
	f.wide = c.Dilation[1] == 1 && c.cg()*ceilDiv(c.S, l) < planes*c.S
	f.lane = f.lane[:0]
	for b := range p.d.Blocks {
		f.from[b] = len(f.lane) / l
		lo, hi := p.d.span(b, p.k)
		lo, hi = lo/area, hi/area // channels
		if f.wide {
			for i := lo * c.R; i < hi*c.R; i++ { // rows of the kernel
				for s := range c.S {
					f.lane = append(f.lane, int32(i*c.S+s))
				}
				f.fillDword()
			}
			continue
		}
		for ch := lo; ch < hi; ch += l {
			for tap := range area {
				for i := ch; i < min(ch+l, hi); i++ {
					f.lane = append(f.lane, int32(i*area+tap))
				}
				f.fillDword()
			}
		}
	}
}

// packGrainInts is the number of weights that are worth a goroutine.
const packGrainInts = 32 << 10

// pack gathers the codes of every dword.
func (p *IntProduct) pack(f *intForm, codes []int16) {
	if p.matrix {
		p.packMatrix(f, codes)
		return
	}
	f.stride = f.steps
	if f.stride%128 == 0 { // rows a multiple of 512 bytes apart share few cache sets
		f.stride += tileLanes
	}
	f.data = grow(f.data, p.n*f.stride)
	par.For(p.n, ceilDiv(packGrainInts, p.k), func(lo, hi int) {
		for ch := lo; ch < hi; ch++ {
			p.packChannel(f, f.data[ch*f.stride:][:f.steps], codes[ch*p.k:][:p.k])
		}
	})
}

// packChannel packs one channel of a convolution. Dwords of four input channels, the
// usual case, are taken tap by tap from four rows.
func (p *IntProduct) packChannel(f *intForm, dst []uint32, row []int16) {
	area := p.conv.R * p.conv.S
	for s := 0; s < f.steps; {
		if f.kind != formBytes || f.wide || f.lane[4*s+3] < 0 {
			dst[s] = f.dword(s, row, 1)
			s++
			continue
		}
		first := int(f.lane[4*s])
		a, b := row[first:][:area], row[first+area:][:area]
		c, d := row[first+2*area:][:area], row[first+3*area:][:area]
		for i, v := range a {
			dst[s+i] = uint32(uint8(v)) | uint32(uint8(b[i]))<<8 | uint32(uint8(c[i]))<<16 | uint32(uint8(d[i]))<<24
		}
		s += area
	}
}

// dword returns step s of a channel whose terms are step apart.
func (f *intForm) dword(s int, row []int16, step int) uint32 {
	if f.kind == formPairs {
		l := f.lane[2*s:][:2]
		v := uint32(uint16(row[int(l[0])*step]))
		if l[1] >= 0 {
			v |= uint32(uint16(row[int(l[1])*step])) << 16
		}
		return v
	}
	l := f.lane[4*s:][:4]
	v := uint32(uint8(row[int(l[0])*step]))
	if l[3] >= 0 {
		return v | uint32(uint8(row[int(l[1])*step]))<<8 | uint32(uint8(row[int(l[2])*step]))<<16 | uint32(uint8(row[int(l[3])*step]))<<24
	}
	for i := 1; i < 4 && l[i] >= 0; i++ {
		v |= uint32(uint8(row[int(l[i])*step])) << (8 * i)
	}
	return v
}

// excess computes what a sum of bytes has too much because its left operand is
// not centred: the zero point times the sum of the weights, modulo 2^32. A matrix has
// it from panelExcess.
func (p *IntProduct) excess(f *intForm, codes []int16) {
	w := wide(p.n)
	clear(f.sub)
	if f.kind != formBytes || p.in.ZeroPoint == 0 {
		return
	}
	for b := range p.d.Blocks {
		lo, hi := p.d.span(b, p.k)
		for ch := range p.n {
			s := int32(0)
			for _, v := range codes[ch*p.k:][lo:hi] {
				s += int32(v)
			}
			f.sub[b*w+ch] = s * p.in.ZeroPoint
		}
	}
}

// halve packs the bytes of data two to a byte and drops data: byte i of 32 bytes
// holds bytes i and i+32 of 64, so that unpacking needs no shuffle.
func (f *intForm) halve() {
	for len(f.data)%tileLanes != 0 {
		f.data = append(f.data, 0)
	}
	b := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(f.data))), 4*len(f.data))
	f.half = grow(f.half, len(b)/2)
	for i := range f.half {
		at := i/32*64 + i%32
		f.half[i] = b[at]&15 | b[at+32]<<4
	}
	f.data = nil
}

// words returns n dwords of the weights from dword at on, both multiples of 16 if the
// form is halved: then they are unpacked into buf, which has n dwords.
func (f *intForm) words(buf []uint32, at, n int) []uint32 {
	if len(f.half) == 0 {
		return f.data[at:][:n]
	}
	unhalve(buf[:n], f.half[2*at:][:2*n])
	return buf
}

// unhalve undoes halve: nibbles are signed.
func unhalve(dst []uint32, src []uint8) {
	b := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(dst))), 4*len(dst))
	for i := unhalveFast(b, src); i < len(src); i++ {
		at := i/32*64 + i%32
		b[at] = uint8(int8(src[i]<<4) >> 4)
		b[at+32] = uint8(int8(src[i]) >> 4)
	}
}
