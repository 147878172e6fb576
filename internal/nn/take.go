package nn

import "fmt"

// Take picks elements along Axis: element j of the result is element Index[j] of the input,
// which may be taken any number of times. It is a tile, a reversal, a choice of channels; the
// indices are settings, where those of [Gather] are data.
type Take struct {
	Axis  int   `json:"axis"`
	Index []int `json:"index"` // at least one; counted from 0
}

func (Take) Kind() string { return "take" }

func init() {
	register(family[Take]{
		kinds: []string{"take"}, inputs: [2]int{1, 1},
		check: checkTake, shape: takeShape,
		traits: func(Take) Traits { return moveTraits },
		batch: func(o Take, g *Growth) (int, error) {
			if o.Axis == g.In[0].Axis {
				return 0, fmt.Errorf("it picks elements of the batch axis of %s", g.In[0].Name)
			}
			return g.In[0].Axis, nil
		},
		f32: takePasses[float32](), f64: takePasses[float64](),
		codes: func(o Take, threads int, out Tensor[uint8], in []Tensor[uint8]) {
			outer, inner := spans(in[0].Shape, o.Axis)
			takeAxis(threads, out.Data, in[0].Data, outer, in[0].Shape[o.Axis], inner, o.Index)
		},
	})
}

func checkTake(o Take) error {
	if len(o.Index) == 0 {
		return settingsErr(o, "no indices")
	}
	for i, v := range o.Index {
		if v < 0 || v > maxElements {
			return settingsErr(o, "index %d is %d, want 0 to %d", i, v, maxElements)
		}
	}
	return checkNotNegative(o, "axis", o.Axis)
}

func takeShape(o Take, in [][]int) ([]int, error) {
	if err := checkAxis(o, o.Axis, in[0]); err != nil {
		return nil, err
	}
	for i, v := range o.Index {
		if v >= in[0][o.Axis] {
			return nil, shapeErr(o, "index %d is %d, axis %d of shape %v", i, v, o.Axis, in[0])
		}
	}
	out := append([]int{}, in[0]...)
	out[o.Axis] = len(o.Index)
	return out, nil
}

func takePasses[F Float]() passes[Take, F] {
	return passes[Take, F]{
		forward: func(o Take, out Tensor[F], in []Tensor[F]) error {
			outer, inner := spans(in[0].Shape, o.Axis)
			takeAxis(0, out.Data, in[0].Data, outer, in[0].Shape[o.Axis], inner, o.Index)
			return nil
		},
		// What was taken several times gets the float64 sum, in the order of the result.
		backward: func(o Take, grads, in []Tensor[F], _, dout Tensor[F]) error {
			n := in[0].Shape[o.Axis]
			outer, inner := spans(in[0].Shape, o.Axis)
			mixAxis(grads[0].Data, dout.Data, outer, len(o.Index), inner, takes(o.Index).turned(n))
			return nil
		},
	}
}
