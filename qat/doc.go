// Package qat turns a Gorgonia graph into a quantized network and trains it as one.
//
// # What it is for
//
// A trained network computes in float32. Phones and microcontrollers want integers:
// an int8 weight takes a quarter of the memory, and integer products are several
// times faster. Rounding a finished network costs accuracy, little at 8 bits, much
// at 4. Quantization-aware training (QAT) wins most of it back: while the network
// trains, its weights and activations are rounded as they will be later, so it
// learns to live with the rounding.
//
// # A real number as an integer
//
// A number x is stored as a code q, an integer of 2 to 8 bits:
//
//	q  = clamp(round(x / scale) + zero_point, quant_min, quant_max)
//	x' = (q - zero_point) * scale
//
// The scale is the size of one step, in units of x. The zero point is the code of
// 0. A tensor has one scale (per tensor), one for each output channel (per
// channel), or one for each block of input channels of each output channel (per
// block). Package fakequant has the formulas.
//
// To fake-quantize is to replace x by x': still float32, but on the grid. Rounding
// has no useful derivative, so the gradient passes straight through it, and is 0
// where x was clamped (the straight-through estimator, STE).
//
// # The life of a network
//
//	 your graph                      a new graph                        integers
//	┌──────────┐  Prepare  ┌───────────────────────────┐  Freeze  ┌────────────────┐
//	│ x ─ conv │ ────────▶ │ x ─ FQ ─ conv ─ ReLU ─ FQ │ ───────▶ │ frozen.Network │
//	│ BN  ReLU │           │           │               │          │ Run, WriteFile │
//	└──────────┘           │   w ─ BN ─ FQ             │ ◀──────▶ └────────────────┘
//	      ▲                └───────────────────────────┘  Verify:
//	      │                      │          ▲             the same codes
//	      └── the same weights ◀─┘          │
//	                        training: RunAll, solver.Step, Model.Step
//
// FQ is a fake-quantizer. The calls in their order:
//
//   - [Prepare] reads your graph and writes a new one. A config (package qconfig) says
//     how many bits, for which layers, when. Batch normalisation is folded into the
//     weights before it. What the outputs do not need, a loss, metrics, further heads,
//     is carried over in float.
//   - Training is ordinary Gorgonia on [Model.Graph]: turn your variables to it with
//     [Model.Map], call gorgonia.Grad on [Model.Learnables], run any VM with any
//     solver, and call [Model.Step] after each batch.
//   - [Model.Freeze] makes the integer network of package frozen. It ends
//     nothing: training may go on.
//   - [Model.Verify] runs both on one batch and compares them code for code.
//     It finds no difference; see below.
//   - [Model.Report] lists every layer with its format, its range, the error
//     that rounding makes, and the reason where it stays float.
//
// Without training, show some batches to [Model.Calibrate] and call Freeze: that
// is post-training quantization. [Model.PostTraining] does it well: it evens out
// the ranges of neighbouring layers, calibrates, rounds weights so that their errors
// cancel, and corrects biases.
//
// # Where ranges come from, and when
//
// The scale follows from the range of the values. A weight's range is read off the
// weight at each step. The range of an activation is estimated by an observer while
// data passes (package observers). [qconfig.Milestones] say at which call of Step, or of
// [Model.Epoch] for schedules that count epochs, observing and quantizing begin,
// when the observers stop, and when batch normalisation goes over to its running
// statistics. A
// layer may have a schedule of its own, and [Model.SetObserving] freezes or thaws
// observers by hand.
//
// With Estimator [qconfig.LSQ] the scale is a parameter like a weight: the observer starts
// it, the solver moves it. Two and three bits need this. Weights that flip between
// two codes for ever can be damped or frozen ([qconfig.Oscillation]).
//
// # Which layer hurts
//
// [Model.Report] gives the signal-to-noise ratio of every tensor;
// package report/page draws it all on one page, with the ranges over the training if
// [Model.Record] was called. [Model.Sensitivity] measures what each layer
// costs, and [Model.Mixed] suggests which to keep at 8 bits for a size.
//
// # What you train is what you ship
//
// While a layer's operands are quantized, the new graph multiplies their codes with
// integer arithmetic, exactly, as the frozen network does. So Verify promises zero
// differing codes in evaluation form, at any batch size. In training form batch
// normalisation uses the statistics of the batch until they are frozen, and dropout
// drops: then the two differ, as they must.
//
// # What is shared
//
//   - Weights: the new graph's parameters have your names and your memory. A solver
//     that steps on them trains your tensors. Let a parameter of the old graph to
//     another tensor after Prepare, and the two part.
//   - Running statistics of goqat's own batch normalisations are shared too; those of
//     Gorgonia's are copied.
//   - Inputs and labels are not shared: Let data to the nodes of the new graph. One that
//     had a value keeps it until then.
//   - A frozen network shares nothing.
//
// One Model is for one network and one goroutine at a time. A frozen network may
// be run by any number of goroutines.
package qat
