package nn

import (
	"errors"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// LayerNorm normalises the elements of the axes from Axis on, for each index of those
// before: layer normalisation (Ba et al. 2016), or RMS normalisation (Zhang and Sennrich
// 2019), which takes no mean off. Inputs: x, optionally gamma and, behind it, beta, both of
// the normalised axes' shape:
//
//	y = (x - mean)/sqrt(variance + Eps)·gamma + beta, or y = x/sqrt(mean square + Eps)·gamma + beta
type LayerNorm struct {
	Axis int     `json:"axis"` // at least 0
	Eps  float64 `json:"eps"`
	RMS  bool    `json:"rms,omitempty"`
}

func (o LayerNorm) Kind() string {
	if o.RMS {
		return "rms_norm"
	}
	return "layer_norm"
}

func layerNormShape(o LayerNorm, in [][]int) ([]int, error) {
	x := in[0]
	if err := checkAxis(o, o.Axis, x); err != nil {
		return nil, err
	}
	for i, s := range in[1:] {
		if !slices.Equal(s, x[o.Axis:]) {
			return nil, shapeErr(o, "%s has shape %v, want %v", [...]string{"gamma", "beta"}[i], s, x[o.Axis:])
		}
	}
	return slices.Clone(x), nil
}

// dataOf is the data of input i, nil where there is none.
func dataOf[F Float](in []Tensor[F], i int) []F {
	if i >= len(in) {
		return nil
	}
	return in[i].Data
}

func (o LayerNorm) rows(x []int) *kern.Norm {
	return &kern.Norm{Width: product(x[o.Axis:]), Eps: o.Eps, RMS: o.RMS}
}

func layerNormPasses[F Float]() passes[LayerNorm, F] {
	return passes[LayerNorm, F]{
		forward: func(o LayerNorm, out Tensor[F], in []Tensor[F]) error {
			kern.NormForward(o.rows(in[0].Shape), out.Data, in[0].Data, dataOf(in, 1), dataOf(in, 2))
			return nil
		},
		backward: func(o LayerNorm, grads, in []Tensor[F], _, dout Tensor[F]) error {
			kern.NormBackward(o.rows(in[0].Shape), grads[0].Data, dataOf(grads, 1), dataOf(grads, 2), dout.Data, in[0].Data, dataOf(in, 1))
			return nil
		},
	}
}

func init() {
	register(family[LayerNorm]{
		kinds: []string{"layer_norm", "rms_norm"}, inputs: [2]int{1, 3},
		check: func(o LayerNorm) error {
			if !(o.Eps >= 0) || math.IsInf(o.Eps, 0) {
				return settingsErr(o, "eps is %v, want a finite number, at least 0", o.Eps)
			}
			return checkNotNegative(o, "axis", o.Axis)
		},
		shape:  layerNormShape,
		traits: func(LayerNorm) Traits { return Traits{Quantized: true, IgnoresOutput: true} },
		batch: func(o LayerNorm, g *Growth) (int, error) {
			if a := g.In[0].Axis; a >= o.Axis {
				return 0, errors.New("it normalises over the batch axis")
			}
			return g.In[0].Axis, nil
		},
		f32: layerNormPasses[float32](), f64: layerNormPasses[float64](),
	})
}
