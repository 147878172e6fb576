// Package frozen holds the frozen integer network: what training leaves behind,
// what ships, and what every export starts from. It is a plain value that knows
// neither Gorgonia nor training, so a program that only runs a network needs
// nothing but this package.
//
//	         float32                                                  float32
//	            │ quantize                                   dequantize ▲
//	            ▼                                                       │
//	x  ──▶  codes q_x ──┐                                          codes q_y ──▶ next layer
//	                    ▼                                               ▲
//	        Σ (q_x−z_x)·(q_w−z_w) ──▶ ·(s_x·s_w[c]) + b[c] ──▶ act ──▶ quantize
//	                    ▲              float32, once per output
//	w  ──   codes q_w ──┘
//	        constant, 2 to 8 bits
//
// A code q stands for (q − zero_point)·scale. Sums of products are exact integers;
// float32 appears once per output, to scale the sum, add the bias and round to the
// next tensor's codes, by the formulas of package fakequant. Where an operand was
// left float, the layer computes in float32: [Network.Mode] tells.
//
// The rules are the definition of the network (Jacob et al. 2018, "Quantization
// and Training of Neural Networks for Efficient Integer-Arithmetic-Only
// Inference", with a float multiplier in place of the fixed-point one):
//
//   - Convolution, transposed or not, or matrix product of two quantized operands: exact
//     sums of centred codes q − z, one per block of the weights, each times the scales'
//     product, added in the order of the blocks; then the bias.
//   - Average pool of a quantized tensor: the exact sum times the scale, divided by
//     the count.
//   - Max pool, reshape, transpose, slice, concat, take, nearest resize and dropout
//     between tensors on one grid: codes move, nothing is rounded.
//   - Everything else: operands are dequantized and the layer runs in float32. A
//     quantized weight beside a float x is dequantized once.
//   - Then the activation; then the result is rounded, where it has a Quant.
//
// Training computes the same, so both give the same codes: [Network.Trace] shows
// all of them. The same row gives the same bits in any batch, on any number of
// processors, with any vector instructions.
//
// # How it runs
//
// Between quantized layers there are bytes only: a tensor is held as q − quant_min,
// one byte per element, row-major. A convolution or a product takes bytes in and
// puts bytes out; scaling, bias, activation and rounding happen while a tile of
// sums is in the first-level cache. Sums of residual connections, elementwise
// functions (a table of 256 codes) and layers that move values on are computed on
// bytes, too, also where [Network.Mode] says Float, because they give the same bits.
//
// Constant weights are packed once, at the first Run, Trace or [Network.Runner], for
// the processor's vector instructions. With VNNI, symmetric weights of 4 bits or fewer
// stay packed two to a byte in memory and are unpacked panel by panel into cache;
// others take a byte per code there, and two bytes where codes less their zero point
// do not fit one, or without VNNI. Portable code unpacks the stored codes at every run.
//
// Runs share their buffers through a pool, so that a network in steady use allocates
// its outputs and little else. [Network.Runner] limits the goroutines of a run; small
// layers run in the caller's goroutine alone.
//
// # Files
//
// [Network.Write] writes a safetensors file, which most tools can open. A quantized
// constant "w" is stored as
//
//	w.qweight      I8 or U8, one code per byte in w's shape; with 4 bits or fewer
//	               U8 [⌈n/2⌉], two codes to a byte, the first in the low nibble
//	w.scale        F32, in the rank of w: 1 on axes that share
//	w.zero_point   I8 or U8 as the codes are signed or not, one byte each
//
// a float constant under its own name, and a quantized input or result by .scale
// and .zero_point of shape [1]. The metadata are
//
//	format    goqat
//	version   1
//	network   JSON: tensors (name, shape with -1 for the open dimension, quant,
//	          const, default), layers (name, kind, op, act, inputs, output), inputs, outputs
//	notes     JSON object of texts; absent without notes
//	sha256    over network and notes, a zero byte after each, then the data of all
//	          stored tensors in the order of their names' bytes; hexadecimal
//
// The bytes depend on the network alone.
package frozen
