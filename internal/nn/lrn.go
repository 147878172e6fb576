package nn

import (
	"errors"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// LRN is local response normalisation over channels (axis 1, Krizhevsky et al. 2012,
// section 3.3, as ONNX scales it): y = x / (Bias + Alpha/Size·Σ x²)^Beta. The sum
// takes the Size channels from (Size-1)/2 before to Size/2 behind (whole divisions),
// as far as they exist.
type LRN struct {
	Size  int     `json:"size"`  // at least 1
	Alpha float64 `json:"alpha"` // at least 0
	Beta  float64 `json:"beta"`
	Bias  float64 `json:"bias"` // above 0
}

func (LRN) Kind() string { return "lrn" }

func init() {
	register(family[LRN]{
		kinds: []string{"lrn"}, inputs: [2]int{1, 1},
		check: func(o LRN) error {
			if o.Size < 1 || !(o.Alpha >= 0) || !(o.Bias > 0) || math.IsNaN(o.Beta) || math.IsInf(o.Alpha+o.Bias+o.Beta, 0) {
				return settingsErr(o, "size %d, alpha %v, beta %v, bias %v: want size at least 1, alpha at least 0, bias above 0, all finite",
					o.Size, o.Alpha, o.Beta, o.Bias)
			}
			return nil
		},
		shape: func(o LRN, in [][]int) ([]int, error) {
			if len(in[0]) < 2 {
				return nil, shapeErr(o, "input has shape %v, want [N,C,...]", in[0])
			}
			return slices.Clone(in[0]), nil
		},
		batch: func(_ LRN, g *Growth) (int, error) {
			if g.In[0].Axis == 1 {
				return 0, errors.New("it normalises along the batch axis")
			}
			return g.In[0].Axis, nil
		},
		f32: lrnPasses[float32](), f64: lrnPasses[float64](),
	})
}

func lrnPasses[F Float]() passes[LRN, F] {
	return passes[LRN, F]{
		forward: func(o LRN, out Tensor[F], in []Tensor[F]) error {
			lrnForward(o, out, in[0])
			return nil
		},
		backward: func(o LRN, grads, in []Tensor[F], _, dout Tensor[F]) error {
			lrnBackward(o, grads[0], in[0], dout)
			return nil
		},
	}
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
			out.Data[at+c*step] = F(v[c] * kern.PowOf(s[c], -o.Beta))
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
			d := float64(dy.Data[at+c*step]) * v[c] * kern.PowOf(s[c], -o.Beta-1)
			lo, hi := lrnWindow(o, c, channels)
			for j := lo; j < hi; j++ {
				sums[j] += d
			}
		}
		k := 2 * o.Alpha * o.Beta / float64(o.Size)
		for j := range v {
			direct := float64(dy.Data[at+j*step]) * kern.PowOf(s[j], -o.Beta)
			dx.Data[at+j*step] = F(direct - float64(k*v[j]*sums[j]))
		}
	})
}
