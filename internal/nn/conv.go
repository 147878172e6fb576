package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
)

// Conv is a 2-D cross-correlation with groups. Inputs: x [N,C,H,W],
// w [K,C/Groups,R,S], optionally bias [K]. Output [N,K,OH,OW], with
// OH = (H + Pad[0] + Pad[2] - Dilation[0]*(R-1) - 1)/Stride[0] + 1.
type Conv struct {
	Stride   [2]int `json:"stride"`   // rows, columns; at least 1
	Pad      [4]int `json:"pad"`      // top, left, bottom, right; at least 0; pads with zeros
	Dilation [2]int `json:"dilation"` // at least 1
	Groups   int    `json:"groups"`   // at least 1; divides C and K
}

func (Conv) Kind() string { return "conv" }

func init() {
	register(family[Conv]{
		kinds: []string{"conv"}, inputs: [2]int{2, 3},
		check: func(o Conv) error {
			if o.Groups < 1 {
				return settingsErr(o, "groups is %d, want at least 1", o.Groups)
			}
			if o.Dilation[0] < 1 || o.Dilation[1] < 1 {
				return settingsErr(o, "dilation is %v, want at least 1", o.Dilation)
			}
			return checkWindow(o, o.Stride, o.Pad)
		},
		shape: convShape,
		traits: func(Conv) Traits {
			return Traits{Quantized: true, Weights: &convWeights, IgnoresOutput: true, OnlyForOther: [2]bool{true, true}}
		},
		batch: batchFirst[Conv],
		f32:   convPasses[float32](), f64: convPasses[float64](),
	})
}

var convWeights = Weights{Rank: 4, Out: -4, In: -3, Channels: 1}

func convPasses[F Float]() passes[Conv, F] {
	return passes[Conv, F]{
		forward: func(o Conv, out Tensor[F], in []Tensor[F]) error {
			g := convGeometry(o, in[0].Shape, in[1].Shape, out.Shape)
			kern.ConvForward(&g, out.Data, in[0].Data, in[1].Data, biasOf(in))
			return nil
		},
		backward: func(o Conv, grads, in []Tensor[F], _, dout Tensor[F]) error {
			convBackward(o, grads, in, dout)
			return nil
		},
	}
}
func convShape(o Conv, in [][]int) ([]int, error) {
	x, w := in[0], in[1]
	if len(x) != 4 || len(w) != 4 {
		return nil, shapeErr(o, "input %v and weights %v must be [N,C,H,W] and [K,C/groups,R,S]", x, w)
	}
	if x[1]%o.Groups != 0 || w[0]%o.Groups != 0 {
		return nil, shapeErr(o, "%d groups do not divide %d input and %d output channels", o.Groups, x[1], w[0])
	}
	if w[1] != x[1]/o.Groups {
		return nil, shapeErr(o, "weights %v have %d input channels per group, input %v in %d groups has %d",
			w, w[1], x, o.Groups, x[1]/o.Groups)
	}
	if len(in) == 3 && !slices.Equal(in[2], w[:1]) {
		return nil, shapeErr(o, "bias has shape %v, want [%d]", in[2], w[0])
	}
	oh, err := windows(o, "rows", x[2], o.Pad[0], o.Pad[2], w[2], o.Stride[0], o.Dilation[0])
	if err != nil {
		return nil, err
	}
	ow, err := windows(o, "columns", x[3], o.Pad[1], o.Pad[3], w[3], o.Stride[1], o.Dilation[1])
	if err != nil {
		return nil, err
	}
	padded := []int{x[0], x[1], x[2] + o.Pad[0] + o.Pad[2], x[3] + o.Pad[1] + o.Pad[3]}
	if _, err := count(o, "padded input", padded); err != nil {
		return nil, err
	}
	return []int{x[0], w[0], oh, ow}, nil
}

func convGeometry(o Conv, x, w, out []int) kern.Conv {
	return kern.Conv{N: x[0], C: x[1], H: x[2], W: x[3], K: w[0], R: w[2], S: w[3], OH: out[2], OW: out[3],
		Groups: o.Groups, Stride: o.Stride, Dilation: o.Dilation, Pad: o.Pad}
}

func convBackward[F Float](o Conv, grads, in []Tensor[F], dout Tensor[F]) {
	g := convGeometry(o, in[0].Shape, in[1].Shape, dout.Shape)
	if d := grads[0].Data; d != nil {
		kern.ConvBackwardData(&g, d, in[1].Data, dout.Data)
	}
	if d := grads[1].Data; d != nil {
		kern.ConvBackwardWeight(&g, d, in[0].Data, dout.Data)
	}
	if len(grads) == 3 && grads[2].Data != nil {
		kern.ChannelSumTo(grads[2].Data, dout.Data, g.N, g.K, g.OH*g.OW)
	}
}

func biasOf[F Float](in []Tensor[F]) []F {
	if len(in) < 3 {
		return nil
	}
	return in[2].Data
}

func checkWindow(op Op, stride [2]int, pad [4]int) error {
	if stride[0] < 1 || stride[1] < 1 {
		return settingsErr(op, "stride is %v, want at least 1", stride)
	}
	if min(pad[0], pad[1], pad[2], pad[3]) < 0 {
		return settingsErr(op, "padding is %v, want at least 0", pad)
	}
	return nil
}

// windows returns how many windows fit along one axis.
func windows(op Op, axis string, size, before, after, kernel, stride, dilation int) (int, error) {
	if before > maxElements || after > maxElements || kernel > maxElements || dilation > maxElements/kernel {
		return 0, settingsErr(op, "padding, kernel or dilation along the %s is larger than %d", axis, maxElements)
	}
	room := size + before + after - dilation*(kernel-1) - 1
	if room < 0 {
		return 0, shapeErr(op, "kernel of %d with dilation %d does not fit into %d %s with padding %d+%d",
			kernel, dilation, size, axis, before, after)
	}
	return room/stride + 1, nil
}
