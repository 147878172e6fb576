package kern

// What two codes make: the code of their numbers' sum, difference or product.

import "unsafe"

// PairFn is what [PairCodes] computes of two numbers.
type PairFn uint8

const (
	PairAdd PairFn = iota
	PairSub
	PairMul
)

// PairCodes writes the codes of act(fn(a, b)) on grid g: both operands become real
// numbers, and their float32 result is clipped and rounded. An operand of one code is
// taken with every one of the other; else all have one length. All grids have Qmin = 0.
// It works in the caller's goroutine.
func PairCodes(fn PairFn, dst, a, b []uint8, ga, gb, g Grid, act Clip) {
	if len(dst) == 0 {
		return
	}
	x, y := pairSideOf(a, ga, len(dst)), pairSideOf(b, gb, len(dst))
	if fn == PairSub { // a - b is a + -b, bit for bit
		y.scale = -y.scale
	}
	if x.codes == nil {
		x, y = y, x
	}
	lo, hi := g.limits()
	t := pairArgs{a: x.codes, za: x.zero, sa: x.scale, b: y.codes, zb: y.zero, sb: y.scale,
		out: unsafe.Pointer(&dst[0]), zero: g.ZeroPoint, act: act, step: g.Scale, lo: lo, hi: hi}
	for i := t.fast(fn == PairMul, len(dst)); i < len(dst); i++ {
		v := x.at(i)
		if fn == PairMul {
			v = float32(v * y.at(i))
		} else {
			v += y.at(i)
		}
		dst[i] = uint8(int32(steps(act.Apply(v), g.Scale, lo, hi)) + g.ZeroPoint)
	}
}

// pairArgs are the arguments of the assembly kernels, which read the fields by their
// offsets. b is nil where the second operand is one number, sb.
type pairArgs struct {
	a, b, out unsafe.Pointer
	full      int // vectors of 16 (AVX2: of 32)
	tail      uint32
	za, zb    int32
	sa, sb    float32
	zero      int32
	act       Clip
	step      float32
	lo, hi    float32
}

// pairSide is an operand: codes, or nil and one number, scale.
type pairSide struct {
	codes unsafe.Pointer
	zero  int32
	scale float32
}

func pairSideOf(x []uint8, g Grid, n int) pairSide {
	if len(x) == 1 && n > 1 {
		return pairSide{scale: DequantizeOne(int32(x[0]), g)}
	}
	return pairSide{unsafe.Pointer(&x[:n][0]), g.ZeroPoint, g.Scale}
}

func (s pairSide) at(i int) float32 {
	if s.codes == nil {
		return s.scale
	}
	return float32(float32(int32(*(*uint8)(unsafe.Add(s.codes, i)))-s.zero) * s.scale)
}
