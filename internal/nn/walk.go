package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/par"
)

// walk visits all elements of shape in row-major order while two other offsets
// move along with strides a and b (one per axis; 0 repeats). fn gets the flat
// index at of the first of n elements, the offsets of that element, and the
// strides da, db between the n elements. Axes that step alike are merged first,
// so n is as large as it can be.
func walk(shape, a, b []int, fn func(at, oa, ob, n, da, db int)) {
	dims, sa, sb := merge(shape, a, b)
	walkRows(dims, sa, sb, 0, product(dims[:len(dims)-1]), fn)
}

// walkParallel is walk with calls in any order and at the same time, for loops
// whose elements are independent.
func walkParallel(shape, a, b []int, fn func(at, oa, ob, n, da, db int)) {
	dims, sa, sb := merge(shape, a, b)
	if len(dims) == 1 {
		par.For(dims[0], elementGrain, func(lo, hi int) {
			fn(lo, lo*sa[0], lo*sb[0], hi-lo, sa[0], sb[0])
		})
		return
	}
	last := len(dims) - 1
	par.For(product(dims[:last]), max(1, elementGrain/dims[last]), func(lo, hi int) {
		walkRows(dims, sa, sb, lo, hi, fn)
	})
}

// walkApart is walk for loops that add up what belongs to the same element of a tensor
// with strides own: where its elements differ along the first axis, these go to several
// goroutines, and the order of each sum stays.
func walkApart(shape, a, b, own []int, fn func(at, oa, ob, n, da, db int)) {
	dims, sa, sb := merge(shape, a, b)
	// The first merged axis moves own as its first axis above 1 does.
	first := slices.IndexFunc(shape, func(d int) bool { return d > 1 })
	if last := len(dims) - 1; last > 0 && own[first] > 0 {
		rows := product(dims[1:last])
		par.For(dims[0], max(1, elementGrain/(rows*dims[last])), func(lo, hi int) {
			walkRows(dims, sa, sb, lo*rows, hi*rows, fn)
		})
		return
	}
	walkRows(dims, sa, sb, 0, product(dims[:len(dims)-1]), fn)
}

// walkRows visits rows [lo, hi) of the merged shape; a row runs along the last axis.
func walkRows(dims, sa, sb []int, lo, hi int, fn func(at, oa, ob, n, da, db int)) {
	last := len(dims) - 1
	n, da, db := dims[last], sa[last], sb[last]
	index, oa, ob := make([]int, last), 0, 0
	for i, rest := last-1, lo; i >= 0; i-- {
		index[i], rest = rest%dims[i], rest/dims[i]
		oa, ob = oa+index[i]*sa[i], ob+index[i]*sb[i]
	}
	for row := lo; row < hi; row++ {
		fn(row*n, oa, ob, n, da, db)
		for i := last - 1; i >= 0; i-- {
			oa, ob = oa+sa[i], ob+sb[i]
			if index[i]++; index[i] < dims[i] {
				break
			}
			oa, ob = oa-sa[i]*dims[i], ob-sb[i]*dims[i]
			index[i] = 0
		}
	}
}

// merge drops axes of size 1 and joins neighbours that one stride describes. The
// result has at least one axis.
func merge(shape, a, b []int) (dims, sa, sb []int) {
	n := len(shape)
	buf := make([]int, 3*n)
	dims, sa, sb = buf[:0:n], buf[n:n:2*n], buf[2*n:2*n]
	for i, d := range shape {
		if d == 1 {
			continue
		}
		if l := len(dims) - 1; l >= 0 && sa[l] == a[i]*d && sb[l] == b[i]*d {
			dims[l], sa[l], sb[l] = dims[l]*d, a[i], b[i]
			continue
		}
		dims, sa, sb = append(dims, d), append(sa, a[i]), append(sb, b[i])
	}
	if len(dims) == 0 {
		return []int{1}, []int{0}, []int{0}
	}
	return dims, sa, sb
}

// strides returns the row-major strides of a shape.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// broadcastStrides returns the strides of a shape seen from a larger one: 0 on
// axes that repeat.
func broadcastStrides(shape, out []int) []int {
	s := make([]int, len(out))
	own := strides(shape)
	for i, d := range shape {
		if d != 1 {
			s[len(out)-len(shape)+i] = own[i]
		}
	}
	return s
}
