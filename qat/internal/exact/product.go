// Package exact is the one integer forward pass: what codes are multiplied and summed
// to. The training graph and the frozen network both run it, which is why both give the
// same codes. It knows formats and kernels, no graph and no network.
package exact

import (
	"sync"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
)

// products are set up again for every product of the training graph.
var products = sync.Pool{New: func() any { return new(nn.IntLayer) }}

// Product computes a convolution or matrix product of real numbers that lie on
// integer grids exactly as the frozen network does: integer sums of their codes, scaled,
// then the bias. x is quantized per tensor, as xq says; w as wq says; bias may be nil. name is w's, for
// errors. codes are w's centred codes, nil if they are not known: then they exist only
// in packed form, inside the product.
func Product(op nn.Op, out, x nn.Tensor[float32], xq Quant, w nn.Tensor[float32], name string, wq Quant, codes []int8, bias []float32) error {
	p := products.Get().(*nn.IntLayer)
	defer products.Put(p)
	grid := xq.Grid().Biased()
	if err := setUp(p, op, grid, w, name, wq, codes); err != nil {
		return err
	}
	return forward(p, out, x, grid, bias)
}

func forward(p *nn.IntLayer, out, x nn.Tensor[float32], grid kern.Grid, bias []float32) error {
	return p.Forward(0, nn.IntTensor{Shape: out.Shape, Values: out.Data}, kern.NoClip(),
		nn.IntTensor{Shape: x.Shape, Values: x.Data, Grid: grid}, bias)
}

// setUp packs weights for inputs on a grid.
func setUp(p *nn.IntLayer, op nn.Op, grid kern.Grid, w nn.Tensor[float32], name string, wq Quant, codes []int8) error {
	ws, err := ScalesOf(op, name, w.Shape, wq)
	if err != nil {
		return err
	}
	l, err := wq.Spec.Layout(w.Shape)
	if err != nil {
		return err
	}
	part, most, err := fakequant.CentredBytes(w.Data, l, wq.Spec, wq.Params)
	if err != nil {
		return err
	}
	var bytes *kern.ByteWeights
	if part != nil {
		if codes != nil {
			part = func(dst []int8, lo, hi int) { copy(dst, codes[lo:hi]) }
		}
		if m, ok := op.(nn.MatMul); ok && codes == nil && !m.TransB {
			// Panels take pieces of rows, which are too short to be rounded one by one.
			all := kern.Scratch[int8](len(w.Data))
			defer kern.Return(all)
			fakequant.CentredAll(*all, l, part)
			codes = *all
		}
		bytes = &kern.ByteWeights{Fill: part, MaxAbs: most, Codes: codes}
	}
	var bad error
	fill := func(dst []int16) { bad = fakequant.Centred(dst, w.Data, l, wq.Spec, wq.Params) }
	err = p.Set(op, grid, nn.IntWeights{Shape: w.Shape, Fill: fill, Bytes: bytes, Scale: ws.Scale, Blocks: ws.Blocks, BlockSize: ws.BlockSize})
	if err != nil {
		return err
	}
	return bad
}

// Weights are packed once for all products with them, while they stay as they are. The zero
// value is ready. It belongs to one graph, whose ops run one after the other.
type Weights struct {
	p    nn.IntLayer
	op   nn.Op // of the last product; nil for none
	data *float32
	pass uint64
}

// Product is the function [Product]. The weights are those of the last call if they lie in
// the same memory and pass, which counts the times that they were quantized, is the same.
func (k *Weights) Product(pass uint64, op nn.Op, out, x nn.Tensor[float32], xq Quant, w nn.Tensor[float32], name string, wq Quant, codes []int8, bias []float32) error {
	grid := xq.Grid().Biased()
	if k.op != op || k.pass != pass || k.data != &w.Data[0] || !k.p.Regrid(grid) {
		k.op = nil
		if err := setUp(&k.p, op, grid, w, name, wq, codes); err != nil {
			return err
		}
		k.op, k.data, k.pass = op, &w.Data[0], pass
	}
	return forward(&k.p, out, x, grid, bias)
}

// Average computes an average pooling of real numbers on the grid of xq exactly as the
// frozen network does: integer sums of their codes, scaled and divided.
func Average(op nn.Op, out, x nn.Tensor[float32], xq Quant) error {
	return nn.IntAvgPool(0, op, out, nn.IntTensor{Shape: x.Shape, Values: x.Data, Grid: xq.Grid().Biased()})
}
