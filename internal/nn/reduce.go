package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// Reduce sums, averages or takes the maximum or the minimum over Axes (sorted, distinct) and
// drops them. All axes reduced leaves a scalar. An extreme is NaN where there is one, and +0
// for a zero of any sign; the first element that is it gets its gradient.
type Reduce struct {
	Fn   string `json:"fn"` // sum mean max min
	Axes []int  `json:"axes"`
}

func (r Reduce) Kind() string { return "reduce_" + r.Fn }

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
	if o.extreme() {
		extremeForward(o, out, x, to)
		return
	}
	kept := kern.Scratch[float64](len(out.Data))
	defer kern.Return(kept)
	sums := *kept
	sumKept(sums, x.Data, x.Shape, to)
	kern.RoundSums(out.Data, sums, o.divisor(len(x.Data), len(sums)))
}

// sumKept writes the sums of the elements of x, of the given shape, that belong to the same
// element of a smaller tensor: to says how far that moves along each axis.
func sumKept[F Float](sums []float64, x []F, shape, to []int) {
	if n, c, inner, ok := channelwise(shape, to); ok {
		kern.ChannelSum(sums, x, n, c, inner)
		return
	}
	clear(sums)
	walkApart(shape, to, to, to, func(at, ot, _, n, dt, _ int) { addRow(sums[ot:], x[at:at+n], dt) })
}

// addRow adds a row to sums that move by step, 0 or 1 where rows are long. With step 0 the
// row is added up first, in lanes.
func addRow[F Float](sums []float64, row []F, step int) {
	switch step {
	case 0:
		sums[0] += kern.LaneSum(row)
	case 1:
		kern.AddTo64(sums[:len(row)], row)
	default:
		for i, v := range row {
			sums[i*step] += float64(v)
		}
	}
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
	if o.extreme() {
		extremeBackward(dx, x, out, dout, from)
		return
	}
	div := F(o.divisor(len(x.Data), len(out.Data)))
	walkParallel(x.Shape, from, from, func(at, ot, _, n, dt, _ int) {
		row := dx.Data[at : at+n]
		switch dt {
		case 0:
			fill(row, dout.Data[ot]/div)
		case 1:
			kern.DivOne(row, dout.Data[ot:][:n], div)
		default:
			for i := range row {
				row[i] = dout.Data[ot+i*dt] / div
			}
		}
	})
}

// fill writes v to all elements of row.
func fill[F Float](row []F, v F) {
	head := row[:min(len(row), 16)]
	for i := range head {
		head[i] = v
	}
	for n := len(head); n < len(row); n *= 2 {
		copy(row[n:], row[:n])
	}
}

func checkReduce(o Reduce) error {
	if o.Fn != "sum" && o.Fn != "mean" && !o.extreme() {
		return settingsErr(o, "unknown function %q, want sum, mean, max or min", o.Fn)
	}
	if len(o.Axes) == 0 {
		return settingsErr(o, "no axes: name every axis to reduce")
	}
	for i, a := range o.Axes {
		if a < 0 || i > 0 && a <= o.Axes[i-1] {
			return settingsErr(o, "axes %v must be at least 0, sorted and distinct", o.Axes)
		}
	}
	return nil
}

func reduceShape(o Reduce, x []int) ([]int, error) {
	if err := checkAxis(o, o.Axes[len(o.Axes)-1], x); err != nil {
		return nil, err
	}
	out := []int{}
	for i, d := range x {
		if !slices.Contains(o.Axes, i) {
			out = append(out, d)
		}
	}
	return out, nil
}

func init() {
	register(family[Reduce]{
		kinds: []string{"reduce_sum", "reduce_mean", "reduce_max", "reduce_min"}, inputs: [2]int{1, 1},
		check: checkReduce,
		shape: func(o Reduce, in [][]int) ([]int, error) { return reduceShape(o, in[0]) },
		traits: func(o Reduce) Traits {
			linear := !o.extreme()
			return Traits{KeepsNonNegative: true, IgnoresInputs: linear, IgnoresOutput: linear}
		},
		batch: func(o Reduce, g *Growth) (int, error) { return axisBehind(o.Axes, g.In[0].Axis), nil },
		f32:   reducePasses[float32](), f64: reducePasses[float64](),
	})
}

func reducePasses[F Float]() passes[Reduce, F] {
	return passes[Reduce, F]{
		forward: func(o Reduce, out Tensor[F], in []Tensor[F]) error {
			reduceForward(o, out, in[0])
			return nil
		},
		backward: func(o Reduce, grads, in []Tensor[F], out, dout Tensor[F]) error {
			reduceBackward(o, grads[0], in[0], out, dout)
			return nil
		},
	}
}

// axisBehind is where axis a lands when axes are dropped. A reduced batch axis is gone:
// a cost, usually.
func axisBehind(axes []int, a int) int {
	out := a
	for _, r := range axes {
		switch {
		case r == a:
			return NoAxis
		case r < a:
			out--
		}
	}
	return out
}
