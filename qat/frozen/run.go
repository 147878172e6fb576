package frozen

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/par"
)

// Run computes the outputs, in the order of Outputs, as real values in fresh
// slices. There is one row-major slice for each of Inputs, with any whole number
// of rows where the shape has an open dimension; that number is the batch. The
// inputs are only read. A quantized input is rounded to its codes first, where
// NaN becomes quant_min and infinities saturate.
//
// The same rows give the same bits in any batch, with any GOMAXPROCS. Any number
// of goroutines may call Run at once. Errors wrap ErrInput or those of Validate.
func (n *Network) Run(inputs ...[]float32) ([][]float32, error) {
	s, err := n.start(inputs)
	if err != nil {
		return nil, err
	}
	// A state that an internal error left half done is not used again.
	if err := n.compute(s, inputs, true); err != nil {
		return nil, err
	}
	out := make([][]float32, len(n.Outputs))
	for i, t := range n.Outputs {
		if v := &s.vals[t]; v.values != nil {
			out[i] = slices.Clone(v.values)
		} else {
			out[i] = make([]float32, len(v.codes))
			dequantize(out[i], v.codes, n.plan.plan.tensors[t].grid)
		}
	}
	s.drop()
	n.plan.states.Put(s)
	return out, nil
}

// start checks the inputs and finds a state for their batch.
func (n *Network) start(inputs [][]float32) (*state, error) {
	if _, err := n.prepared(); err != nil {
		return nil, err
	}
	batch, err := n.batchOf(inputs)
	if err != nil {
		return nil, err
	}
	s, ok := n.plan.states.Get().(*state)
	if ok && s.batch == batch {
		return s, nil
	}
	shapes, err := n.shapes(batch)
	if err == nil {
		err = n.checkMemory(shapes)
	}
	if err != nil {
		return nil, err
	}
	// Buffers of another batch would mostly be too small, or hold memory for nothing.
	return &state{batch: batch, shapes: shapes, vals: make([]value, len(n.Tensors))}, nil
}

// compute runs all layers. Without reuse, every tensor is still there afterwards.
func (n *Network) compute(s *state, inputs [][]float32, reuse bool) (err error) {
	at := "inputs"
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: internal error: %v", at, p)
		}
	}()
	p := &n.plan.plan
	for t := range s.vals {
		s.vals[t] = value{shape: s.shapes[t], codes: p.tensors[t].centred, values: p.tensors[t].values}
	}
	for i, t := range n.Inputs {
		if v := &s.vals[t]; p.tensors[t].quantized {
			v.codes, v.own = take(&s.codes, len(inputs[i])), true
			quantize(v.codes, inputs[i], p.tensors[t].grid)
		} else {
			v.values = inputs[i]
		}
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		at = "layer " + l.Name
		if err := n.layer(s, i); err != nil {
			return l.wrap(err)
		}
		if !reuse {
			continue
		}
		for _, t := range l.Inputs {
			if p.tensors[t].last == i {
				s.release(t)
			}
		}
		if p.tensors[l.Output].last < 0 {
			s.release(l.Output)
		}
	}
	return nil
}

// layer computes layer i's result in its mode, with activation and quantization.
func (n *Network) layer(s *state, i int) error {
	l, p := &n.Layers[i], &n.plan.plan
	out := &s.vals[l.Output]
	count := elements(out.shape)
	out.own = true
	if p.layers[i].mode == Codes {
		out.codes = take(&s.codes, count)
		in := make([]value, len(l.Inputs))
		for k, t := range l.Inputs {
			in[k] = s.vals[t]
		}
		return moveCodes(l.Op, *out, in)
	}
	y := nn.Tensor[float32]{Shape: out.shape, Data: take(&s.values, count)}
	if l.Act != nil { // an activation never changes the shape
		z := nn.Tensor[float32]{Shape: out.shape, Data: take(&s.values, count)}
		if err := n.product(s, i, z); err != nil {
			return err
		}
		if err := nn.Forward(*l.Act, y, []nn.Tensor[float32]{z}); err != nil {
			return err
		}
		s.values = append(s.values, z.Data)
	} else if err := n.product(s, i, y); err != nil {
		return err
	}
	if !p.tensors[l.Output].quantized {
		out.values = y.Data
		return nil
	}
	out.codes = take(&s.codes, count)
	quantize(out.codes, y.Data, p.tensors[l.Output].grid)
	s.values = append(s.values, y.Data)
	return nil
}

// product writes layer i's result before activation and quantization.
func (n *Network) product(s *state, i int, y nn.Tensor[float32]) error {
	l, p := &n.Layers[i], &n.plan.plan
	if p.layers[i].mode != Integer {
		in := make([]nn.Tensor[float32], len(l.Inputs))
		for k, t := range l.Inputs {
			in[k] = n.real(s, t)
		}
		return nn.Forward(l.Op, y, in)
	}
	x := &s.vals[l.Inputs[0]]
	xc, xScale := nn.Codes{Shape: x.shape, Data: x.codes}, p.tensors[l.Inputs[0]].grid.Scale
	if len(l.Inputs) == 1 {
		return nn.IntAvgPool(l.Op, y, xc, xScale)
	}
	var bias []float32
	if len(l.Inputs) == 3 {
		bias = n.real(s, l.Inputs[2]).Data
	}
	w, ws := &s.vals[l.Inputs[1]], p.layers[i].weight
	return nn.IntForward(l.Op, y, xc, nn.Codes{Shape: w.shape, Data: w.codes}, xScale, ws.scale, ws.blocks, ws.blockSize, bias)
}

// real returns a tensor's real values, made from its codes the first time. All
// constants that need it have theirs from the plan.
func (n *Network) real(s *state, t int) nn.Tensor[float32] {
	v := &s.vals[t]
	if v.values == nil {
		v.values = take(&s.values, len(v.codes))
		dequantize(v.values, v.codes, n.plan.plan.tensors[t].grid)
	}
	return nn.Tensor[float32]{Shape: v.shape, Data: v.values}
}

// grain is the number of elements worth a goroutine. Elements are independent, so
// it changes no result.
const grain = 1 << 15

// quantize writes the centred codes of x.
func quantize(dst []int16, x []float32, g kern.Grid) {
	par.For(len(x), grain, func(lo, hi int) { kern.QuantizeCentred(dst[lo:hi], x[lo:hi], g) })
}

// dequantize undoes quantize: what is centred has zero point 0.
func dequantize(dst []float32, codes []int16, g kern.Grid) {
	g.ZeroPoint = 0
	par.For(len(codes), grain, func(lo, hi int) { kern.Dequantize(dst[lo:hi], codes[lo:hi], g) })
}

// elements is the number of elements of a checked shape.
func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
