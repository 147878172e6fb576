package nn

// What are the largest and the smallest elements along axes, and who gets their gradient?

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

func (r Reduce) extreme() bool { return r.Fn == "max" || r.Fn == "min" }

// extremeForward: to says how far the output moves along each axis of x. Rows of elements
// that are reduced are taken as one, and other rows go into the output one after the other.
func extremeForward[F Float](o Reduce, out, x Tensor[F], to []int) {
	smallest, start, join := false, F(math.Inf(-1)), kern.Max[F]
	if o.Fn == "min" {
		smallest, start, join = true, F(math.Inf(1)), kern.Min[F]
	}
	if n, c, inner, ok := channelwise(x.Shape, to); ok && n == 1 {
		par.For(c, max(1, elementGrain/inner), func(lo, hi int) {
			kern.RowExtreme(out.Data[lo:hi], x.Data[lo*inner:hi*inner], inner, smallest)
		})
		return
	}
	fill(out.Data, start)
	walkApart(x.Shape, to, to, to, func(at, ot, _, n, dt, _ int) {
		row := x.Data[at : at+n]
		if dt == 1 {
			join(out.Data[ot:ot+n], out.Data[ot:ot+n], row)
			return
		}
		var one [1]F
		kern.RowExtreme(one[:], row, n, smallest)
		join(out.Data[ot:ot+1], out.Data[ot:ot+1], one[:])
	})
	kern.AddOne(out.Data, out.Data, 0)
}

// extremeBackward gives the gradient of each extreme to the first element that is it.
func extremeBackward[F Float](dx, x, out, dout Tensor[F], from []int) {
	kept := kern.Scratch[F](len(dout.Data))
	defer kern.Return(kept)
	left := *kept
	copy(left, dout.Data)
	given := make([]bool, len(left))
	walkApart(x.Shape, from, from, from, func(at, ot, _, n, dt, _ int) {
		row, d := x.Data[at:at+n], dx.Data[at:at+n]
		if dt == 1 {
			kern.GiveOnce(d, left[ot:ot+n], row, out.Data[ot:ot+n])
			return
		}
		clear(d)
		if v := out.Data[ot]; !given[ot] {
			if i := kern.RowFind(row, v); row[i] == v || row[i] != row[i] {
				d[i], given[ot] = dout.Data[ot], true
			}
		}
	})
}
