package nn

import (
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// GroupNorm normalises the channels of axis 1 in Groups groups of neighbours, over all
// their elements in an image (Wu and He 2018); with a group for each channel it is
// instance normalisation. Inputs: x [N,C,...], optionally gamma [C] and, behind it, beta [C].
type GroupNorm struct {
	Groups int     `json:"groups"` // at least 1; divides C
	Eps    float64 `json:"eps"`
}

func (GroupNorm) Kind() string { return "group_norm" }

func groupNormShape(o GroupNorm, in [][]int) ([]int, error) {
	x := in[0]
	if len(x) < 2 {
		return nil, shapeErr(o, "input has shape %v, want [N,C,...]", x)
	}
	if x[1]%o.Groups != 0 {
		return nil, shapeErr(o, "%d groups do not divide %d channels", o.Groups, x[1])
	}
	for i, s := range in[1:] {
		if !slices.Equal(s, x[1:2]) {
			return nil, shapeErr(o, "%s has shape %v, want [%d]", [...]string{"gamma", "beta"}[i], s, x[1])
		}
	}
	return slices.Clone(x), nil
}

func (o GroupNorm) groups(x []int) *kern.GroupNorm {
	return &kern.GroupNorm{N: x[0], Groups: o.Groups, Channels: x[1] / o.Groups, Inner: product(x[2:]), Eps: o.Eps}
}

func groupNormPasses[F Float]() passes[GroupNorm, F] {
	return passes[GroupNorm, F]{
		forward: func(o GroupNorm, out Tensor[F], in []Tensor[F]) error {
			kern.GroupNormForward(o.groups(in[0].Shape), out.Data, in[0].Data, dataOf(in, 1), dataOf(in, 2))
			return nil
		},
		backward: func(o GroupNorm, grads, in []Tensor[F], _, dout Tensor[F]) error {
			kern.GroupNormBackward(o.groups(in[0].Shape), grads[0].Data, dataOf(grads, 1), dataOf(grads, 2), dout.Data, in[0].Data, dataOf(in, 1))
			return nil
		},
	}
}

func init() {
	register(family[GroupNorm]{
		kinds: []string{"group_norm"}, inputs: [2]int{1, 3},
		check: func(o GroupNorm) error {
			if !(o.Eps >= 0) || math.IsInf(o.Eps, 0) {
				return settingsErr(o, "eps is %v, want a finite number, at least 0", o.Eps)
			}
			if o.Groups < 1 {
				return settingsErr(o, "%d groups, want at least 1", o.Groups)
			}
			return nil
		},
		shape:  groupNormShape,
		traits: func(GroupNorm) Traits { return Traits{Quantized: true, IgnoresOutput: true} },
		batch:  batchFirst[GroupNorm],
		f32:    groupNormPasses[float32](), f64: groupNormPasses[float64](),
	})
}
