package kern

// SiLU and its gradient in float32, see fn_single.go.

// lowerHalf is m = 1/(1+exp(v)), times 2^64, for exp(v) = (1+s)·scale·2^64, and what sum and
// division lost: m is m·(1+lost).
func lowerHalf(s, scale float32) (m, lost float32) {
	d := fuse(s, scale, scale+singleDown)
	rest := fuse(s, scale, singleDown+(scale-d))
	m = 1 / d
	return m, fuse(-rest, m, fuse(-d, m, 1))
}

// siluParts returns t = |x|, up to where SiLU is 0 or x, and the m of lowerHalf at t.
func siluParts(x float32) (t, m, lost float32) {
	t = limitSingle(absSingle(x), singleExpMax)
	m, lost = lowerHalf(growSingle(t))
	return t, m, lost
}

// siluOf is max(x, 0) - t·m.
func siluOf(x float32) float32 {
	t, m, lost := siluParts(x)
	w := fuse(t, m, float32(t*float32(m*lost)))
	return fuse(-w, singleDown, positive(x))
}

// siluSlope is m·(1-t·(1-m)) or 1 less that.
func siluSlope(x float32) float32 {
	t, m, lost := siluParts(x)
	z := fuse(t, float32(m*singleDown), 1-t)
	return upperSingle(fuse(m, z, float32(m*float32(lost*z)))*singleDown, x)
}
