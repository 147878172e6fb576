package nn

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// Gather looks up rows of a table: an embedding. Inputs: the table, and indices of
// any shape, whole numbers from -n to n-1 stored as floats, where n is the length of
// the table's Axis and negative ones count from the end. The indices' shape takes the
// place of that axis. Indices get a gradient of zeros.
type Gather struct {
	Axis int `json:"axis"`
}

func (Gather) Kind() string { return "gather" }

func init() {
	register(family[Gather]{
		kinds: []string{"gather"}, inputs: [2]int{2, 2},
		check: func(o Gather) error { return checkNotNegative(o, "axis", o.Axis) },
		shape: func(o Gather, in [][]int) ([]int, error) {
			if err := checkAxis(o, o.Axis, in[0]); err != nil {
				return nil, err
			}
			return slices.Concat(in[0][:o.Axis], in[1], in[0][o.Axis+1:]), nil
		},
		batch: gatherBatch,
		f32:   passes[Gather, float32]{gatherForward[float32], gatherBackward[float32]},
		f64:   passes[Gather, float64]{gatherForward[float64], gatherBackward[float64]},
	})
}

// gatherBatch: the indices' axes take the place of the table's axis.
func gatherBatch(o Gather, g *Growth) (int, error) {
	table, indices := g.In[0], g.In[1]
	g.Want[1] = indices.Axis
	switch {
	case table.Axis == NoAxis:
		return o.Axis + indices.Axis, nil
	case indices.Axis != NoAxis:
		return 0, fmt.Errorf("both the table %s and the indices %s grow with the batch", table.Name, indices.Name)
	case table.Axis == o.Axis:
		return 0, fmt.Errorf("it looks up rows of the batch axis of %s", table.Name)
	case table.Axis > o.Axis:
		return table.Axis + len(indices.Shape) - 1, nil
	}
	return table.Axis, nil
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

func gatherForward[F Float](o Gather, out Tensor[F], in []Tensor[F]) error {
	return gatherRows(o, in[0], in[1], func(at, from, n int) { copy(out.Data[at:at+n], in[0].Data[from:]) })
}

// gatherBackward adds up the gradients of rows that were taken several times, in
// float64 and in the order of the output.
func gatherBackward[F Float](o Gather, grads, in []Tensor[F], _, dout Tensor[F]) error {
	kept := kern.Scratch[float64](len(in[0].Data))
	defer kern.Return(kept)
	sums := *kept
	clear(sums)
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
