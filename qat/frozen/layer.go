package frozen

// This file says how one layer is run.

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/par"
)

// layer computes layer i's result in its way, with activation and quantization.
func (n *Network) layer(s *state, i int) error {
	l, p := &n.Layers[i], &n.plan.plan
	lp, out := &p.layers[i], &s.vals[l.Output]
	out.own = true
	if lp.way == byFloat || !p.tensors[l.Output].quantized {
		return n.floatLayer(s, i)
	}
	grid := p.tensors[l.Output].grid
	switch lp.way {
	case byMoving:
		s.takeCodes(out)
		return moveCodes(s, lp.op, lp.tables, l.Inputs, out)
	case byTable:
		s.takeCodes(out)
		kern.MapCodes(s.threads, out.codes, s.vals[l.Inputs[0]].codes, lp.tables[0])
		return nil
	case byPairing:
		s.takeCodes(out)
		nn.BinaryCodes(s.threads, nn.Binary(l.Op.(Binary)), nn.IntTensor{Shape: out.shape, Codes: out.codes, Grid: grid}, lp.act,
			n.codes(s, l.Inputs[0]), n.codes(s, l.Inputs[1]))
		return nil
	case byProduct:
		if lp.fn == nil || elements(out.shape) >= fuseFrom {
			s.takeCodes(out)
			return n.product(s, i, nn.IntTensor{Shape: out.shape, Codes: out.codes, Grid: grid, Fn: lp.fn})
		}
	}
	return n.floatLayer(s, i)
}

// fuseFrom is the number of results from which a product passes them through its function
// tile by tile. Fewer, as float32 up to 256 KiB, stay in the second cache of any core until all
// are there, and whole tensors take fewer calls. The codes are the same.
const fuseFrom = 64 << 10

// takeCodes finds memory for the codes of v.
func (s *state) takeCodes(v *value) { v.codes = take(&s.codes, elements(v.shape)) }

// floatLayer computes the result as real numbers and rounds it where it is
// quantized.
func (n *Network) floatLayer(s *state, i int) error {
	l, p := &n.Layers[i], &n.plan.plan
	out := &s.vals[l.Output]
	count := elements(out.shape)
	y := nn.Tensor[float32]{Shape: out.shape, Data: take(&s.values, count)}
	if err := n.real(s, i, y); err != nil {
		return err
	}
	if !p.tensors[l.Output].quantized {
		s.activate(l.Act, y.Data)
		out.values = y.Data
		return nil
	}
	s.takeCodes(out)
	s.finish(out.codes, y.Data, l.Act, p.tensors[l.Output].grid)
	s.values = append(s.values, y.Data)
	return nil
}

// finishChunk is the number of elements that an activation and the rounding behind it pass
// over one after the other: they stay in the nearest cache.
const finishChunk = 4 << 10

// activate applies an activation in place; nil leaves values as they are.
func (s *state) activate(act *Unary, y []float32) {
	if act != nil {
		f := nn.Unary(*act).Func()
		par.ForN(s.threads, len(y), finishChunk, func(lo, hi int) { kern.Eval(f, y[lo:hi], y[lo:hi]) })
	}
}

// finish applies an activation in place and writes the codes of the results.
func (s *state) finish(dst []uint8, y []float32, act *Unary, g kern.Grid) {
	if act == nil {
		s.quantize(dst, y, g)
		return
	}
	f := nn.Unary(*act).Func()
	par.ForN(s.threads, len(y), finishChunk, func(lo, hi int) {
		kern.Eval(f, y[lo:hi], y[lo:hi])
		kern.Quantize(dst[lo:hi], y[lo:hi], g)
	})
}

// real writes layer i's result before activation and quantization.
func (n *Network) real(s *state, i int, y nn.Tensor[float32]) error {
	l, p := &n.Layers[i], &n.plan.plan
	switch p.layers[i].way {
	case byProduct:
		return n.product(s, i, nn.IntTensor{Shape: y.Shape, Values: y.Data})
	case byAverage:
		return nn.IntAvgPool(s.threads, p.layers[i].op, y, n.codes(s, l.Inputs[0]))
	}
	in := make([]nn.Tensor[float32], len(l.Inputs))
	for k, t := range l.Inputs {
		in[k] = n.values(s, t)
	}
	return nn.Forward(p.layers[i].op, y, in)
}

// product computes a convolution or a matrix product of codes.
func (n *Network) product(s *state, i int, y nn.IntTensor) error {
	l, lp := &n.Layers[i], &n.plan.plan.layers[i]
	var bias []float32
	if len(l.Inputs) == 3 {
		bias = n.values(s, l.Inputs[2]).Data
	}
	x, p := n.codes(s, l.Inputs[0]), lp.product
	if p == nil {
		if s.products[i] == nil {
			s.products[i] = new(nn.IntLayer)
		}
		p = s.products[i]
		if err := n.setProduct(p, s, i); err != nil {
			return err
		}
	}
	return p.Apply(s.threads, y, lp.act, x, bias)
}

// setProduct packs weights that are the result of a layer or an input.
func (n *Network) setProduct(p *nn.IntLayer, s *state, i int) error {
	l, plan := &n.Layers[i], &n.plan.plan
	t := l.Inputs[1]
	codes, zero := s.vals[t].codes, int16(plan.tensors[t].grid.ZeroPoint)
	fill := func(dst []int16) { kern.WidenCodes(dst, codes, zero) }
	var bytes *kern.ByteWeights
	if g := plan.tensors[t].grid; g.ZeroPoint <= -math.MinInt8 && g.Qmax-g.ZeroPoint <= math.MaxInt8 {
		bytes = &kern.ByteWeights{MaxAbs: int(max(g.ZeroPoint, g.Qmax-g.ZeroPoint)),
			Fill: func(dst []int8, lo, hi int) { kern.CentreCodes(dst, codes[lo:hi], g.ZeroPoint) }}
	}
	w := plan.layers[i].weight
	return p.Set(plan.layers[i].op, plan.tensors[l.Inputs[0]].grid,
		nn.IntWeights{Shape: s.shapes[t], Fill: fill, Bytes: bytes, Scale: w.Scale, Blocks: w.Blocks, BlockSize: w.BlockSize})
}

// codes is a quantized tensor for the products and pools of codes.
func (n *Network) codes(s *state, t int) nn.IntTensor {
	return nn.IntTensor{Shape: s.vals[t].shape, Codes: s.vals[t].codes, Grid: n.plan.plan.tensors[t].grid}
}

// values returns a tensor's real values, made from its codes the first time. All
// constants that need it have theirs from the plan.
func (n *Network) values(s *state, t int) nn.Tensor[float32] {
	v := &s.vals[t]
	if v.values == nil {
		v.values = take(&s.values, len(v.codes))
		s.dequantize(v.values, v.codes, n.plan.plan.tensors[t].grid)
	}
	return nn.Tensor[float32]{Shape: v.shape, Data: v.values}
}

// quantize writes the biased codes of x.
func (s *state) quantize(dst []uint8, x []float32, g kern.Grid) {
	par.ForN(s.threads, len(x), grain, func(lo, hi int) { kern.Quantize(dst[lo:hi], x[lo:hi], g) })
}

// dequantize undoes quantize.
func (s *state) dequantize(dst []float32, codes []uint8, g kern.Grid) {
	par.ForN(s.threads, len(codes), grain, func(lo, hi int) { kern.Dequantize(dst[lo:hi], codes[lo:hi], g) })
}

// elements is the number of elements of a checked shape.
func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// grain is the number of elements worth a goroutine. Elements are independent, so
// it changes no result.
const grain = 1 << 15
