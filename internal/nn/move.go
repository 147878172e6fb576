package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// Layers that only move elements: each gradient is the move back.

func permuted(o Transpose, x []int) []int {
	own, s := strides(x), make([]int, len(x))
	for i, p := range o.Perm {
		s[i] = own[p]
	}
	return s
}

func transposeForward[F Float](o Transpose, out, x Tensor[F]) {
	permute(out.Data, x.Data, out.Shape, permuted(o, x.Shape))
}

func transposeBackward[F Float](o Transpose, dx, dout Tensor[F]) {
	own, from := strides(dout.Shape), make([]int, len(o.Perm))
	for i, p := range o.Perm {
		from[p] = own[i]
	}
	permute(dx.Data, dout.Data, dx.Shape, from)
}

// permute fills dst, of the given shape, from x, where one step along axis i is from[i]
// elements. Runs that stay together are copied; else blocks of two axes are transposed:
// the last one of dst and the last one of x.
func permute[F Float](dst, x []F, shape, from []int) {
	dims, s, _ := merge(shape, from, from)
	last := len(dims) - 1
	if s[last] <= 1 {
		walkParallel(shape, from, from, func(at, ox, _, n, _, _ int) { copy(dst[at:at+n], x[ox:]) })
		return
	}
	j, to := slices.Index(s, 1), strides(dims)
	rows, cols := dims[last], dims[j]
	parts := (cols-1)/permuteBlock + 1
	dims[j], dims[last] = 1, 1 // what is left are the blocks' places
	par.For(product(dims)*parts, max(1, elementGrain/(rows*min(cols, permuteBlock))), func(lo, hi int) {
		for u := lo; u < hi; u++ {
			c, at, ox := u%parts*permuteBlock, 0, 0
			for i, rest := last, u/parts; i >= 0; i-- {
				at, ox, rest = at+rest%dims[i]*to[i], ox+rest%dims[i]*s[i], rest/dims[i]
			}
			kern.Transpose(dst[at+c*to[j]:], to[j], x[ox+c:], s[last], rows, min(cols-c, permuteBlock))
		}
	})
}

// permuteBlock is the number of columns of a matrix that are transposed in one goroutine.
const permuteBlock = 128

// spans returns the number of elements before an axis and behind it.
func spans(shape []int, axis int) (outer, inner int) {
	return product(shape[:axis]), product(shape[axis+1:])
}

func concatForward[F Float](o Concat, out Tensor[F], in []Tensor[F]) {
	outer, inner := spans(out.Shape, o.Axis)
	row, at := out.Shape[o.Axis]*inner, 0
	for _, t := range in {
		n := t.Shape[o.Axis] * inner
		par.For(outer, max(1, elementGrain/n), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				copy(out.Data[i*row+at:][:n], t.Data[i*n:])
			}
		})
		at += n
	}
}

func concatBackward[F Float](o Concat, grads, in []Tensor[F], dout Tensor[F]) {
	outer, inner := spans(dout.Shape, o.Axis)
	row, at := dout.Shape[o.Axis]*inner, 0
	for j, t := range in {
		n := t.Shape[o.Axis] * inner
		if to := grads[j].Data; to != nil {
			par.For(outer, max(1, elementGrain/n), func(lo, hi int) {
				for i := lo; i < hi; i++ {
					copy(to[i*n:][:n], dout.Data[i*row+at:])
				}
			})
		}
		at += n
	}
}

// sliceRows calls fn for each run of elements that a slice keeps: at in the output
// and from in the input, n of them.
func sliceRows(o Slice, x []int, fn func(at, from, n int)) {
	outer, inner := spans(x, o.Axis)
	at := 0
	for i := range outer {
		if o.Step == 1 {
			n := (o.End - o.Start) * inner
			fn(at, (i*x[o.Axis]+o.Start)*inner, n)
			at += n
			continue
		}
		// Counting the elements keeps j from overflowing with a huge step.
		j := o.Start
		for range (o.End-o.Start-1)/o.Step + 1 {
			fn(at, (i*x[o.Axis]+j)*inner, inner)
			at, j = at+inner, j+o.Step
		}
	}
}

func sliceForward[F Float](o Slice, out, x Tensor[F]) {
	sliceRows(o, x.Shape, func(at, from, n int) { copy(out.Data[at:at+n], x.Data[from:]) })
}

func sliceBackward[F Float](o Slice, dx, x, dout Tensor[F]) {
	clear(dx.Data)
	sliceRows(o, x.Shape, func(at, from, n int) { copy(dx.Data[from:from+n], dout.Data[at:]) })
}
