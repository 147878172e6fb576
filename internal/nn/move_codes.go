package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// transposeCodes copies rows where the last axis stays, and transposes matrices of the axis
// that becomes the last one and the axis that was it.
func transposeCodes(o Transpose, threads int, out Tensor[uint8], in []Tensor[uint8]) {
	x := in[0]
	dims, from := joinAxes(o.Perm, x.Shape, strides(x.Shape))
	last := len(dims) - 1
	if from[last] == 1 {
		row, rows, apart := dims[last], 1, 0
		if last > 0 {
			last--
			rows, apart = dims[last], from[last]
		}
		eachPlace(threads, dims[:last], from[:last], rows*row, func(i, at int) {
			dst, src := out.Data[i*rows*row:][:rows*row], x.Data[at:]
			for r := range rows {
				copy(dst[r*row:][:row], src[r*apart:])
			}
		})
		return
	}
	across := slices.Index(from, 1) // the input's last axis
	to := 1                         // its stride in the output
	for _, d := range dims[across+1:] {
		to *= d
	}
	rows, cols, behind := dims[last], dims[across], to/dims[last]
	dims[across] = (cols-1)/transposeCols + 1 // each place is a part of a matrix
	from[across] = transposeCols
	eachPlace(threads, dims[:last], from[:last], rows*min(cols, transposeCols), func(i, at int) {
		before, part := i/behind/dims[across], i/behind%dims[across]
		col := part * transposeCols
		start := (before*cols+col)*to + i%behind*rows
		kern.TransposeCodes(out.Data[start:], to, x.Data[at:], from[last], rows, min(transposeCols, cols-col))
	})
}

// transposeCols is the number of columns of a matrix that one goroutine takes at a time.
const transposeCols = 256

// joinAxes returns the output's axes with their strides in the input, without those of
// size 1, and joins neighbours that stay neighbours. There is at least one axis.
func joinAxes(perm, shape, own []int) (dims, from []int) {
	for _, p := range perm {
		d, s := shape[p], own[p]
		last := len(dims) - 1
		switch {
		case d == 1:
		case last >= 0 && from[last] == s*d:
			dims[last], from[last] = dims[last]*d, s
		default:
			dims, from = append(dims, d), append(from, s)
		}
	}
	if len(dims) == 0 {
		return []int{1}, []int{1}
	}
	return dims, from
}

// eachPlace calls fn, in parallel, for every index of dims with its number and with the
// sum of its strides; a call moves so many bytes.
func eachPlace(threads int, dims, stride []int, bytes int, fn func(i, at int)) {
	par.ForN(threads, product(dims), max(1, codesGrain/max(1, bytes)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			at, rest := 0, i
			for d := len(dims) - 1; d >= 0; d-- {
				at, rest = at+rest%dims[d]*stride[d], rest/dims[d]
			}
			fn(i, at)
		}
	})
}
