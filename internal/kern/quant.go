package kern

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
func DequantizeOne(q int32, g Grid) float32 { return float32(q-g.ZeroPoint) * g.Scale }

// Quantize writes the codes of x into dst. len(dst) == len(x).
func Quantize[C Code](dst []C, x []float32, g Grid) {
	lo, hi := g.limits()
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] = C(int32(steps(v, g.Scale, lo, hi)) + g.ZeroPoint)
	}
}

// QuantizeCentred writes the centred codes q - zero_point of x into dst, the
// operands of integer products. len(dst) == len(x).
func QuantizeCentred(dst []int16, x []float32, g Grid) {
	lo, hi := g.limits()
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] = int16(steps(v, g.Scale, lo, hi))
	}
}

// Dequantize writes (q - zero_point) * scale into dst. len(dst) == len(q).
func Dequantize[C Code](dst []float32, q []C, g Grid) {
	dst = dst[:len(q)]
	for i, v := range q {
		dst[i] = float32(int32(v)-g.ZeroPoint) * g.Scale
	}
}

// FakeQuantize writes Dequantize(Quantize(x)) into dst in one pass. dst may be x.
func FakeQuantize(dst, x []float32, g Grid) {
	lo, hi := g.limits()
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] = steps(v, g.Scale, lo, hi) * g.Scale
	}
}

// STE writes the straight-through gradient: dy where the unclamped code
// rne(x/scale) + zero_point lies in [qmin, qmax], else 0. NaN in x gives 0. dx
// may be dy. All three have the same length.
func STE(dx, x, dy []float32, g Grid) {
	lo, hi := g.limits()
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		// One step of slack each side lets steps tell "outside" from "at the limit".
		if r := steps(v, g.Scale, lo-1, hi+1); r >= lo && r <= hi {
			dx[i] = dy[i]
		} else {
			dx[i] = 0
		}
	}
}

// MinMax returns the smallest and largest finite value of x and whether x holds
// a NaN. Infinities are left out: they saturate and say nothing of the range.
// Without any finite value it returns n == 0.
func MinMax(x []float32) (lo, hi float32, n int, nan bool) {
	lo, hi = maxFloat32, -maxFloat32
	for _, v := range x {
		if v != v {
			nan = true
			continue
		}
		if v > maxFloat32 || v < -maxFloat32 {
			continue
		}
		n++
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi, n, nan
}

const maxFloat32 = 0x1p127 * (1 + (1 - 0x1p-23))

// LSQ writes the gradient of fake quantization with a learned step size and zero
// point: dx as [STE] does, and returns the sums
//
//	ds = Σ dy * ((x'-x)/scale inside the range, clamp(q)-zero_point outside)
//	dz = Σ dy * (0 inside, -scale outside)
//
// (Esser et al. 2020, equation 3; Bhalgat et al. 2020, equation 4), without the
// gradient factor. The sums run in order, in float64. dx may be dy. NaN counts as
// outside, at the lower limit.
func LSQ(dx, x, dy []float32, g Grid) (ds, dz float64) {
	lo, hi := g.limits()
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		d := dy[i]
		r := steps(v, g.Scale, lo-1, hi+1)
		if r >= lo && r <= hi {
			dx[i] = d
			ds += float64(d) * (float64(r) - float64(v)/float64(g.Scale))
			continue
		}
		dx[i] = 0
		ds += float64(d) * float64(min(max(r, lo), hi))
		dz -= float64(d) * float64(g.Scale)
	}
	return ds, dz
}
