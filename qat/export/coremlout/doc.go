// Package coremlout writes a frozen network as a Core ML package (.mlpackage): an ML
// Program that stores integers as integers, and whose quantize and dequantize
// operations say where the network rounds. It needs neither macOS nor Python.
//
//	frozen.Network                       ML Program
//	quantized input or result            [clip] → quantize → dequantize
//	quantized weight                     constexpr_blockwise_shift_scale (iOS 18)
//	                                     constexpr_affine_dequantize (iOS 16, iOS 17)
//	float tensor                         const or value, float32 or float16
//	conv, matmul, add, pool, …           conv, linear or matmul, add, max_pool, …
//	Notes                                user-defined metadata
//
// # Targets
//
//	            weights                              quantized activations
//	IOS18       2 to 8 bits, tensor, channel, block  yes
//	IOS17       5 to 8 bits, tensor, channel         yes
//	IOS16       5 to 8 bits, tensor, channel         no
//
// Codes of 2 to 4 bits are stored as int4 or uint4, others as int8 or uint8. What a
// target lacks is an error that names the layer.
//
//   - Per-block scales of a convolution have the shape [K, C/b, 1, 1]. Core ML knows no
//     shorter last block: such blocks are cut into equal ones (24 channels in blocks of
//     16 become blocks of 8), and every weight keeps its scale.
//   - A matrix product with a constant right factor is linear, with weights [out, in].
//   - Activations are int8 or uint8; a clip keeps formats with fewer codes inside their
//     range, because quantize saturates at the full one. Zero points of 0 are left out.
//
// # Numbers
//
// The formulas of these operations are those of package fakequant, so with Float32 a
// program computes what [frozen.Network.Run] does, but for the rounding of float32
// sums: a result in the middle between two codes may become the other one. Float16
// rounds everything between to half precision. A logarithm has MIL's epsilon, 1e-45.
//
// The packages are checked against the format's definition and evaluated on other
// machines than Apple's. How a device computes them, and how fast, is not known from
// that.
//
// # Names and shapes
//
// Names in a program are identifiers: "conv1.weight" becomes conv1_weight, with a
// number behind it if that is taken. The metadata entry goqat.names holds the changed
// ones, a JSON object from identifier to name. Inputs and outputs are float32 arrays of
// fixed shape: open dimensions become Options.Batch, 1 by default. A scalar output has
// the shape [1].
package coremlout
