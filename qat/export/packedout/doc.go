// Package packedout writes the matrix products of a frozen network in the layout that
// compressed-tensors calls "pack-quantized": a safetensors file and a config.json, which
// transformers, vLLM and other programs for large models read.
//
//	frozen.Network                              model.safetensors
//	weight [out, in] of 5 to 8 bits             M.weight_packed      I32 [out, ⌈in/4⌉]
//	weight [out, in] of 2 to 4 bits             M.weight_packed      I32 [out, ⌈in/8⌉]
//	                                            M.weight_shape       I64 [2]: out, in
//	scales                                      M.weight_scale       F32 [out, groups]
//	zero points, unless all are 0               M.weight_zero_point  I32 [⌈out/8⌉, groups],
//	                                                                 or ⌈out/4⌉
//	bias                                        M.bias               F32 [out]
//	every other constant                        its name             F32
//
// M is the module: the weight's name without ".weight", or the layer's name where the
// weight's ends otherwise. A matrix that the network has as [in, out] is transposed, as
// torch.nn.Linear wants it. groups is 1 for one scale per output channel (a scale for
// the whole tensor is repeated), else in/group_size.
//
// Codes are signed, with 2^(bits-1) added to make them positive. They lie in 32-bit words
// from the lowest bits on, each row padded with zero bits; zero points the same down the
// columns. Unsigned codes and their zero points are both moved by 2^(bits-1), which
// changes no number: (q - zero_point)·scale is that of the frozen network, bit for bit.
// Formats of less than 4 or 8 bits use part of the range. (Sources: pack_quantized and
// quant_args.py in github.com/vllm-project/compressed-tensors.)
//
// # What the layout cannot say
//
// It is about weights alone: activations are float where it is read, so results differ
// from those of the frozen network, which rounds activations too, unless that was trained
// for weights alone. [Report] counts what is lost.
//
// Only linear layers fit: products x·w of x with a constant matrix, with one scale per
// output channel or per group of inputs. Convolutions and other quantized tensors do
// not, nor do groups that do not divide the inputs. By default such a tensor is an error
// that gives the reason; with [Options].Dense it is written as float. Every module whose
// weights are float in the file, also because the network has them so or because they are
// an embedding table, is listed under "ignore" in the config, unless it is packed as well.
package packedout
