package frozen

import "github.com/goqat/goqat/internal/nn"

// IntProduct computes a convolution or matrix product on centred codes
// (q - zero_point), exactly as Run does: integer sums, scaled, then the bias. The
// training graph uses it too, which is why both give the same codes. x has one
// scale; w is quantized as wq says; bias may be nil. name is w's, for errors.
func IntProduct(op Op, out nn.Tensor[float32], x nn.Codes, xScale float32, w nn.Codes, name string, wq Quant, bias []float32) error {
	ws, err := scalesOf(op, &Tensor{Name: name, Shape: w.Shape, Quant: &wq})
	if err != nil {
		return err
	}
	return nn.IntForward(op, out, x, w, xScale, ws.scale, ws.blocks, ws.blockSize, bias)
}
