package kern

// What does a normalisation of groups of channels compute?

import "github.com/goqat/goqat/internal/par"

// GroupNorm normalises the channels of images in groups (group normalisation, Wu and He
// 2018; with a group for each channel instance normalisation, Ulyanov et al. 2016):
// [N][Groups·Channels][Inner]. Statistics, steps and their order are those of [Norm], for
// rows of Channels·Inner elements; gamma and beta have one element for each of the
// Groups·Channels channels, or are nil.
type GroupNorm struct {
	N, Groups, Channels, Inner int // Channels of one group
	Eps                        float64
}

// groupPiece is a number of elements that stay in the first cache while several loops run
// over them.
const groupPiece = 4 << 10

// groupRows calls fn in parallel for groups of images: with the image, the group's first channel
// and first element, and its statistics.
func groupRows[F Float](o *GroupNorm, x []F, fn func(image, channel, at int, mean, rstd F)) {
	width := o.Channels * o.Inner
	rows := &Norm{Width: width, Eps: o.Eps}
	par.For(o.N*o.Groups, max(1, elemChunk/width), func(lo, hi int) {
		t := newNormRows[F](rows)
		defer t.free()
		for u := lo; u < hi; u++ {
			t.statistics(x[u*width:][:width])
			fn(u/o.Groups, u%o.Groups*o.Channels, u*width, (*t.stats)[0], (*t.stats)[1])
		}
	})
}

// GroupNormForward writes ((x - mean)·rstd)·gamma + beta, every step rounded. dst may be x.
func GroupNormForward[F Float](o *GroupNorm, dst, x, gamma, beta []F) {
	gamma, beta, free := normParams(o.Groups*o.Channels, gamma, beta)
	defer free()
	groupRows(o, x, func(_, channel, at int, mean, rstd F) {
		for c := channel; c < channel+o.Channels; c++ {
			o.pieces(at, func(lo, hi int) {
				y := dst[lo:hi]
				SubOne(y, x[lo:hi], mean)
				MulOne(y, y, rstd)
				MulOne(y, y, gamma[c])
				AddOne(y, y, beta[c])
			})
			at += o.Inner
		}
	})
}

// pieces calls fn for parts of the plane that begins at an element.
func (o *GroupNorm) pieces(at int, fn func(lo, hi int)) {
	for lo := at; lo < at+o.Inner; lo += groupPiece {
		fn(lo, min(lo+groupPiece, at+o.Inner))
	}
}

// GroupNormBackward writes the gradients of x, gamma and beta from that of the result;
// those that are nil are not wanted. With the means of [NormBackward] over a group,
//
//	dx = (dy·gamma - m1 - xhat·m2)·rstd,  dgamma = Σ dy·xhat,  dbeta = Σ dy
//
// dx may be dy or x.
func GroupNormBackward[F Float](o *GroupNorm, dx, dgamma, dbeta, dy, x, gamma []F) {
	gamma, _, free := normParams(o.Groups*o.Channels, gamma, gamma)
	defer free()
	channels := o.Groups * o.Channels
	sums := borrow[float64](2 * o.N * channels) // of each image: Σ dy·xhat and then Σ dy of each channel
	defer giveBack(sums)
	groupRows(o, x, func(image, channel, at int, mean, rstd F) {
		dot, sum := (*sums)[2*image*channels:][:channels], (*sums)[(2*image+1)*channels:][:channels]
		var g, gx float64
		for c := range o.Channels {
			k, p := channel+c, at+c*o.Inner
			rowDot(dot[k:k+1], dy[p:p+o.Inner], x[p:p+o.Inner], o.Inner)
			sum[k] = LaneSum(dy[p : p+o.Inner])
			dot[k] = (dot[k] - float64(float64(mean)*sum[k])) * float64(rstd)
			g, gx = g+float64(float64(gamma[k])*sum[k]), gx+float64(float64(gamma[k])*dot[k])
		}
		if dx == nil {
			return
		}
		width := float64(o.Channels * o.Inner)
		m1, m2 := F(g/width), F(gx/width)
		scratch := borrow[F](groupPiece)
		defer giveBack(scratch)
		for c := range o.Channels {
			o.pieces(at+c*o.Inner, func(lo, hi int) {
				xhat, d := (*scratch)[:hi-lo], dx[lo:hi]
				SubOne(xhat, x[lo:hi], mean)
				MulOne(xhat, xhat, rstd)
				MulOne(xhat, xhat, m2)
				MulOne(d, dy[lo:hi], gamma[channel+c])
				SubOne(d, d, m1)
				Sub(d, d, xhat)
				MulOne(d, d, rstd)
			})
		}
	})
	columnTotals(dgamma, *sums, 2*channels, o.N)
	columnTotals(dbeta, (*sums)[channels:], 2*channels, o.N)
}
