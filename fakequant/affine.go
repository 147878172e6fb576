package fakequant

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// Code is the storage of a code: int8 or uint8 as the spec is signed or not, or
// a wider integer that holds both.
type Code interface {
	~int8 | ~uint8 | ~int16 | ~int32
}

// Quantize writes clamp(rne(x/scale) + zero_point, quant_min, quant_max) of
// every element into dst. x is row-major with the layout's shape;
// len(dst) == len(x) == l.Len(). NaN becomes quant_min, infinities saturate.
// The caller owns all slices. A C that cannot hold all codes, such as int8 for an
// unsigned 8-bit spec, is an error. Errors wrap ErrParams.
func Quantize[C Code](dst []C, x []float32, l Layout, s Spec, p Params) error {
	if err := check(len(dst), len(x), l, s, p); err != nil {
		return err
	}
	if err := checkCode[C](s); err != nil {
		return err
	}
	eachGrid(l, s, p, func(lo, hi int, g kern.Grid) { kern.Quantize(dst[lo:hi], x[lo:hi], g) })
	return nil
}

// Dequantize writes (q - zero_point) * scale of every code into dst.
// len(dst) == len(q) == l.Len(). Errors wrap ErrParams.
func Dequantize[C Code](dst []float32, q []C, l Layout, s Spec, p Params) error {
	if err := check(len(dst), len(q), l, s, p); err != nil {
		return err
	}
	if err := checkCode[C](s); err != nil {
		return err
	}
	eachGrid(l, s, p, func(lo, hi int, g kern.Grid) { kern.Dequantize(dst[lo:hi], q[lo:hi], g) })
	return nil
}

// FakeQuantize writes Dequantize(Quantize(x)) into dst; dst may be x.
// len(dst) == len(x) == l.Len(). Errors wrap ErrParams.
func FakeQuantize(dst, x []float32, l Layout, s Spec, p Params) error {
	if err := check(len(dst), len(x), l, s, p); err != nil {
		return err
	}
	if l.columns() {
		eachRow(l, s, p, func(lo, hi int, r kern.GridRow, from int) {
			kern.FakeQuantizeRow(dst[lo:hi], x[lo:hi], r, from)
		})
		return nil
	}
	eachGrid(l, s, p, func(lo, hi int, g kern.Grid) { kern.FakeQuantize(dst[lo:hi], x[lo:hi], g) })
	return nil
}

// STE writes the straight-through gradient of FakeQuantize into dx: dy where
// quant_min <= rne(x/scale) + zero_point <= quant_max, else 0 (Bengio et al.
// 2013, with the clipping mask of Jacob et al. 2018). dx may be dy; all have
// length l.Len(). Errors wrap ErrParams.
func STE(dx, x, dy []float32, l Layout, s Spec, p Params) error {
	if err := check(len(dx), len(x), l, s, p); err != nil {
		return err
	}
	if len(dy) != len(x) {
		return fmt.Errorf("%w: gradient has %d elements, want %d", ErrParams, len(dy), len(x))
	}
	if l.columns() {
		eachRow(l, s, p, func(lo, hi int, r kern.GridRow, from int) {
			kern.STERow(dx[lo:hi], x[lo:hi], dy[lo:hi], r, from)
		})
		return nil
	}
	eachGrid(l, s, p, func(lo, hi int, g kern.Grid) { kern.STE(dx[lo:hi], x[lo:hi], dy[lo:hi], g) })
	return nil
}

// Centred writes q - zero_point of every element of x into dst, the operand of
// an integer product. Lengths as in Quantize. Errors wrap ErrParams.
func Centred(dst []int16, x []float32, l Layout, s Spec, p Params) error {
	if err := check(len(dst), len(x), l, s, p); err != nil {
		return err
	}
	if l.columns() {
		eachRow(l, s, p, func(lo, hi int, r kern.GridRow, from int) { kern.QuantizeRow(dst[lo:hi], x[lo:hi], r, from) })
		return nil
	}
	eachGrid(l, s, p, func(lo, hi int, g kern.Grid) { kern.QuantizeCentred(dst[lo:hi], x[lo:hi], g) })
	return nil
}

// CentredBytes is [Centred] in pieces, for codes of a byte: part writes those of elements
// [lo, hi), and may be called from several goroutines. maxAbs is the largest magnitude
// that the codes can have. part is nil where a code might not fit.
func CentredBytes(x []float32, l Layout, s Spec, p Params) (part func(dst []int8, lo, hi int), maxAbs int, err error) {
	if err := check(l.Len(), len(x), l, s, p); err != nil {
		return nil, 0, err
	}
	qmin, qmax := s.QRange()
	lowest, highest := slices.Min(p.ZeroPoint), slices.Max(p.ZeroPoint)
	if qmin-highest < math.MinInt8 || qmax-lowest > math.MaxInt8 {
		return nil, 0, nil
	}
	maxAbs = int(max(highest-qmin, qmax-lowest))
	if l.columns() {
		grids := kern.NewGridRow(l.groups, func(i int) kern.Grid { return p.grid(s, i) })
		return func(dst []int8, lo, hi int) {
			for at := lo; at < hi; {
				row, c := at/l.dim, at%l.dim
				end := min(at+l.dim-c, hi)
				kern.QuantizeRow(dst[at-lo:end-lo], x[at:end], grids, l.rowGroup(row)+c)
				at = end
			}
		}, maxAbs, nil
	}
	part = func(dst []int8, lo, hi int) {
		for at := lo; at < hi; {
			_, end, group := l.unit(l.unitOf(at))
			end = min(end, hi)
			zero := p.ZeroPoint[group]
			g := kern.Grid{Scale: p.Scale[group], Qmin: qmin - zero, Qmax: qmax - zero}
			kern.Quantize(dst[at-lo:end-lo], x[at:end], g)
			at = end
		}
	}
	return part, maxAbs, nil
}

// CentredAll has part, which [CentredBytes] made for a tensor of the layout, write all
// codes, l.Len() of them, in parallel.
func CentredAll(dst []int8, l Layout, part func(dst []int8, lo, hi int)) {
	par.For((l.n+unitGrain-1)/unitGrain, 1, func(from, to int) {
		lo, hi := from*unitGrain, min(to*unitGrain, l.n)
		part(dst[lo:hi], lo, hi)
	})
}

// eachGrid calls fn for stretches of elements with one grid, in parallel.
func eachGrid(l Layout, s Spec, p Params, fn func(lo, hi int, g kern.Grid)) {
	qmin, qmax := s.QRange()
	par.For(l.units(), max(1, unitGrain/(l.size*l.inner)), func(from, to int) {
		for u := from; u < to; u++ {
			lo, hi, group := l.unit(u)
			fn(lo, hi, kern.Grid{Scale: p.Scale[group], ZeroPoint: p.ZeroPoint[group], Qmin: qmin, Qmax: qmax})
		}
	})
}

// eachRow calls fn, in parallel, for stretches of a layout with columns: the grid of
// element lo is number from of the row of all grids.
func eachRow(l Layout, s Spec, p Params, fn func(lo, hi int, r kern.GridRow, from int)) {
	grids := kern.NewGridRow(l.groups, func(i int) kern.Grid { return p.grid(s, i) })
	par.For(l.rows(), max(1, unitGrain/l.dim), func(from, to int) {
		for row := from; row < to; row++ {
			group := l.rowGroup(row)
			for c := 0; c < l.dim; c += unitGrain {
				n := min(unitGrain, l.dim-c)
				fn(row*l.dim+c, row*l.dim+c+n, grids, group+c)
			}
		}
	})
}

// GroupMinMax writes the smallest and largest finite value of each group of x
// into lo and hi, both of length l.Groups(). A NaN is an error, and so is a
// group without a finite value; both wrap ErrData.
func GroupMinMax(lo, hi, x []float32, l Layout) error {
	_, err := groupRanges(lo, hi, make([]int, len(lo)), x, l)
	return err
}

// groupRanges is GroupMinMax and counts the finite values, also those of each group.
func groupRanges(lo, hi []float32, count []int, x []float32, l Layout) (finite int, err error) {
	if l.Len() == 0 {
		return 0, fmt.Errorf("%w: tensor is empty", ErrData)
	}
	if len(x) != l.Len() || len(lo) != l.Groups() || len(hi) != l.Groups() {
		return 0, fmt.Errorf("%w: %d elements in %d groups, want %d in %d", ErrData, len(x), len(lo), l.Len(), l.Groups())
	}
	r := newRanges(lo, hi, count)
	if l.columns() {
		r.columns(x, l)
	} else {
		r.units(x, l)
	}
	if r.nan {
		at := slices.IndexFunc(x, func(v float32) bool { return v != v })
		return 0, fmt.Errorf("%w: element %d is NaN", ErrData, at)
	}
	for g, c := range r.count {
		if c == 0 {
			return 0, fmt.Errorf("%w: group %d of %d holds no finite value", ErrData, g, len(r.count))
		}
		finite += c
	}
	return finite, nil
}

// checkCode reports whether C holds every code of the spec.
func checkCode[C Code](s Spec) error {
	qmin, qmax := s.QRange()
	if int32(C(qmin)) != qmin || int32(C(qmax)) != qmax {
		return fmt.Errorf("%w: %T cannot hold the %s codes %d..%d", ErrParams, C(0), s.DType(), qmin, qmax)
	}
	return nil
}

func check(nd, nx int, l Layout, s Spec, p Params) error {
	if nd != l.Len() || nx != l.Len() {
		return fmt.Errorf("%w: %d results for %d elements of shape %v", ErrParams, nd, nx, l.Shape())
	}
	return p.Check(s, l.Groups())
}
