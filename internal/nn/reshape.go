package nn

import (
	"fmt"
	"slices"
)

// Reshape keeps the elements and changes the shape. One dimension may be -1: it
// takes what is left.
type Reshape struct {
	Shape []int `json:"shape"`
}

func (Reshape) Kind() string { return "reshape" }

// Dropout passes values on when a network is evaluated; training is the graph
// op's business.
type Dropout struct {
	P float64 `json:"p"` // probability that an element is dropped, 0 <= P < 1
}

func (Dropout) Kind() string { return "dropout" }

func init() {
	register(family[Reshape]{
		kinds: []string{"reshape"}, inputs: [2]int{1, 1},
		check: checkReshape,
		shape: func(o Reshape, in [][]int) ([]int, error) { return reshapeShape(o, in[0]) },
		traits: func(Reshape) Traits {
			return Traits{Moves: true, Copies: true, Relayout: true, KeepsNonNegative: true, IgnoresInputs: true, IgnoresOutput: true}
		},
		batch: reshapeBatch,
		f32:   copyPasses[Reshape, float32](), f64: copyPasses[Reshape, float64](),
		codes: copyCodes[Reshape],
	})
	register(family[Dropout]{
		kinds: []string{"dropout"}, inputs: [2]int{1, 1},
		check: func(o Dropout) error {
			if !(o.P >= 0 && o.P < 1) {
				return settingsErr(o, "p is %v, want 0 <= p < 1", o.P)
			}
			return nil
		},
		traits: func(Dropout) Traits {
			return Traits{Moves: true, Copies: true, Identity: true, KeepsNonNegative: true, IgnoresInputs: true, IgnoresOutput: true}
		},
		f32: copyPasses[Dropout, float32](), f64: copyPasses[Dropout, float64](),
		codes: copyCodes[Dropout],
	})
}

// copyPasses hand elements on as they are.
func copyPasses[T Op, F Float]() passes[T, F] {
	return passes[T, F]{
		forward: func(_ T, out Tensor[F], in []Tensor[F]) error {
			copy(out.Data, in[0].Data)
			return nil
		},
		backward: func(_ T, grads, _ []Tensor[F], _, dout Tensor[F]) error {
			copy(grads[0].Data, dout.Data)
			return nil
		},
	}
}

func copyCodes[T Op](_ T, _ int, out Tensor[uint8], in []Tensor[uint8]) { copy(out.Data, in[0].Data) }

// reshapeBatch finds the output axis that starts where the batch axis starts in memory.
// One that is -1 in the layer's own settings is the batch, wherever it starts: an axis
// of [T*N] rows, say, where the shapes alone do not tell T*N from T.
func reshapeBatch(o Reshape, g *Growth) (int, error) {
	in, out, a := g.In[0].Shape, g.Out, g.In[0].Axis
	if j := slices.Index(o.Shape, -1); j >= 0 && out[j]%g.Batch == 0 {
		return j, nil
	}
	before, best := product(in[:a]), NoAxis
	for j := range out {
		if product(out[:j]) != before || out[j]%g.Batch != 0 {
			continue
		}
		if out[j] == in[a] {
			return j, nil
		}
		if best == NoAxis {
			best = j
		}
	}
	if best == NoAxis {
		return 0, fmt.Errorf("from %v to %v no axis holds the batch (axis %d) any more", in, out, a)
	}
	return best, nil
}
func checkReshape(o Reshape) error {
	open, n := false, 1
	for _, d := range o.Shape {
		switch {
		case d == -1 && !open:
			open = true
		case d < 1:
			return settingsErr(o, "shape %v: want dimensions of at least 1 and at most one -1", o.Shape)
		case n > maxElements/d:
			return settingsErr(o, "shape %v has more than %d elements", o.Shape, maxElements)
		default:
			n *= d
		}
	}
	return nil
}

func reshapeShape(o Reshape, x []int) ([]int, error) {
	out, open, rest := slices.Clone(o.Shape), -1, product(x)
	for i, d := range out {
		if d == -1 {
			open = i
			continue
		}
		if rest%d != 0 {
			return nil, shapeErr(o, "input of shape %v does not fill shape %v", x, o.Shape)
		}
		rest /= d
	}
	if open >= 0 {
		out[open] = rest
	} else if rest != 1 {
		return nil, shapeErr(o, "input of shape %v does not fill shape %v", x, o.Shape)
	}
	if out == nil {
		out = []int{}
	}
	return out, nil
}
