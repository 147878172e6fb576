// Package fakequant turns real numbers into small integers and back: formats,
// scales and zero points, quantization, fake quantization with its gradient,
// packing, and the state of a quantizer in training. It gathers no statistics
// (package observers does) and knows no graph.
//
// # The formulas
//
// Everything is float32. A real number x has the code q, and the code has the
// value x':
//
//	q  = clamp(rne(x / scale) + zero_point, quant_min, quant_max)
//	x' = (q - zero_point) * scale
//
//	x             a value; NaN becomes quant_min, infinities saturate
//	scale         the distance of two neighbouring values, above 0
//	zero_point    the code of the number 0, which is always exact
//	quant_min     the smallest code, -128 for int8
//	quant_max     the largest code, 127 for int8
//	rne           rounding to the nearest integer, halves to the even one:
//	              0.5 -> 0, 1.5 -> 2, 2.5 -> 2, -0.5 -> 0
//	clamp         limiting to the code range
//
// x is divided by scale, as ONNX and Core ML do. PyTorch multiplies by 1/scale
// rounded to float32, which lands one code away for the few values that lie
// almost in the middle of two.
//
// The grid of a 3-bit affine format with scale 0.5 and zero point -2:
//
//	code q    -4    -3    -2    -1     0     1     2     3
//	           |-----|-----|-----|-----|-----|-----|-----|
//	value x'  -1   -0.5    0    0.5    1    1.5    2    2.5
//	           ^           ^                             ^
//	       quant_min   zero_point                    quant_max
//
// Values from -1.25 to 2.75 keep their place to within half a step; what lies
// beyond the ends is clipped to them.
//
// # The gradient
//
// Rounding has no useful derivative. The straight-through estimator (STE) takes
// that of the identity inside the range and 0 outside:
//
//	dx = dy   where quant_min <= rne(x / scale) + zero_point <= quant_max
//	     0    elsewhere
//
// # Which elements share a grid
//
// A [Spec] names the format; [Spec.Layout] applies it to a shape. One scale and
// zero point belong to the whole tensor (per-tensor), to each index of an axis
// (per-channel), or to each block of an axis within each channel (per-block). The
// last block of a row may be shorter. [ParamsFromRange] fits a grid to an
// observed range.
//
// # In training
//
// A [Quantizer] holds a format, parameters and a [Phase]; each tensor that passes
// through it does so at a [Site] with an observer of its own. Phases switch
// observing and rounding on and off between two runs of a graph, which need not be
// compiled again.
//
// # Sources
//
//   - Jacob et al., Quantization and Training of Neural Networks for Efficient
//     Integer-Arithmetic-Only Inference, CVPR 2018: the affine grid, fake
//     quantization, the clipping mask.
//   - Bengio, Léonard, Courville, Estimating or Propagating Gradients Through
//     Stochastic Neurons, 2013: the straight-through estimator.
//   - PyTorch, torch/ao/quantization/observer.py: scale and zero point of a range.
//   - Core ML Tools, coremltools/optimize/_utils.py, and the ONNX operators
//     QuantizeLinear and DequantizeLinear: division, block shapes, 4-bit packing.
package fakequant
