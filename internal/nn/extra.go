package nn

import (
	"math"
	"slices"

	"github.com/goqat/goqat/internal/par"
)

func padShape(o Pad, x []int) ([]int, error) {
	if len(o.Before) != len(x) {
		return nil, shapeErr(o, "%d axes are padded, input has shape %v", len(o.Before), x)
	}
	out := slices.Clone(x)
	for i := range out {
		out[i] += o.Before[i] + o.After[i]
	}
	return out, nil
}

// padWalk calls fn for each row of x along its last axis: its place in x and in the
// padded tensor, and its length.
func padWalk(o Pad, x, out []int, fn func(in, at, n int)) {
	to := strides(out)
	start := 0
	for i, b := range o.Before {
		start += b * to[i]
	}
	walk(x, to, to, func(at, ot, _, n, step, _ int) {
		if step <= 1 {
			fn(at, start+ot, n)
			return
		}
		for i := range n {
			fn(at+i, start+ot+i*step, 1)
		}
	})
}

func padForward[F Float](o Pad, out, x Tensor[F]) {
	for i := range out.Data {
		out.Data[i] = F(o.Value)
	}
	padWalk(o, x.Shape, out.Shape, func(in, at, n int) { copy(out.Data[at:at+n], x.Data[in:]) })
}

func padBackward[F Float](o Pad, dx, dout Tensor[F]) {
	padWalk(o, dx.Shape, dout.Shape, func(in, at, n int) { copy(dx.Data[in:in+n], dout.Data[at:]) })
}

// lrnWindow is the range of channels that channel c is normalised with.
func lrnWindow(o LRN, c, channels int) (lo, hi int) {
	return max(0, c-(o.Size-1)/2), min(channels-1, c+min(o.Size/2, channels)) + 1
}

// lrnSums calls fn for every position of every image with its channels' values and
// the sums s[c] = Bias + Alpha/Size·Σ x², all in float64. at is the index of channel
// 0, step the distance between channels.
func lrnSums[F Float](o LRN, x Tensor[F], fn func(at, step int, v, s []float64)) {
	channels, inner := x.Shape[1], product(x.Shape[2:])
	par.For(x.Shape[0]*inner, max(1, elementGrain/8/channels), func(from, to int) {
		v, s := make([]float64, channels), make([]float64, channels)
		for u := from; u < to; u++ {
			at := u/inner*channels*inner + u%inner
			for c := range v {
				v[c] = float64(x.Data[at+c*inner])
			}
			for c := range s {
				var sum float64
				lo, hi := lrnWindow(o, c, channels)
				for _, w := range v[lo:hi] {
					sum += float64(w * w)
				}
				s[c] = o.Bias + float64(o.Alpha/float64(o.Size)*sum)
			}
			fn(at, inner, v, s)
		}
	})
}

func lrnForward[F Float](o LRN, out, x Tensor[F]) {
	lrnSums(o, x, func(at, step int, v, s []float64) {
		for c := range v {
			out.Data[at+c*step] = F(v[c] * math.Pow(s[c], -o.Beta))
		}
	})
}

// lrnBackward: dx_j = dy_j·s_j^-β - 2αβ/size·x_j·Σ_c dy_c·x_c·s_c^(-β-1), over the
// channels c whose windows hold j.
func lrnBackward[F Float](o LRN, dx, x, dy Tensor[F]) {
	channels := x.Shape[1]
	lrnSums(o, x, func(at, step int, v, s []float64) {
		sums := make([]float64, channels)
		for c := range v {
			d := float64(dy.Data[at+c*step]) * v[c] * math.Pow(s[c], -o.Beta-1)
			lo, hi := lrnWindow(o, c, channels)
			for j := lo; j < hi; j++ {
				sums[j] += d
			}
		}
		k := 2 * o.Alpha * o.Beta / float64(o.Size)
		for j := range v {
			direct := float64(dy.Data[at+j*step]) * math.Pow(s[j], -o.Beta)
			dx.Data[at+j*step] = F(direct - float64(k*v[j]*sums[j]))
		}
	})
}

// indicesOf checks the indices of a Gather and counts negative ones from the end.
func indicesOf[F Float](o Gather, indices Tensor[F], n int) ([]int, error) {
	out := make([]int, len(indices.Data))
	for i, v := range indices.Data {
		k := float64(v)
		if k != math.Trunc(k) || k < float64(-n) || k >= float64(n) { // also NaN
			return nil, shapeErr(o, "index %d is %v, want a whole number from %d to %d", i, v, -n, n-1)
		}
		if out[i] = int(k); out[i] < 0 {
			out[i] += n
		}
	}
	return out, nil
}

// gatherRows calls fn for each copied run: its place in the output and in the table.
func gatherRows[F Float](o Gather, table, indices Tensor[F], fn func(at, from, n int)) error {
	n := table.Shape[o.Axis]
	rows, err := indicesOf(o, indices, n)
	if err != nil {
		return err
	}
	outer, inner := spans(table.Shape, o.Axis)
	at := 0
	for i := range outer {
		for _, r := range rows {
			fn(at, (i*n+r)*inner, inner)
			at += inner
		}
	}
	return nil
}

func gatherForward[F Float](o Gather, out, table, indices Tensor[F]) error {
	return gatherRows(o, table, indices, func(at, from, n int) { copy(out.Data[at:at+n], table.Data[from:]) })
}

// gatherBackward adds up the gradients of rows that were taken several times, in
// float64 and in the order of the output.
func gatherBackward[F Float](o Gather, grads, in []Tensor[F], dout Tensor[F]) error {
	sums := make([]float64, len(in[0].Data))
	err := gatherRows(o, in[0], in[1], func(at, from, n int) {
		if grads[0].Data != nil {
			addRow(sums[from:], dout.Data[at:at+n], 1)
		}
	})
	if err != nil {
		return err
	}
	for i := range grads[0].Data {
		grads[0].Data[i] = F(sums[i])
	}
	clear(grads[1].Data)
	return nil
}
