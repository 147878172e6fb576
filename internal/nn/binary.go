package nn

import "math"

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
	switch fn {
	case fnAdd:
		for i := range y {
			y[i] = a[i*da] + b[i*db]
		}
	case fnSub:
		for i := range y {
			y[i] = a[i*da] - b[i*db]
		}
	case fnMul:
		for i := range y {
			y[i] = a[i*da] * b[i*db]
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

// binaryBackward writes the gradients of both operands. An operand that was
// repeated gets the float64 sum over its copies, in row-major order.
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
			for i, s := range sums {
				g.Data[i] = F(s)
			}
		}
	}
}

// addRow adds a row to sums that move by step, 0 or 1.
func addRow[F Float](sums []float64, row []F, step int) {
	if step == 0 {
		s := sums[0]
		for _, v := range row {
			s += float64(v)
		}
		sums[0] = s
		return
	}
	for i, v := range row {
		sums[i] += float64(v)
	}
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
		for i, v := range d {
			dst[i] = v * b[i*db]
		}
	case fn == fnMul:
		for i, v := range d {
			dst[i] = v * a[i*da]
		}
	default:
		partial := binaryPartial(fn, left)
		for i, v := range d {
			dst[i] = F(partial(float64(a[i*da]), float64(b[i*db]), float64(v)))
		}
	}
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
