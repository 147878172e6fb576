package nn

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
)

type binaryFn int

const (
	fnAdd binaryFn = iota
	fnSub
	fnMul
	fnDiv
	fnPow
)

var binaryFns = map[string]binaryFn{"add": fnAdd, "sub": fnSub, "mul": fnMul, "div": fnDiv, "pow": fnPow}

func binaryForward[F Float](o Binary, out, a, b Tensor[F]) {
	fn := binaryFns[o.Fn]
	sa, sb := broadcastStrides(a.Shape, out.Shape), broadcastStrides(b.Shape, out.Shape)
	walkParallel(out.Shape, sa, sb, func(at, oa, ob, n, da, db int) {
		binaryRun(fn, out.Data[at:at+n], a.Data[oa:], b.Data[ob:], da, db)
	})
}

// binaryRun computes one stretch; da and db are 0 or 1.
func binaryRun[F Float](fn binaryFn, y, a, b []F, da, db int) {
	n := len(y)
	switch fn {
	case fnAdd, fnSub, fnMul:
		switch {
		case da == 1 && db == 1:
			binaryVectors(fn, y, a[:n], b[:n])
		case da == 1:
			binaryOne(fn, y, a[:n], b[0])
		case fn == fnSub && db == 1:
			kern.OneSub(y, a[0], b[:n])
		case db == 1:
			binaryOne(fn, y, b[:n], a[0])
		default: // one element, repeated
			binaryVectors(fn, y[:1], a[:1], b[:1])
			for i := range y[1:] {
				y[1+i] = y[0]
			}
		}
	case fnDiv:
		for i := range y {
			y[i] = a[i*da] / b[i*db]
		}
	default:
		for i := range y {
			y[i] = F(math.Pow(float64(a[i*da]), float64(b[i*db])))
		}
	}
}

func binaryVectors[F Float](fn binaryFn, y, a, b []F) {
	switch fn {
	case fnAdd:
		kern.Add(y, a, b)
	case fnSub:
		kern.Sub(y, a, b)
	default:
		kern.Mul(y, a, b)
	}
}

func binaryOne[F Float](fn binaryFn, y, a []F, b F) {
	switch fn {
	case fnAdd:
		kern.AddOne(y, a, b)
	case fnSub:
		kern.SubOne(y, a, b)
	default:
		kern.MulOne(y, a, b)
	}
}

// binaryBackward writes the gradients of both operands. An operand that was
// repeated gets the float64 sum over its copies.
func binaryBackward[F Float](o Binary, grads []Tensor[F], a, b, out, dout Tensor[F]) {
	fn := binaryFns[o.Fn]
	sa, sb := broadcastStrides(a.Shape, out.Shape), broadcastStrides(b.Shape, out.Shape)
	for side, g := range grads {
		switch {
		case g.Data == nil:
		case len(g.Data) == len(out.Data):
			walkParallel(out.Shape, sa, sb, func(at, oa, ob, n, da, db int) {
				binaryGrad(fn, side == 0, g.Data[at:at+n], a.Data[oa:], b.Data[ob:], dout.Data[at:], da, db)
			})
		default:
			sums := make([]float64, len(g.Data))
			own := [][]int{sa, sb}[side]
			if n, c, inner, ok := channelwise(out.Shape, own); ok && (fn == fnAdd || fn == fnSub) {
				kern.ChannelSum(sums, dout.Data, n, c, inner)
				negate(sums, fn == fnSub && side == 1)
			} else {
				repeatedSums(fn, side, sums, a, b, out, dout)
			}
			for i, s := range sums {
				g.Data[i] = F(s)
			}
		}
	}
}

// channelwise reports whether an operand with these strides has one element for each
// channel of out seen as [n, c, inner].
func channelwise(out, strides []int) (n, c, inner int, ok bool) {
	dims, s, _ := merge(out, strides, strides)
	n, inner = 1, 1
	if s[0] == 0 && len(dims) > 1 {
		n, dims, s = dims[0], dims[1:], s[1:]
	}
	if l := len(dims) - 1; s[l] == 0 && l > 0 {
		inner, dims, s = dims[l], dims[:l], s[:l]
	}
	return n, dims[0], inner, len(dims) == 1 && s[0] == 1
}

func negate(s []float64, do bool) {
	for i := range s {
		if do {
			s[i] = -s[i]
		}
	}
}

// repeatedSums adds up the gradients of a repeated operand.
func repeatedSums[F Float](fn binaryFn, side int, sums []float64, a, b, out, dout Tensor[F]) {
	sa, sb := broadcastStrides(a.Shape, out.Shape), broadcastStrides(b.Shape, out.Shape)
	var row []F
	walk(out.Shape, sa, sb, func(at, oa, ob, n, da, db int) {
		if row == nil {
			row = make([]F, n)
		}
		binaryGrad(fn, side == 0, row, a.Data[oa:], b.Data[ob:], dout.Data[at:], da, db)
		if side == 0 {
			addRow(sums[oa:], row, da)
		} else {
			addRow(sums[ob:], row, db)
		}
	})
}

// addRow adds a row to sums that move by step, 0 or 1. With step 0 the row is added up
// first, in lanes.
func addRow[F Float](sums []float64, row []F, step int) {
	if step == 0 {
		sums[0] += kern.LaneSum(row)
		return
	}
	kern.AddTo64(sums[:len(row)], row)
}

// binaryGrad computes one stretch of the gradient of one operand into dst. The
// cheap functions have their own loops.
func binaryGrad[F Float](fn binaryFn, left bool, dst, a, b, d []F, da, db int) {
	d = d[:len(dst)]
	switch {
	case fn == fnAdd, fn == fnSub && left:
		copy(dst, d)
	case fn == fnSub:
		for i, v := range d {
			dst[i] = -v
		}
	case fn == fnMul && left:
		mulRow(dst, d, b, db)
	case fn == fnMul:
		mulRow(dst, d, a, da)
	default:
		partial := binaryPartial(fn, left)
		for i, v := range d {
			dst[i] = F(partial(float64(a[i*da]), float64(b[i*db]), float64(v)))
		}
	}
}

// mulRow multiplies by factors that move by step, 0 or 1.
func mulRow[F Float](dst, d, by []F, step int) {
	if step == 0 {
		kern.MulOne(dst, d, by[0])
		return
	}
	kern.Mul(dst, d, by[:len(d)])
}

// binaryPartial returns the gradient of one operand of a quotient or a power from
// a, b and dout = d.
func binaryPartial(fn binaryFn, left bool) func(a, b, d float64) float64 {
	switch {
	case fn == fnDiv && left:
		return func(_, b, d float64) float64 { return d / b }
	case fn == fnDiv:
		return func(a, b, d float64) float64 { return -d * a / float64(b*b) }
	case left:
		return func(a, b, d float64) float64 {
			if b == 0 {
				return 0 // a^0 is 1 for every a, also where a^(b-1) is infinite
			}
			return float64(float64(d*b) * math.Pow(a, b-1))
		}
	}
	return func(a, b, d float64) float64 {
		if a == 0 && b >= 0 {
			return 0 // the limit of a^b·log(a)
		}
		return float64(float64(d*math.Pow(a, b)) * math.Log(a))
	}
}
