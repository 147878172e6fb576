package nn

import (
	"fmt"
	"math"
	"slices"
)

// Pad adds Before[i] and After[i] elements along axis i: of the given Value, or of the input
// as Mode says.
type Pad struct {
	Before []int   `json:"before"` // one per axis, at least 0
	After  []int   `json:"after"`  // the same
	Value  float64 `json:"value,omitempty"`
	// Mode is empty, or where the elements come from: reflect (the input mirrored at its first
	// and last element, which are not repeated), edge (the nearest element) or wrap (the other
	// end). Value is 0 then.
	Mode string `json:"mode,omitempty"`
}

func (Pad) Kind() string { return "pad" }

func init() {
	register(family[Pad]{
		kinds: []string{"pad"}, inputs: [2]int{1, 1},
		check: checkPad,
		shape: func(o Pad, in [][]int) ([]int, error) { return padShape(o, in[0]) },
		traits: func(o Pad) Traits {
			if o.Mode != "" {
				return moveTraits
			}
			return Traits{IgnoresInputs: true, IgnoresOutput: true}
		},
		batch: func(o Pad, g *Growth) (int, error) {
			a := g.In[0].Axis
			if o.Before[a]+o.After[a] > 0 {
				return 0, fmt.Errorf("it pads the batch axis of %s", g.In[0].Name)
			}
			return a, nil
		},
		f32: padPasses[float32](), f64: padPasses[float64](),
		codes: func(o Pad, threads int, out Tensor[uint8], in []Tensor[uint8]) { padOfInput(o, threads, out, in[0]) },
	})
}

// index lists the elements of an axis of n that the padded axis a holds.
func (o Pad) index(a, n int) []int {
	index := make([]int, o.Before[a]+n+o.After[a])
	period := max(1, 2*(n-1))
	for j := range index {
		i := j - o.Before[a]
		switch o.Mode {
		case "edge":
			i = min(max(i, 0), n-1)
		case "wrap":
			i = (i%n + n) % n
		case "reflect":
			if i = (i%period + period) % period; i >= n {
				i = period - i
			}
		}
		index[j] = i
	}
	return index
}

// padded are the axes that grow, with their sizes.
func (o Pad) padded(x []int) (axes, sizes []int) {
	for a, n := range x {
		if o.Before[a]+o.After[a] > 0 {
			axes, sizes = append(axes, a), append(sizes, n+o.Before[a]+o.After[a])
		}
	}
	return axes, sizes
}

// padOfInput pads in a mode that copies elements of the input.
func padOfInput[E Element](o Pad, threads int, out, x Tensor[E]) {
	axes, sizes := o.padded(x.Shape)
	eachAxis(out.Data, x.Data, x.Shape, axes, sizes, func(dst, src []E, k, outer, n, inner int) {
		takeAxis(threads, dst, src, outer, n, inner, o.index(axes[k], n))
	})
}

// padOfInputBack adds up the gradients of what was copied.
func padOfInputBack[F Float](o Pad, dx, dout Tensor[F]) {
	axes, sizes := o.padded(dx.Shape)
	backAxes(dx.Data, dout.Data, dx.Shape, axes, sizes, func(dst, src []F, k, outer, n, inner int) {
		mixAxis(dst, src, outer, sizes[k], inner, takes(o.index(axes[k], n)).turned(n))
	})
}

func padPasses[F Float]() passes[Pad, F] {
	return passes[Pad, F]{
		forward: func(o Pad, out Tensor[F], in []Tensor[F]) error {
			if o.Mode != "" {
				padOfInput(o, 0, out, in[0])
			} else {
				padForward(o, out, in[0])
			}
			return nil
		},
		backward: func(o Pad, grads, _ []Tensor[F], _, dout Tensor[F]) error {
			if o.Mode != "" {
				padOfInputBack(o, grads[0], dout)
			} else {
				padBackward(o, grads[0], dout)
			}
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
	switch o.Mode {
	case "":
	case "reflect", "edge", "wrap":
		if o.Value != 0 {
			return settingsErr(o, "value %v in mode %s, which copies elements", o.Value, o.Mode)
		}
	default:
		return settingsErr(o, "mode is %q, want reflect, edge, wrap or none", o.Mode)
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
