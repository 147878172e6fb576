package nn

import (
	"fmt"
	"math"
	"slices"
)

// Pad adds Before[i] and After[i] elements of the given Value along axis i.
type Pad struct {
	Before []int   `json:"before"` // one per axis, at least 0
	After  []int   `json:"after"`  // the same
	Value  float64 `json:"value,omitempty"`
}

func (Pad) Kind() string { return "pad" }

func init() {
	register(family[Pad]{
		kinds: []string{"pad"}, inputs: [2]int{1, 1},
		check:  checkPad,
		shape:  func(o Pad, in [][]int) ([]int, error) { return padShape(o, in[0]) },
		traits: func(Pad) Traits { return Traits{IgnoresInputs: true, IgnoresOutput: true} },
		batch: func(o Pad, g *Growth) (int, error) {
			a := g.In[0].Axis
			if o.Before[a]+o.After[a] > 0 {
				return 0, fmt.Errorf("it pads the batch axis of %s", g.In[0].Name)
			}
			return a, nil
		},
		f32: padPasses[float32](), f64: padPasses[float64](),
	})
}

func padPasses[F Float]() passes[Pad, F] {
	return passes[Pad, F]{
		forward: func(o Pad, out Tensor[F], in []Tensor[F]) error {
			padForward(o, out, in[0])
			return nil
		},
		backward: func(o Pad, grads, _ []Tensor[F], _, dout Tensor[F]) error {
			padBackward(o, grads[0], dout)
			return nil
		},
	}
}
func checkPad(o Pad) error {
	if len(o.Before) != len(o.After) {
		return settingsErr(o, "before %v and after %v must have one element per axis", o.Before, o.After)
	}
	for i := range o.Before {
		if min(o.Before[i], o.After[i]) < 0 || max(o.Before[i], o.After[i]) > maxElements {
			return settingsErr(o, "before %v and after %v: want 0 to %d", o.Before, o.After, maxElements)
		}
	}
	if math.IsNaN(o.Value) || math.IsInf(o.Value, 0) {
		return settingsErr(o, "value %v: want a finite number", o.Value)
	}
	return nil
}

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
