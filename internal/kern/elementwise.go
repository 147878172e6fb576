package kern

// What do elementwise layers compute?

//go:generate go -C _gen run . -set elem -out ../elem_amd64.s -stubs ../elem_stubs_amd64.go

// Elementwise layers. All slices of a call have the same length, results may overwrite
// operands, and every operation is rounded once. They run in the caller's
// goroutine: callers cut long work into chunks of a few thousand elements.

// Add writes a + b.
func Add[F Float](dst, a, b []F) {
	dst, b = dst[:len(a)], b[:len(a)]
	for i := binaryFast(opAdd, dst, a, b); i < len(a); i++ {
		dst[i] = a[i] + b[i]
	}
}

// AddOne writes a + b for one b.
func AddOne[F Float](dst, a []F, b F) {
	dst = dst[:len(a)]
	for i := binaryOneFast(opAdd, dst, a, b); i < len(a); i++ {
		dst[i] = a[i] + b
	}
}

// Sub writes a - b.
func Sub[F Float](dst, a, b []F) {
	dst, b = dst[:len(a)], b[:len(a)]
	for i := binaryFast(opSub, dst, a, b); i < len(a); i++ {
		dst[i] = a[i] - b[i]
	}
}

// SubOne writes a - b for one b.
func SubOne[F Float](dst, a []F, b F) {
	dst = dst[:len(a)]
	for i := binaryOneFast(opSub, dst, a, b); i < len(a); i++ {
		dst[i] = a[i] - b
	}
}

// OneSub writes a - b for one a.
func OneSub[F Float](dst []F, a F, b []F) {
	dst = dst[:len(b)]
	for i := binaryOneFast(opOneSub, dst, b, a); i < len(b); i++ {
		dst[i] = a - b[i]
	}
}

// Mul writes a · b.
func Mul[F Float](dst, a, b []F) {
	dst, b = dst[:len(a)], b[:len(a)]
	for i := binaryFast(opMul, dst, a, b); i < len(a); i++ {
		dst[i] = a[i] * b[i]
	}
}

// MulOne writes a · b for one b.
func MulOne[F Float](dst, a []F, b F) {
	dst = dst[:len(a)]
	for i := binaryOneFast(opMul, dst, a, b); i < len(a); i++ {
		dst[i] = a[i] * b
	}
}

// elemOp is an operation that has assembly.
type elemOp int

const (
	opAdd elemOp = iota
	opSub
	opMul
	opDiv
	opMin
	opMax
	opOneSub // the single operand stands on the left
	opOneDiv // the same
)

// Activate writes min(max(x, lo), hi) with Go's min and max; NaN stays NaN.
func Activate[F Float](dst, x []F, lo, hi F) {
	dst = dst[:len(x)]
	for i := activateFast(dst, x, lo, hi); i < len(x); i++ {
		dst[i] = min(max(x[i], lo), hi)
	}
}

// ActivateBackward writes dy where x lies strictly inside (lo, hi), else 0. An infinite
// limit stops nothing but NaN, unless both are infinite.
//
// The loop picks from a table of two where a branch would be a coin toss: the signs of
// activations are not predictable, and a product with 0 would turn an infinite
// gradient into NaN.
func ActivateBackward[F Float](dx, x, dy []F, lo, hi F) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	anyLo, anyHi := lo < -F(maxFloat32) && lo-lo != 0, hi > F(maxFloat32) && hi-hi != 0
	for i := activateBackFast(dx, x, dy, lo, hi); i < len(x); i++ {
		v, above, below := x[i], 0, 0
		if v > lo || anyLo {
			above = 1
		}
		if v < hi || anyHi {
			below = 1
		}
		dx[i] = [2]F{0, dy[i]}[above&below]
	}
}

// Leaky writes x, times alpha where x < 0.
func Leaky[F Float](dst, x []F, alpha F) {
	dst = dst[:len(x)]
	for i := leakyFast(dst, x, alpha); i < len(x); i++ {
		v := x[i]
		if v < 0 {
			v *= alpha
		}
		dst[i] = v
	}
}

// LeakyBackward writes dy, times alpha unless x > 0.
func LeakyBackward[F Float](dx, x, dy []F, alpha F) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i := leakyBackFast(dx, x, dy, alpha); i < len(x); i++ {
		if x[i] > 0 {
			dx[i] = dy[i]
		} else {
			dx[i] = alpha * dy[i]
		}
	}
}
