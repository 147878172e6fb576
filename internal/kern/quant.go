package kern

// How is a number rounded to a code, and a code turned back? The only place.

import "github.com/goqat/goqat/internal/par"

// Code is the storage of one quantized value. int16 and int32 also hold the
// centred codes q - zero_point that integer products work on.
type Code interface {
	~int8 | ~uint8 | ~int16 | ~int32
}

// Grid is the integer grid of one group of values: a scale, a zero point and
// the inclusive code range. Scale is positive and finite;
// Qmin <= ZeroPoint <= Qmax.
type Grid struct {
	Scale      float32
	ZeroPoint  int32
	Qmin, Qmax int32
}

// roundMagic is 1.5 * 2^23. For |v| < 2^22 the sum v + roundMagic has a spacing
// of exactly one, so the addition itself rounds v half to even.
const roundMagic = 12582912

// limits gives the code range relative to the zero point, as floats.
func (g Grid) limits() (lo, hi float32) {
	return float32(g.Qmin - g.ZeroPoint), float32(g.Qmax - g.ZeroPoint)
}

// steps is the one spelling of rounding and clamping in this module. It
// returns rne(x / scale) clamped to [lo, hi], where lo and hi are whole numbers
// of magnitude below 2^21. Clamping before rounding gives the same integer as
// rounding first, because the limits are integers, and it keeps the argument
// in the range where roundMagic works. NaN gives lo; infinities saturate.
func steps(x, scale, lo, hi float32) float32 {
	v := x / scale
	if !(v > lo) { // also NaN
		v = lo
	}
	if v > hi {
		v = hi
	}
	return float32(v+roundMagic) - roundMagic
}

// QuantizeOne returns clamp(rne(x/scale) + zero_point, qmin, qmax), the numeric
// contract's formula. NaN gives qmin and infinities saturate.
func QuantizeOne(x float32, g Grid) int32 {
	lo, hi := g.limits()
	return int32(steps(x, g.Scale, lo, hi)) + g.ZeroPoint
}

// DequantizeOne returns (q - zero_point) * scale.
func DequantizeOne(q int32, g Grid) float32 { return float32(float32(q-g.ZeroPoint) * g.Scale) }

// Quantize writes the codes of x into dst. len(dst) == len(x); C holds every code of
// the grid. Like all functions here on slices it works in parallel on long ones.
func Quantize[C Code](dst []C, x []float32, g Grid) {
	if len(x) <= elemChunk { // without a closure, which costs more than a short row
		quantize(dst, x, g)
		return
	}
	inChunks(len(x), func(from, to int) { quantize(dst[from:to], x[from:to], g) })
}

func quantize[C Code](dst []C, x []float32, g Grid) {
	lo, hi := g.limits()
	dst = dst[:len(x)]
	for i := quantizeFast(dst, x, g); i < len(x); i++ {
		dst[i] = C(int32(steps(x[i], g.Scale, lo, hi)) + g.ZeroPoint)
	}
}

// QuantizeCentred writes the centred codes q - zero_point of x into dst, the
// operands of integer products. len(dst) == len(x).
func QuantizeCentred(dst []int16, x []float32, g Grid) {
	g.Qmin, g.Qmax, g.ZeroPoint = g.Qmin-g.ZeroPoint, g.Qmax-g.ZeroPoint, 0
	Quantize(dst, x, g)
}

// Dequantize writes (q - zero_point) * scale into dst. len(dst) == len(q).
func Dequantize[C Code](dst []float32, q []C, g Grid) {
	if len(q) <= elemChunk {
		dequantize(dst, q, g)
		return
	}
	inChunks(len(q), func(from, to int) { dequantize(dst[from:to], q[from:to], g) })
}

func dequantize[C Code](dst []float32, q []C, g Grid) {
	dst = dst[:len(q)]
	for i := dequantizeFast(dst, q, g); i < len(q); i++ {
		dst[i] = float32(int32(q[i])-g.ZeroPoint) * g.Scale
	}
}

// FakeQuantize writes Dequantize(Quantize(x)) into dst in one pass. dst may be x.
func FakeQuantize(dst, x []float32, g Grid) {
	if len(x) <= elemChunk {
		fakeQuantize(dst, x, g)
		return
	}
	if len(x) >= streamFrom && &dst[0] != &x[0] {
		par.For(len(x), streamChunk, func(from, to int) { fakeQuantizeStream(dst[from:to], x[from:to], g) })
		return
	}
	inChunks(len(x), func(from, to int) { fakeQuantize(dst[from:to], x[from:to], g) })
}

// streamFrom is the number of elements from which results are written past the caches,
// which could not hold them anyway: 32 MiB. Reading them first, as other stores do,
// costs a third of the memory's bandwidth.
const streamFrom = 8 << 20

// streamChunk is the number of elements that are written so by one call. Each call waits
// for its last stores, so that it should have many; 64 Ki are about 15 µs.
const streamChunk = 64 << 10

func fakeQuantize(dst, x []float32, g Grid) {
	lo, hi := g.limits()
	dst = dst[:len(x)]
	for i := fakeQuantizeFast(dst, x, g); i < len(x); i++ {
		dst[i] = steps(x[i], g.Scale, lo, hi) * g.Scale
	}
}

// STE writes the straight-through gradient: dy where the unclamped code
// rne(x/scale) + zero_point lies in [qmin, qmax], else 0. NaN in x gives 0. dx
// may be dy. All three have the same length.
func STE(dx, x, dy []float32, g Grid) {
	if len(x) <= elemChunk {
		ste(dx, x, dy, g)
		return
	}
	inChunks(len(x), func(from, to int) { ste(dx[from:to], x[from:to], dy[from:to], g) })
}

func ste(dx, x, dy []float32, g Grid) {
	lo, hi := g.limits()
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i := steFast(dx, x, dy, g); i < len(x); i++ {
		dx[i] = passing(x[i], dy[i], g.Scale, lo, hi)
	}
}

// passing returns d if the code of x lies within the limits, else 0. One step of slack
// each side lets steps tell "outside" from "at the limit".
func passing(x, d, scale, lo, hi float32) float32 {
	if r := steps(x, scale, lo-1, hi+1); r >= lo && r <= hi {
		return d
	}
	return 0
}

// inChunks calls fn for stretches of at most elemChunk elements, in parallel. They begin
// at multiples of rowPiece.
func inChunks(n int, fn func(from, to int)) {
	if n <= elemChunk {
		fn(0, n)
		return
	}
	par.For((n-1)/rowPiece+1, elemChunk/rowPiece, func(from, to int) { fn(from*rowPiece, min(to*rowPiece, n)) })
}

// MinMax returns the smallest and largest finite value of x and whether x holds
// a NaN. Infinities are left out: they saturate and say nothing of the range.
// A zero of either sign counts as +0. Without any finite value it returns n == 0.
// Long slices are read in parallel.
func MinMax(x []float32) (lo, hi float32, n int, nan bool) {
	if len(x) <= elemChunk { // the closure below would be garbage for each short row
		e := extentOf(x)
		return e.lo, e.hi, e.n, e.nan
	}
	return joinMinMax(len(x), func(from, to int) extent { return extentOf(x[from:to]) })
}

const maxFloat32 = 0x1p127 * (1 + (1 - 0x1p-23))
