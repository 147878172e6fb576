package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// ConvTranspose is the transpose of a 2-D convolution, with groups: each input pixel adds its
// multiple of the kernel to the output, Stride pixels on from the one before. Inputs:
// x [N,C,H,W], w [K,C/Groups,R,S], optionally bias [K]. Output [N,K,OH,OW], with
// OH = (H-1)*Stride[0] - Pad[0] - Pad[2] + Dilation[0]*(R-1) + Extra[0] + 1.
//
// The weights lie as those of [Conv], output channels first, so that their channels are one
// axis with any groups. PyTorch and ONNX have [C,K/Groups,R,S].
type ConvTranspose struct {
	Stride   [2]int `json:"stride"`   // rows, columns; at least 1
	Pad      [4]int `json:"pad"`      // cut off at the top, left, bottom, right; at least 0
	Dilation [2]int `json:"dilation"` // at least 1
	Groups   int    `json:"groups"`   // at least 1; divides C and K
	Extra    [2]int `json:"extra"`    // more rows and columns at the end; less than Stride
}

func (ConvTranspose) Kind() string { return "conv_transpose" }

func init() {
	register(family[ConvTranspose]{
		kinds: []string{"conv_transpose"}, inputs: [2]int{2, 3},
		check: func(o ConvTranspose) error {
			if o.Groups < 1 {
				return settingsErr(o, "groups is %d, want at least 1", o.Groups)
			}
			if o.Dilation[0] < 1 || o.Dilation[1] < 1 {
				return settingsErr(o, "dilation is %v, want at least 1", o.Dilation)
			}
			if err := checkWindow(o, o.Stride, o.Pad); err != nil {
				return err
			}
			for i, e := range o.Extra {
				if e < 0 || e >= o.Stride[i] {
					return settingsErr(o, "extra is %v, want at least 0 and less than the stride %v", o.Extra, o.Stride)
				}
			}
			return nil
		},
		shape: convTransposeShape,
		traits: func(ConvTranspose) Traits {
			return Traits{Quantized: true, Weights: &convWeights, IgnoresOutput: true, OnlyForOther: [2]bool{true, true}}
		},
		batch: batchFirst[ConvTranspose],
		f32:   convTransposePasses[float32](), f64: convTransposePasses[float64](),
	})
}

func convTransposeShape(o ConvTranspose, in [][]int) ([]int, error) {
	x, w := in[0], in[1]
	if len(x) != 4 || len(w) != 4 {
		return nil, shapeErr(o, "input %v and weights %v must be [N,C,H,W] and [K,C/groups,R,S]", x, w)
	}
	if x[1]%o.Groups != 0 || w[0]%o.Groups != 0 || w[1] != x[1]/o.Groups {
		return nil, shapeErr(o, "weights %v do not fit an input of shape %v in %d groups: want [K,C/groups,R,S]", w, x, o.Groups)
	}
	if len(in) == 3 && !slices.Equal(in[2], w[:1]) {
		return nil, shapeErr(o, "bias has shape %v, want [%d]", in[2], w[0])
	}
	out := []int{x[0], w[0], 0, 0}
	padded := slices.Clone(x)
	for i := range 2 {
		if o.Stride[i] > maxElements/x[2+i] || o.Dilation[i] > maxElements/w[2+i] || max(o.Pad[i], o.Pad[2+i]) > maxElements {
			return nil, settingsErr(o, "stride %v, dilation %v or padding %v is larger than %d", o.Stride, o.Dilation, o.Pad, maxElements)
		}
		reach := o.Dilation[i] * (w[2+i] - 1)
		out[2+i] = (x[2+i]-1)*o.Stride[i] - o.Pad[i] - o.Pad[2+i] + reach + o.Extra[i] + 1
		if out[2+i] < 1 {
			return nil, shapeErr(o, "padding %v cuts off all of input %v under a kernel of %v", o.Pad, x, w[2:])
		}
		padded[2+i] = out[2+i] + reach + o.Pad[i] + o.Pad[2+i]
	}
	_, err := count(o, "spread input", padded)
	return out, err
}

// geometry is the convolution that this is the transpose of: from the output to x.
func (o ConvTranspose) geometry(x, w, out []int) kern.Conv {
	return kern.Conv{N: x[0], C: w[0], H: out[2], W: out[3], K: x[1], R: w[2], S: w[3], OH: x[2], OW: x[3],
		Groups: o.Groups, Stride: o.Stride, Dilation: o.Dilation, Pad: o.Pad}
}

// swapChannels writes the weights [K,C/Groups,R,S] as [C,K/Groups,R,S], or the other way
// round: outs is the first dimension of src.
func swapChannels[F Float](dst, src []F, groups, outs, ins, taps int) {
	n := outs / groups
	permute(dst, src, []int{groups, ins, n, taps}, []int{n * ins * taps, taps, ins * taps, 1})
}

func convTransposePasses[F Float]() passes[ConvTranspose, F] {
	return passes[ConvTranspose, F]{
		forward: func(o ConvTranspose, out Tensor[F], in []Tensor[F]) error {
			w := in[1]
			g := o.geometry(in[0].Shape, w.Shape, out.Shape)
			kept := kern.Scratch[F](len(w.Data))
			defer kern.Return(kept)
			swapChannels(*kept, w.Data, o.Groups, w.Shape[0], w.Shape[1], w.Shape[2]*w.Shape[3])
			kern.ConvBackwardData(&g, out.Data, *kept, in[0].Data)
			if bias := biasOf(in); bias != nil {
				addChannels(out, bias)
			}
			return nil
		},
		backward: func(o ConvTranspose, grads, in []Tensor[F], _, dout Tensor[F]) error {
			w := in[1]
			taps := w.Shape[2] * w.Shape[3]
			g := o.geometry(in[0].Shape, w.Shape, dout.Shape)
			kept := kern.Scratch[F](len(w.Data))
			defer kern.Return(kept)
			if d := grads[0].Data; d != nil {
				swapChannels(*kept, w.Data, o.Groups, w.Shape[0], w.Shape[1], taps)
				kern.ConvForward(&g, d, dout.Data, *kept, nil)
			}
			if d := grads[1].Data; d != nil {
				kern.ConvBackwardWeight(&g, *kept, dout.Data, in[0].Data)
				swapChannels(d, *kept, o.Groups, in[0].Shape[1], w.Shape[0]/o.Groups, taps)
			}
			if len(grads) == 3 && grads[2].Data != nil {
				kern.ChannelSumTo(grads[2].Data, dout.Data, g.N, g.C, g.H*g.W)
			}
			return nil
		},
	}
}

// addChannels adds an element of bias to each plane of images.
func addChannels[F Float](images Tensor[F], bias []F) {
	plane := product(images.Shape[2:])
	par.For(images.Shape[0]*len(bias), max(1, elementGrain/plane), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			b := bias[i%len(bias)]
			for k, v := range images.Data[i*plane : (i+1)*plane] {
				images.Data[i*plane+k] = v + b
			}
		}
	})
}

// conv is the convolution that computes the same from the input of the shape spreadShape
// gives and from the weights with their taps in reverse.
func (o ConvTranspose) conv() Conv {
	return Conv{Stride: [2]int{1, 1}, Dilation: o.Dilation, Groups: o.Groups}
}

// spreadShape is that of the input with its pixels apart and a border.
func (o ConvTranspose) spreadShape(x, w, out []int) []int {
	return []int{x[0], x[1], out[2] + o.Dilation[0]*(w[2]-1), out[3] + o.Dilation[1]*(w[3]-1)}
}

// spreadInto moves pixels apart by the stride, with fill between and around them.
func spreadInto[E Element](o ConvTranspose, threads int, dst, x Tensor[E], w []int, fill E) {
	h, width := x.Shape[2], x.Shape[3]
	ph, pw := dst.Shape[2], dst.Shape[3]
	top, left := o.Dilation[0]*(w[2]-1)-o.Pad[0], o.Dilation[1]*(w[3]-1)-o.Pad[1]
	par.ForN(threads, x.Shape[0]*x.Shape[1], max(1, elementGrain/(ph*pw)), func(lo, hi int) {
		for p := lo; p < hi; p++ {
			plane := dst.Data[p*ph*pw : (p+1)*ph*pw]
			for i := range plane {
				plane[i] = fill
			}
			for y := range h {
				to := top + y*o.Stride[0]
				if to < 0 || to >= ph {
					continue
				}
				for c, v := range x.Data[(p*h+y)*width:][:width] {
					if at := left + c*o.Stride[1]; at >= 0 && at < pw {
						plane[to*pw+at] = v
					}
				}
			}
		}
	})
}

// apart is x spread, with the function that gives its memory back.
func (o ConvTranspose) apart(threads int, x IntTensor, w, out []int) (IntTensor, func()) {
	y := IntTensor{Shape: o.spreadShape(x.Shape, w, out), Grid: x.Grid}
	n := product(y.Shape)
	if x.Codes != nil {
		kept := kern.Scratch[uint8](n)
		y.Codes = *kept
		spreadInto(o, threads, Tensor[uint8]{y.Shape, y.Codes}, Tensor[uint8]{x.Shape, x.Codes}, w, uint8(x.Grid.ZeroPoint))
		return y, func() { kern.Return(kept) }
	}
	kept := kern.Scratch[float32](n)
	y.Values = *kept
	spreadInto(o, threads, Tensor[float32]{y.Shape, y.Values}, Tensor[float32]{x.Shape, x.Values}, w, 0)
	return y, func() { kern.Return(kept) }
}

// turnTaps reverses each kernel of so many taps.
func turnTaps(w []int16, taps int) {
	for i := 0; i < len(w); i += taps {
		slices.Reverse(w[i : i+taps])
	}
}
