// Package onnxout writes a frozen network as an ONNX model in QDQ form: integers are
// stored as integers, and pairs of QuantizeLinear and DequantizeLinear say where the
// network rounds. Any ONNX runtime can run the file; those that know the form, such
// as ONNX Runtime, turn it into integer kernels.
//
//	frozen.Network                       ONNX (opset 21, IR version 10)
//	quantized input or result            [Clip] → QuantizeLinear → DequantizeLinear
//	quantized weight                     int8, uint8, int4 or uint4 initializer → DequantizeLinear
//	float tensor                         float32 initializer or value
//	conv, matmul, add, pool, …           Conv, Gemm or MatMul, Add, MaxPool, …
//	reshape, transpose, slice, take,     the node on codes, between QuantizeLinear
//	max pool, … on one grid              and DequantizeLinear
//	gather                               Cast of the indices to int64 → Gather
//	Notes                                metadata_props
//
// # Numbers
//
// The formulas of QuantizeLinear and DequantizeLinear are those of package
// fakequant, so a runtime that computes what the file says differs from
// [frozen.Network.Run] by the rounding of float32 sums only: a result that lies at
// the middle between two codes may become the other one. Integer kernels of a
// runtime may differ by one code for the same reason.
//
//   - Weights of 4 bits and fewer are stored as int4 or uint4, others as int8 or
//     uint8. Activations are int8 or uint8; a Clip keeps formats with fewer codes
//     inside their range, because QuantizeLinear saturates at the full one.
//   - Zero points are always written, also when they are 0: without them ONNX
//     Runtime 1.27 refuses some graphs.
//   - Per-block scales have all axes of the weight but the blocked one in full, as
//     ONNX wants them. Blocks as long as the axis are written per channel.
//   - Biases are float32, or int32 with scale float32(x_scale·w_scale): see [Bias]. An
//     integer kernel of a runtime rounds them to int32 in any case, by half a step of
//     the sum at most.
//   - A channel whose weights are all 0 may get a larger scale, so that its bias fits
//     int32.
//
// # Layouts
//
// They are chosen for ONNX Runtime. A matrix product with a constant right factor is
// a Gemm: with transB and weights [out, in] where x is quantized, which becomes
// QGemm; without, and weights [in, out], where x is float, which becomes MatMulNBits.
// Other matrix products are MatMul. Convolutions with a quantized result become
// QLinearConv.
//
// A layer that ONNX Runtime 1.27 would compute wrongly or worse than the file says has
// a Clip to the whole range in front of x. It changes no number; the runtime sees no
// pattern to replace, and the layer runs in float32, as it would anyway or must:
//
//   - 8-bit weights per block, where the integer kernel fails;
//   - sums or biases beyond 32 bits;
//   - a bias that would be rounded to int32 for nothing: with 4-bit weights, or a
//     convolution whose result is not rounded at once;
//   - float weights beside a quantized x, which would become int8 per tensor;
//   - an output that stays float and that later layers read rounded, which would be rounded
//     itself.
//
// Local response normalisation is written for every size, but ONNX Runtime refuses it
// with an even size, with alpha or beta of 0 or less, and on other than four axes.
//
// MatMulNBits quantizes its input by default, which is about 1 % off; the session
// setting session.qdq_matmulnbits_accuracy_level = "1" turns that off. On x86
// processors without VNNI, sums of unsigned 8-bit activations and signed 8-bit
// weights may saturate unless session.x64quantprecision = "1" is set.
//
// # Files
//
// Protobuf ends at 2 GiB. [WriteFile] moves large tensors to a second file,
// path.data, when the sum passes 1.5 GB; both must stay in one folder. Equal networks
// and options give equal bytes with the same version of this module.
package onnxout
