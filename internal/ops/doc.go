// Package ops makes Gorgonia graph ops from the layer kinds of package nn.
//
// All ops share one type, [Op], which keeps the rules that Gorgonia's machines
// impose on ops from outside (each was learned by breaking it):
//
//   - a unique number in the hash, or two equal ops on one input become one node;
//   - a new Type on every call, because the caller returns it to a pool;
//   - an output buffer that the op owns and refills, so that a step allocates
//     nothing of tensor size;
//   - no operand is written to, kept, or returned as the result: stock ops
//     overwrite their first operand when nobody else needs it;
//   - a panic becomes an error: Gorgonia runs ops in a goroutine of its own, where
//     nobody else can recover.
//
// The backward pass of an op with several operands is computed once: one node
// returns the first gradient, and small "get" nodes hand out the others.
//
// Machines that know package place do better than these rules: they give ops memory
// that several results share, and run chains of them, from a batch normalisation or a
// sum by way of an activation to a fake-quantizer, as one op (see [Rounded]). Results
// are the same bits either way.
package ops
