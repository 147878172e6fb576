package kern

// Which products does a network keep packed?

import (
	"math"
	"sync/atomic"
)

// IntProduct is a convolution or a matrix product with the weights that it
// multiplies by, made ready for one input grid. Its methods may run concurrently
// once it is set up. The zero value can be set up, and set up again: its buffers
// are used again.
//
// Weights come from fill, which writes the centred codes q - zero_point, at most
// 2^15 in magnitude, in the order of the weight tensor. They are packed once per
// form that the processor's level asks for, usually one:
//
//	bytes  four signed bytes per dword (VNNI), where all codes fit
//	pairs  two int16 per dword (AVX2, AVX-512, and wide codes with VNNI)
//	       none: portable code asks fill again at every call
//
// With Nibbles, bytes that fit 4 bits are kept two to a byte in memory and
// unpacked into scratch whenever they are used.
type IntProduct struct {
	in     Grid
	d      Dequant
	fill   func(dst []int16)
	count  int // weights
	max    int // largest magnitude of a weight
	bytes  bool
	half   bool // all codes lie in -8..7 and Nibbles is set
	matrix bool
	trans  bool // matrix: stored [n,k], not [k,n]
	conv   Conv // geometry of the weights: C, K, R, S, Groups, Dilation
	n, k   int  // channels, terms of one sum

	scale []float32 // blocks × wide(n): scales by block and channel
	none  []float32 // wide(n) times -0, the bias that changes nothing
	form  atomic.Pointer[intForm]

	// Nibbles asks for 4-bit codes to stay packed. Set it before the set-up.
	Nibbles bool
	// Bytes is nil or another source of the codes. Set it before the set-up.
	Bytes *ByteWeights
}

// ByteWeights are weights that are known beforehand to fit a byte each. They go into
// their packed form piece by piece, in parallel, without being laid out in between.
type ByteWeights struct {
	// Fill writes codes [lo, hi) of the weight tensor, the same as IntProduct's fill.
	// It is called from several goroutines.
	Fill func(dst []int8, lo, hi int)
	// Codes are nil, or the same codes where they are laid out already: memory of the caller
	// that only the set-up reads.
	Codes []int8
	// MaxAbs is a bound on the magnitude of the codes.
	MaxAbs int
}

// SetConv sets p up as a convolution with the weights [K,C/Groups,R,S] of c, whose
// image sizes are not used. in is the grid of the input, with Qmin 0; d.Scale
// includes its scale; d.Block is in taps, a whole number of channels times R·S.
func (p *IntProduct) SetConv(c *Conv, in Grid, d Dequant, fill func(dst []int16)) {
	p.matrix, p.conv, p.n, p.k = false, *c, c.K, c.taps()
	p.setUp(in, d, fill)
}

// SetMatMul sets p up as a product with a k×n matrix, stored [n,k] if trans is set.
// The rest is as in SetConv; d.Block is in terms.
func (p *IntProduct) SetMatMul(n, k int, trans bool, in Grid, d Dequant, fill func(dst []int16)) {
	p.matrix, p.trans, p.n, p.k = true, trans, n, k
	p.setUp(in, d, fill)
}

// MaxAbs returns the largest magnitude of the centred weights.
func (p *IntProduct) MaxAbs() int { return p.max }

func (p *IntProduct) setUp(in Grid, d Dequant, fill func(dst []int16)) {
	p.in, p.d, p.fill, p.count = in, d, fill, p.n*p.k
	old := p.form.Swap(nil)
	if p.inPieces() {
		p.max, p.bytes, p.half = p.Bytes.MaxAbs, true, false
		p.scales()
		p.form.Store(p.newForm(formBytes, nil, old))
		return
	}
	codes := borrow[int16](p.count)
	defer giveBack(codes)
	fill(*codes)
	lo, hi := intsExtent(*codes)
	p.max = max(-int(lo), int(hi))
	p.bytes = lo >= math.MinInt8 && hi <= math.MaxInt8
	p.half = p.Nibbles && lo >= -8 && hi <= 7
	p.scales()
	if kind := p.kind(); kind != formNone {
		p.form.Store(p.newForm(kind, *codes, old))
	}
}

// Regrid makes p, a product with a matrix that is set up, ready for inputs on another grid.
// scale are the scales of the sums then.
func (p *IntProduct) Regrid(in Grid, scale []float32) {
	p.in, p.d.Scale = in, scale
	p.scales()
	f := p.form.Load()
	if f == nil {
		return
	}
	size := panelCols * f.steps
	s := intScratches.Get().(*intScratch)
	defer s.put()
	if len(f.half) > 0 {
		s.panel = grow(s.panel, size)
	}
	for i := range ceilDiv(p.n, panelCols) {
		p.panelExcess(f, f.words(s.panel, i*size, size), i*panelCols)
	}
}

// inPieces says that the weights can be packed from Bytes: a panel takes whole rows of
// bytes then, or a part of each row where channels are neighbours.
func (p *IntProduct) inPieces() bool {
	return p.Bytes != nil && !p.Nibbles && p.matrix && p.whole(formBytes) && hasTile(tileInt16) && hasTile(tileUintB)
}

// whole says that each dword of a matrix holds neighbouring terms.
func (p *IntProduct) whole(kind formKind) bool { return p.d.Blocks == 1 || p.d.Block%kind.lanes() == 0 }

// wide rounds a number of channels up to whole panels.
func wide(n int) int { return ceilDiv(n, panelCols) * panelCols }

// scales lays the scales out by block, so that the channels of a tile are neighbours.
func (p *IntProduct) scales() {
	w := wide(p.n)
	p.scale = grow(p.scale, p.d.Blocks*w)
	p.none = grow(p.none, w)
	for b := range p.d.Blocks {
		for ch := range p.n {
			p.scale[b*w+ch] = p.d.scale(ch, b)
		}
	}
	for i := range p.none {
		p.none[i] = negZero
	}
}

// negZero is the number that changes nothing when it is added.
var negZero = float32(math.Copysign(0, -1))

// grow returns a slice of n elements, b's memory where it suffices.
func grow[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}

// formKind says how weights are packed.
type formKind uint8

const (
	formNone  formKind = iota // portable code packs them itself
	formBytes                 // four signed bytes per dword
	formPairs                 // two int16 per dword
)

// lanes is the number of codes in a dword.
func (k formKind) lanes() int {
	if k == formBytes {
		return 4
	}
	return 2
}

// kind is the form that the level in use wants.
func (p *IntProduct) kind() formKind {
	switch {
	case !hasTile(tileInt16):
		return formNone
	case p.bytes && hasTile(tileUintB):
		return formBytes
	}
	return formPairs
}

// current returns the weights in the form that the level in use wants, nil for the
// portable one.
func (p *IntProduct) current() *intForm {
	kind := p.kind()
	if kind == formNone {
		return nil
	}
	if f := p.form.Load(); f != nil && f.kind == kind {
		return f
	}
	codes := borrow[int16](p.count) // the level has changed: a test
	defer giveBack(codes)
	p.fill(*codes)
	f := p.newForm(kind, *codes, nil)
	p.form.Store(f)
	return f
}
