package kern

// Roots, inverses and their gradients in float32, see fn_single.go. Of an infinite derivative
// with a dy of 0, as at the square root's 0, the gradient is 0.

import "math"

// rootOf is √x, rounded exactly.
func rootOf(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// unlessZero is d+0, never -0, or d+1 where dy is 0: what dy is divided by.
func unlessZero(d, dy float32) float32 {
	var one float32
	if dy == 0 {
		one = 1
	}
	return d + one
}

// rootSlope is dy/(2·√x), of the root rounded to float32.
func rootSlope(x, dy float32) float32 {
	s := rootOf(x)
	return dy / unlessZero(s+s, dy)
}

// invRootOf is 1/√x, of the root rounded to float32.
func invRootOf(x float32) float32 { return 1 / rootOf(x) }

// invRootSlope is -dy/2·x^-1.5, which is r·r² with what rounding took from r, of 1 = x·r², and from
// the square. Below singleInvRootLeast it is infinite.
func invRootSlope(x, dy float32) float32 {
	s := -limitSingle(-rootOf(x), -singleInvRootLow)
	r := 1 / unlessZero(s, dy)
	x = limitSingle(-limitSingle(-x, -singleInvRootLeast), math.MaxFloat32)
	h := float32(x * r)
	e := fuse(-fuse(x, r, -h), r, fuse(-h, r, 1))
	c := float32(r * r)
	rest := fuse(c, float32(e*singleOneHalf), fuse(r, r, -c))
	r *= singleMinusHalf
	return dy * fuse(r, c, float32(r*rest))
}

// invOf is 1/x, rounded exactly, and invSlope -dy/x².
func invOf(x float32) float32        { return 1 / x }
func invSlope(x, dy float32) float32 { return float32(-dy/x) / x }
