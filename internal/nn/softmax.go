package nn

import (
	"errors"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// Softmax is exp(s)/sum(exp(s)) along Axis, or its logarithm, computed with the maximum taken
// off first, of s = x·Scale + mask. The mask is a second input, which broadcasts to x as
// NumPy's do: attention adds large negative numbers or -Inf to scores that do not count. It is
// no operand of arithmetic on codes, and masked scores set no range.
type Softmax struct {
	Axis  int     `json:"axis"`
	Log   bool    `json:"log,omitempty"`
	Scale float64 `json:"scale,omitempty"` // finite; 0 is 1
}

func (s Softmax) Kind() string {
	if s.Log {
		return "log_softmax"
	}
	return "softmax"
}

func init() {
	register(family[Softmax]{
		kinds: []string{"softmax", "log_softmax"}, inputs: [2]int{1, 2},
		check: func(o Softmax) error {
			if math.IsNaN(o.Scale) || math.IsInf(o.Scale, 0) {
				return settingsErr(o, "scale is %v, want a finite number", o.Scale)
			}
			return checkNotNegative(o, "axis", o.Axis)
		},
		shape: softmaxShape,
		traits: func(o Softmax) Traits {
			if o.Log {
				return Traits{Infinite: true, IgnoresInputs: true}
			}
			return Traits{Infinite: true, Quantized: true, FirstOnly: true, NonNegative: true, Fixed: Interval{0, 1}, Probability: true, IgnoresInputs: true}
		},
		batch: func(o Softmax, g *Growth) (int, error) {
			at, err := binaryBatch(Binary{}, g)
			if err == nil && o.Axis == at {
				err = errors.New("it runs along the batch axis")
			}
			return at, err
		},
		f32: softmaxPasses[float32](), f64: softmaxPasses[float64](),
	})
}

func softmaxShape(o Softmax, in [][]int) ([]int, error) {
	x := in[0]
	if err := checkAxis(o, o.Axis, x); err != nil {
		return nil, err
	}
	if len(in) == 2 {
		lead := len(x) - len(in[1])
		for i, d := range in[1] {
			if lead < 0 || d != 1 && d != x[lead+i] {
				return nil, shapeErr(o, "the mask of shape %v does not broadcast to %v", in[1], x)
			}
		}
	}
	return slices.Clone(x), nil
}

// scale is the factor of the input.
func (s Softmax) scale() float64 {
	if s.Scale == 0 {
		return 1
	}
	return s.Scale
}

func softmaxForward[F Float](o Softmax, out Tensor[F], in []Tensor[F]) {
	outer, inner := spans(out.Shape, o.Axis)
	n, x, scale := out.Shape[o.Axis], in[0].Data, F(o.scale())
	switch {
	case len(in) == 1 && scale == 1:
		kern.Softmax(out.Data, x, outer, n, inner, o.Log)
	case inner == 1:
		var mask func(int) []F
		if len(in) == 2 {
			mask = rowsOf(in[1], out.Shape, o.Axis)
		}
		kern.MaskedSoftmax(out.Data, x, n, o.Log, scale, mask)
	default: // in steps
		if scale != 1 {
			scaled(out.Data, x, scale)
			x = out.Data
		}
		if len(in) == 2 {
			binaryForward(Binary{Fn: "add"}, out, Tensor[F]{out.Shape, x}, in[1])
		}
		kern.Softmax(out.Data, out.Data, outer, n, inner, o.Log)
	}
}

// rowsOf returns the elements of a mask that belong to a row of a tensor: one number or as
// many as the row has. Axes behind the row's have size 1.
func rowsOf[F Float](mask Tensor[F], shape []int, axis int) func(row int) []F {
	full := mask.Shape[:max(0, len(mask.Shape)-(len(shape)-1-axis))]
	shape = shape[:axis+1]
	last := len(shape) - 1
	s := broadcastStrides(full, shape)
	n := 1
	if s[last] != 0 {
		n = shape[last]
	}
	return func(row int) []F {
		at := 0
		for i := last - 1; i >= 0; i-- {
			at, row = at+row%shape[i]*s[i], row/shape[i]
		}
		return mask.Data[at:][:n]
	}
}

// scaled writes x·by.
func scaled[F Float](dst, x []F, by F) {
	par.For(len(x), elementGrain, func(lo, hi int) { kern.MulOne(dst[lo:hi], x[lo:hi], by) })
}

func softmaxBackward[F Float](o Softmax, grads []Tensor[F], y, dy Tensor[F]) {
	outer, inner := spans(y.Shape, o.Axis)
	n, dx, scale := y.Shape[o.Axis], grads[0].Data, F(o.scale())
	if len(grads) == 1 || grads[1].Data == nil {
		if inner == 1 {
			kern.MaskedSoftmaxBackward(dx, y.Data, dy.Data, n, o.Log, scale)
			return
		}
		kern.SoftmaxBackward(dx, y.Data, dy.Data, outer, n, inner, o.Log)
		if scale != 1 {
			scaled(dx, dx, scale)
		}
		return
	}
	ds, mask := dx, grads[1]
	if ds == nil {
		room := kern.Scratch[F](len(y.Data))
		defer kern.Return(room)
		ds = *room
	}
	kern.SoftmaxBackward(ds, y.Data, dy.Data, outer, n, inner, o.Log)
	if len(mask.Data) == len(ds) {
		copy(mask.Data, ds)
	} else {
		sums := kern.Scratch[float64](len(mask.Data))
		sumKept(*sums, ds, y.Shape, broadcastStrides(mask.Shape, y.Shape))
		kern.RoundSums(mask.Data, *sums, 1)
		kern.Return(sums)
	}
	if dx != nil && scale != 1 {
		scaled(dx, dx, scale)
	}
}

func softmaxPasses[F Float]() passes[Softmax, F] {
	return passes[Softmax, F]{
		forward: func(o Softmax, out Tensor[F], in []Tensor[F]) error {
			softmaxForward(o, out, in)
			return nil
		},
		backward: func(o Softmax, grads, _ []Tensor[F], out, dout Tensor[F]) error {
			softmaxBackward(o, grads, out, dout)
			return nil
		},
	}
}
