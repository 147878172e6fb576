package kern

// What is an integer product, and what happens to its sums?

// Integer products multiply codes and sum exactly; one epilogue per output scales
// the sum, adds the bias, and rounds to the next tensor's codes where there is one.
// The portable functions (int_portable.go) are the definition; the vector forms
// give the same bits, because all sums are exact and every float operation is the
// same one, in the same order.

// Biased returns the grid of the biased codes u = q - Qmin, which fit a byte: the
// same real numbers, with Qmin = 0. All codes in []uint8 of this package are biased
// ones, and all grids beside them have Qmin = 0.
func (g Grid) Biased() Grid { return Grid{g.Scale, g.ZeroPoint - g.Qmin, 0, g.Qmax - g.Qmin} }

// Dequant turns integer sums into float32 outputs. Each output is
//
//	y = Σ_b float32(acc_b)·Scale[channel·Blocks+b] + Bias[channel]
//
// in float32, blocks in order; acc_b is the exact sum over block b.
type Dequant struct {
	Scale  []float32 // input scale times weight scale: one for all, or channels·Blocks
	Blocks int       // at least 1
	Block  int       // terms of the contracted axis in a block; the last may be shorter
	Bias   []float32 // nil or one per channel
}

func (d *Dequant) scale(channel, block int) float32 {
	if len(d.Scale) == 1 {
		return d.Scale[0]
	}
	return d.Scale[channel*d.Blocks+block]
}

// span returns the terms of block b of a contracted axis of k terms.
func (d *Dequant) span(b, k int) (lo, hi int) {
	if d.Blocks == 1 {
		return 0, k
	}
	lo = min(b*d.Block, k)
	return lo, min(lo+d.Block, k)
}

// IntX is the left operand of an integer product: biased codes, or real numbers
// that are rounded to the grid on the way into the product. One of the two slices
// is nil.
type IntX struct {
	Codes  []uint8
	Values []float32
	Grid   Grid // Qmin is 0
}

// at is the operand from element i on.
func (x IntX) at(i, n int) IntX {
	if x.Codes != nil {
		x.Codes = x.Codes[i:][:n]
	} else {
		x.Values = x.Values[i:][:n]
	}
	return x
}

// centred writes q - zero_point of all elements.
func (x IntX) centred(dst []int16) {
	if x.Codes == nil {
		QuantizeCentred(dst, x.Values, x.Grid)
		return
	}
	z := int16(x.Grid.ZeroPoint)
	for i, u := range x.Codes {
		dst[i] = int16(u) - z
	}
}

// IntY takes the result of an integer product: real numbers, or biased codes on a
// grid after an activation. One of the two slices is nil; Values get no activation, nor does
// Fn count.
type IntY struct {
	Values []float32
	Codes  []uint8
	Grid   Grid  // Qmin is 0
	Act    Clip  // NoClip() for none
	Fn     *Func // nil, or what is applied to the numbers before they are rounded, in place of Act
}

// Part is part i of n equal parts.
func (x IntX) Part(i, n int) IntX {
	size := max(len(x.Codes), len(x.Values)) / n
	return x.at(i*size, size)
}

// Part is part i of n equal parts.
func (y IntY) Part(i, n int) IntY {
	size := max(len(y.Codes), len(y.Values)) / n
	return y.at(i*size, size)
}

// at is the result from element i on.
func (y IntY) at(i, n int) IntY {
	if y.Codes != nil {
		y.Codes = y.Codes[i:][:n]
	} else {
		y.Values = y.Values[i:][:n]
	}
	return y
}

// put clips and rounds values into the codes y; it is the portable end of a product
// that has codes as its result.
func (y IntY) put(values []float32) {
	if y.applies() {
		y.finish(y.Codes, values)
		return
	}
	lo, hi := y.Grid.limits()
	for i, v := range values {
		y.Codes[i] = uint8(int32(steps(y.Act.Apply(v), y.Grid.Scale, lo, hi)) + y.Grid.ZeroPoint)
	}
}

// intsExtent returns the least and the greatest of 0 and the codes.
func intsExtent(codes []int16) (lo, hi int16) {
	lo, hi, n := extentInts(codes)
	lo, hi = min(lo, 0), max(hi, 0)
	for _, v := range codes[n:] {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// MaxAbs returns the largest magnitude of the codes.
func MaxAbs(codes []int16) int {
	lo, hi := intsExtent(codes)
	return max(-int(lo), int(hi))
}

// MaxAbs returns the largest magnitude of x's centred codes.
func (x IntX) MaxAbs() int {
	if x.Codes == nil {
		buf := borrow[int16](len(x.Values))
		defer giveBack(buf)
		x.centred(*buf)
		return MaxAbs(*buf)
	}
	lo, hi := uint8(x.Grid.ZeroPoint), uint8(x.Grid.ZeroPoint)
	for _, v := range x.Codes {
		lo, hi = min(lo, v), max(hi, v)
	}
	return max(int(x.Grid.ZeroPoint)-int(lo), int(hi)-int(x.Grid.ZeroPoint))
}
