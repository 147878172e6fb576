package kern

// How are numbers compared and chosen?

//go:generate go -C _gen run . -set choose -out ../choose_amd64.s -stubs ../choose_stubs_amd64.go

// A Relation is a comparison of two numbers. All but NotEqual are false where one is NaN.
type Relation int

const (
	Less Relation = iota
	LessEqual
	Equal
	NotEqual
	Greater
	GreaterEqual
)

// Swapped is the relation of b to a where r is that of a to b.
func (r Relation) Swapped() Relation {
	return [...]Relation{Greater, GreaterEqual, Equal, NotEqual, Less, LessEqual}[r]
}

func holds[F Float](r Relation, a, b F) bool {
	switch r {
	case Less:
		return a < b
	case LessEqual:
		return a <= b
	case Equal:
		return a == b
	case NotEqual:
		return a != b
	case Greater:
		return a > b
	}
	return a >= b
}

// truth is 1 for true, 0 for false.
func truth[F Float](is bool) F {
	if is {
		return 1
	}
	return 0
}

// Compare writes 1 where the relation of a to b holds, else 0. dst may be a or b.
func Compare[F Float](r Relation, dst, a, b []F) {
	if r >= Greater {
		r, a, b = r.Swapped(), b, a
	}
	dst, b = dst[:len(a)], b[:len(a)]
	for i := compareFast(r, dst, a, b); i < len(a); i++ {
		dst[i] = truth[F](holds(r, a[i], b[i]))
	}
}

// CompareOne is Compare for one b.
func CompareOne[F Float](r Relation, dst, a []F, b F) {
	dst = dst[:len(a)]
	for i := compareOneFast(r, dst, a, b); i < len(a); i++ {
		dst[i] = truth[F](holds(r, a[i], b))
	}
}

// Select writes a where cond is not 0 (NaN is not), else b. a and b move by their steps, 0
// for one number or 1, and have room for that; cond has one element for each of dst, which
// may be any of them that moves.
func Select[F Float](dst, cond, a []F, da int, b []F, db int) {
	cond = cond[:len(dst)]
	for i := selectFast(dst, cond, a, da, b, db); i < len(dst); i++ {
		if cond[i] != 0 {
			dst[i] = a[i*da]
		} else {
			dst[i] = b[i*db]
		}
	}
}

// MinOne writes Go's min of a and one b: NaN wins, and -0 is below +0.
func MinOne[F Float](dst, a []F, b F) {
	dst = dst[:len(a)]
	for i := binaryOneFast(opMin, dst, a, b); i < len(a); i++ {
		dst[i] = min(a[i], b)
	}
}

// MaxOne writes Go's max of a and one b.
func MaxOne[F Float](dst, a []F, b F) {
	dst = dst[:len(a)]
	for i := binaryOneFast(opMax, dst, a, b); i < len(a); i++ {
		dst[i] = max(a[i], b)
	}
}

// RowExtreme writes the largest element of each row of n, or the smallest, into out: NaN
// where there is one, and +0 for any zero.
func RowExtreme[F Float](out, x []F, n int, smallest bool) {
	if rowExtremeFast(out, x, n, smallest) {
		return
	}
	for r := range len(x) / n {
		top := x[r*n]
		for _, v := range x[r*n+1:][:n-1] {
			if smallest {
				top = min(top, v)
			} else {
				top = max(top, v)
			}
		}
		out[r] = top + 0
	}
}

// RowFind returns the first index of v in a row that has it; of a NaN that of the first NaN.
func RowFind[F Float](row []F, v F) int {
	for i := rowFindFast(row, v); i < len(row); i++ {
		if row[i] == v || row[i] != row[i] {
			return i
		}
	}
	return 0
}

// GiveOnce writes into dx what is left of a gradient where x is top or NaN, else 0, and takes
// it off left there: over several rows the first element that is top gets all of it.
func GiveOnce[F Float](dx, left, x, top []F) {
	left, x, top = left[:len(dx)], x[:len(dx)], top[:len(dx)]
	for i := giveOnceFast(dx, left, x, top); i < len(dx); i++ {
		if x[i] == top[i] || x[i] != x[i] {
			dx[i], left[i] = left[i], 0
		} else {
			dx[i] = 0
		}
	}
}
