// # Numbers
//
// Products (Conv, MatMul and their gradients) sum in the element type, one term
// at a time: the taps of a convolution by channel, kernel row and kernel column,
// the terms of a matrix product by index. Weight gradients of a convolution sum
// over the images of a chunk of eight, then over the chunks.
//
// All other sums (Reduce, averages, Softmax, the gradients of biases, of
// normalisation parameters and of broadcast operands) run in float64 in an order that
// depends on the shape alone and are rounded once. Sums along contiguous elements,
// but those of Softmax and of small averages, have sixteen lanes: element i of a
// stretch is added to lane i%16, and the lanes are added at the end (see
// kern.ChannelStats). Where gradients of overlapping pooling windows meet, they add
// in the element type in the order of the outputs.
//
// Elementary functions are those of package kern, computed in float64 and rounded once,
// with the same bits on every processor. No product and sum are fused but in them.
package nn
