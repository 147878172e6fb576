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
	ws, err := ScalesOf(op, name, w.Shape, wq)
	if err != nil {
		return err
	}
	l, err := wq.Spec.Layout(w.Shape)
	if err != nil {
		return err
	}
	var bad error
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
	fill := func(dst []int16) { bad = fakequant.Centred(dst, w.Data, l, wq.Spec, wq.Params) }
	p := products.Get().(*nn.IntLayer)
	grid := xq.Grid().Biased()
	err = p.Set(op, grid, nn.IntWeights{Shape: w.Shape, Fill: fill, Bytes: bytes, Scale: ws.Scale, Blocks: ws.Blocks, BlockSize: ws.BlockSize})
	if err == nil {
		err = bad
	}
	if err == nil {
		err = p.Forward(0, nn.IntTensor{Shape: out.Shape, Values: out.Data}, kern.NoClip(),
			nn.IntTensor{Shape: x.Shape, Values: x.Data, Grid: grid}, bias)
	}
	products.Put(p)
	return err
}

// Average computes an average pooling of real numbers on the grid of xq exactly as the
// frozen network does: integer sums of their codes, scaled and divided.
func Average(op nn.Op, out, x nn.Tensor[float32], xq Quant) error {
	return nn.IntAvgPool(0, op, out, nn.IntTensor{Shape: x.Shape, Values: x.Data, Grid: xq.Grid().Biased()})
}
