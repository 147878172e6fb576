// Package onnxin reads ONNX models. [Read] and [ReadFile] turn a float model into a
// Gorgonia graph that is ready for qat.Prepare; [ReadFrozen] and [ReadFrozenFile]
// turn a quantized model that package qat/export/onnxout wrote back into the frozen
// network it came from.
//
//	m, err := onnxin.ReadFile("resnet.onnx", onnxin.Options{Batch: 32})
//	q, err := qat.Prepare(m.Graph, qconfig.Config{}, m.Outputs...)
//
// # What is read
//
// Operator sets 7 to 26 of the standard domain. Convolutions and pools are 1-D to
// 3-D. The operators are those of image networks and transformer encoders; [Ops]
// lists them. A model with others gives one error that names every such node;
// [Options.Outputs] ends it before them. An If is replaced by the branch that is taken,
// which must be known: [Options.Constants] fixes inputs that it asks for.
//
// Everything is computed in float32: float16, bfloat16 and double tensors are
// converted. Whole-number inputs (token numbers) become float32 inputs that hold
// whole numbers, exact up to 2^24. Shapes are computed while reading, for the batch
// size of [Options], and qat.Prepare then finds the batch axis again. So are all other
// values that depend on no input and no float initializer.
//
// Float initializers of rank 1 and more become parameters under their names. Exporters
// put equal ones together behind Identity nodes; those come apart again. Single numbers
// and the results of Constant nodes become constants, except as weights. The statistics of
// BatchNormalization become running statistics; they, and Dropout, are in inference
// form in the graph and in training form in what qat.Prepare makes of it.
//
// Layers that no kind of goqat's fits are written with several: Softsign with an
// absolute value, a sum and a quotient, for example. The other way round, the chain of
// ReduceMean, Sub, Pow, Sqrt and Div that stands for a layer normalisation is one layer.
//
// # Files are not trusted
//
// A damaged or hostile file gives an error, not a panic. Memory is bounded by the
// size of the file, external data included, plus [Options.MaxElements]. External data
// must lie in the folder of the model or below; symbolic links out of it are refused.
package onnxin
