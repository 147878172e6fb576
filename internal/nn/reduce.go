package nn

import "slices"

// reducedStrides returns, for each axis of x, how far the output moves: 0 along
// the axes that are reduced.
func reducedStrides(o Reduce, x []int) []int {
	s, n := make([]int, len(x)), 1
	for i := len(x) - 1; i >= 0; i-- {
		if !slices.Contains(o.Axes, i) {
			s[i] = n
			n *= x[i]
		}
	}
	return s
}

func reduceForward[F Float](o Reduce, out, x Tensor[F]) {
	to := reducedStrides(o, x.Shape)
	if o.Fn == "max" {
		seen := make([]bool, len(out.Data))
		walk(x.Shape, to, to, func(at, ot, _, n, dt, _ int) {
			for i, v := range x.Data[at : at+n] {
				k := ot + i*dt
				if m := out.Data[k]; !seen[k] || v > m || v != v {
					out.Data[k], seen[k] = v, true
				}
			}
		})
		return
	}
	sums := make([]float64, len(out.Data))
	each := walk
	if rowsApart(x.Shape, to) {
		each = walkParallel
	}
	each(x.Shape, to, to, func(at, ot, _, n, dt, _ int) {
		if dt <= 1 {
			addRow(sums[ot:], x.Data[at:at+n], dt)
			return
		}
		for i, v := range x.Data[at : at+n] {
			sums[ot+i*dt] += float64(v)
		}
	})
	for i, s := range sums {
		out.Data[i] = F(s / o.divisor(len(x.Data), len(sums)))
	}
}

// rowsApart reports whether every row of the walk goes to an output of its own.
func rowsApart(shape, to []int) bool {
	_, s, _ := merge(shape, to, to)
	return len(s) > 1 && !slices.Contains(s[:len(s)-1], 0)
}

// divisor is the number of elements in an average and 1 for a sum.
func (o Reduce) divisor(in, out int) float64 {
	if o.Fn == "mean" {
		return float64(in / out)
	}
	return 1
}

func reduceBackward[F Float](o Reduce, dx, x, out, dout Tensor[F]) {
	from := reducedStrides(o, x.Shape)
	if o.Fn == "max" {
		clear(dx.Data)
		given := make([]bool, len(out.Data))
		walk(x.Shape, from, from, func(at, ot, _, n, dt, _ int) {
			for i, v := range x.Data[at : at+n] {
				k := ot + i*dt
				if m := out.Data[k]; !given[k] && (v == m || v != v && m != m) {
					dx.Data[at+i], given[k] = dout.Data[k], true
				}
			}
		})
		return
	}
	div := F(o.divisor(len(x.Data), len(out.Data)))
	walkParallel(x.Shape, from, from, func(at, ot, _, n, dt, _ int) {
		row := dx.Data[at : at+n]
		if dt == 0 {
			d := dout.Data[ot] / div
			for i := range row {
				row[i] = d
			}
			return
		}
		for i := range row {
			row[i] = dout.Data[ot+i*dt] / div
		}
	})
}
