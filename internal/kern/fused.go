package kern

// Which layers are computed together: affine, activation, rounding, masks?

import (
	"math"

	"github.com/goqat/goqat/internal/par"
)

// The fused kernels work on tensors x [n][c][inner], row-major: n images of c
// channels with inner elements each. They replace chains of elementwise layers
// (normalisation, activation, fake quantization and their gradients) by one pass
// over memory. Where a gradient depends only on whether an element passed, one bit
// per element is kept instead of the element.
//
// A mask holds the bits of one row in whole bytes: bit i%8 of byte i/8 belongs to
// element i of the row, the bits behind the last element are 0, and rows follow one
// another. A row is one channel of one image (inner elements); with inner == 1 it is
// one image (c elements).

// Clip is an activation that limits values: min(max(v, Lo), Hi) with Go's min and
// max, which keep NaN. An infinite limit does nothing. ReLU is {0, +Inf}.
type Clip struct{ Lo, Hi float32 }

// NoClip returns the Clip that passes everything on.
func NoClip() Clip { return Clip{float32(math.Inf(-1)), float32(math.Inf(1))} }

// ReLU returns the Clip that is max(v, 0).
func ReLU() Clip { return Clip{0, float32(math.Inf(1))} }

// Apply returns the clipped value.
func (c Clip) Apply(v float32) float32 { return min(max(v, c.Lo), c.Hi) }

// Passes reports whether the clip passes the gradient at v: strictly inside its
// limits. A missing limit stops nothing; NaN passes only where both are missing.
func (c Clip) Passes(v float32) bool {
	return (v > c.Lo || c.Lo < -maxFloat32) && (v < c.Hi || c.Hi > maxFloat32)
}

// MaskLen returns the number of bytes of a mask for [n][c][inner].
func MaskLen(n, c, inner int) int {
	if inner == 1 {
		return n * ((c + 7) / 8)
	}
	return n * c * ((inner + 7) / 8)
}

// Stats are the statistics of one channel.
type Stats struct {
	// Sum and SumSq are Σ v and Σ v² of all elements, in the order of [ChannelStats].
	Sum, SumSq float64
	// Min and Max are the smallest and largest finite value, +0 for a zero of either
	// sign. Without a finite value they are the largest float32 and its negative.
	Min, Max float32
	// Finite is the number of finite values.
	Finite int
	// NaN says that there was a NaN.
	NaN bool
}

// ChannelStats writes the statistics of each channel into st, which has c
// elements. Sums are in float64: element i of a plane is added to lane i%16 of its
// channel, images in order; after every imageChunk images, and at the end, the lanes are added
// as [laneTotal] says, and these sums are added in order.
func ChannelStats(st []Stats, x []float32, n, c, inner int) {
	if inner == 1 {
		statsColumns(st, x, n, c)
		return
	}
	parts := borrow[Stats](ceilDiv(n, imageChunk) * c)
	defer giveBack(parts)
	for i := range *parts {
		(*parts)[i] = noStats
	}
	channelSums(n, c, inner, func(l *lanes, pair int, p planes) {
		statsAdd(l, &(*parts)[pair], x, p)
	}, func(sums []float64) {
		for ch := range c {
			st[ch] = noStats
			for i := ch; i < len(*parts); i += c {
				st[ch].merge(&(*parts)[i])
			}
			st[ch].Sum, st[ch].SumSq = sums[2*ch], sums[2*ch+1]
		}
	})
}

// noStats are the statistics of nothing.
var noStats = Stats{Min: maxFloat32, Max: -maxFloat32}

// AffineActQuant writes
//
//	v = float32(x*k1[channel]) + k2[channel]   each step rounded; v = x with k1 == nil
//	y = act.Apply(v)
//	dst = FakeQuantize(y, *g)                  y itself with g == nil
//
// into dst, which may be x. Unless mask is nil it gets the bits: 1 where the
// activation passes the gradient of v ([Clip.Passes]) and, with a grid, [STE] passes
// that of y. k1 and k2 have c elements; k2 is nil if and only if k1 is.
func AffineActQuant(dst, x []float32, n, c, inner int, k1, k2 []float32, act Clip, g *Grid, mask []uint8) {
	f := newFinish(act, g)
	r := newRows(n, c, inner, k1 != nil, mask != nil)
	r.each(func(s stretch) {
		affineRows(&f, dst[s.lo:s.hi], x[s.lo:s.hi], s.width, r.params(k1, s), r.params(k2, s), s.bits(mask))
	})
}

// AddActQuant is AffineActQuant of v = a + b, for [n][c][inner] elements of both
// (residual sums). dst may be a or b.
func AddActQuant(dst, a, b []float32, n, c, inner int, act Clip, g *Grid, mask []uint8) {
	f := newFinish(act, g)
	r := newRows(n, c, inner, false, mask != nil)
	r.each(func(s stretch) {
		addRows(&f, dst[s.lo:s.hi], a[s.lo:s.hi], b[s.lo:s.hi], s.width, s.bits(mask))
	})
}

// AddMinMax is [MinMax] of the sums a + b, rounded to float32, which it does not
// store. a and b have the same length.
func AddMinMax(a, b []float32) (lo, hi float32, n int, nan bool) {
	return joinMinMax(len(a), func(from, to int) extent { return addExtent(a[from:to], b[from:to]) })
}

// Sums are the two sums of one channel that a normalisation's gradient needs.
type Sums struct {
	D  float64 // Σ dy
	DX float64 // Σ dy·x
}

// MaskedSums writes the sums of each channel over the elements whose bit is set
// (all with mask == nil), in float64 and in the order of [ChannelStats]. sums has c
// elements. With x == nil only D is computed; DX is 0.
func MaskedSums(sums []Sums, dy, x []float32, n, c, inner int, mask []uint8) {
	if inner == 1 {
		maskedColumns(sums, dy, x, n, c, mask)
		return
	}
	channelSums(n, c, inner, func(l *lanes, _ int, p planes) {
		maskedAdd(l, dy, x, mask, p)
	}, func(both []float64) {
		for ch := range c {
			sums[ch] = Sums{both[2*ch], both[2*ch+1]}
		}
	})
}

// AffineBackward writes, with dm = dy where the bit is set (everywhere with mask ==
// nil) and 0 elsewhere,
//
//	dx = float32(dm*p[channel]) + (float32(x*q[channel]) + r[channel])
//
// every step rounded: the gradient of a batch normalisation. With q == nil it is
// float32(dm*p) and x and r are not read; with p == nil, too, it is dm. p, q and r
// have c elements. dx may be dy or x.
func AffineBackward(dx, dy, x []float32, n, c, inner int, mask []uint8, p, q, r []float32) {
	w := newRows(n, c, inner, p != nil, mask != nil)
	w.each(func(s stretch) {
		d, from, m := dx[s.lo:s.hi], dy[s.lo:s.hi], s.bits(mask)
		if q == nil {
			maskScaleRows(d, from, s.width, m, w.params(p, s))
			return
		}
		backwardRows(d, from, x[s.lo:s.hi], s.width, m, w.params(p, s), w.params(q, s), w.params(r, s))
	})
}

// ChannelSum writes Σ x of each channel into sums, which has c elements, in
// float64 and in the order of [ChannelStats].
func ChannelSum[F Float](sums []float64, x []F, n, c, inner int) {
	if inner == 1 {
		// Columns in whole cache lines: a channel's sum is in one goroutine's hands.
		par.For(ceilDiv(c, rowPiece), max(1, elemChunk/rowPiece/max(1, n)), func(from, to int) {
			lo, hi := from*rowPiece, min(to*rowPiece, c)
			clear(sums[lo:hi])
			for i := range n {
				AddTo64(sums[lo:hi], x[i*c+lo:i*c+hi])
			}
		})
		return
	}
	channelSums(n, c, inner, func(l *lanes, _ int, p planes) {
		laneAdd(l, x, p)
	}, func(both []float64) {
		for ch := range c {
			sums[ch] = both[2*ch]
		}
	})
}

// ChannelSumTo writes the sums of [ChannelSum], rounded to F, into dst, which has c elements.
func ChannelSumTo[F Float](dst, x []F, n, c, inner int) {
	sums := borrow[float64](c)
	defer giveBack(sums)
	ChannelSum(*sums, x, n, c, inner)
	RoundSums(dst, *sums, 1)
}
