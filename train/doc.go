// Package train is the training loop: data in shuffled batches, solvers, learning
// rate schedules, evaluation, interruption and resumption. It changes nothing in a
// network's forward pass.
//
// The short way trains a network of package models in float32:
//
//	err := train.Fit(ctx, train.Float(net), data, train.Recipe{Epochs: 40, Schedule: train.Cosine{Base: 3e-3}})
//	score, err := train.Evaluate(train.LogitsOf(net), test, 64)
//
// A *qat.Model takes the place of train.Float(net) to train with quantization.
//
// The configured way is a [Loop] on the nodes of any Gorgonia graph, quantized or
// not: [CrossEntropy] adds a loss to it, [Gradients] the gradients.
//
// # Repeatable runs
//
// A run is a function of the network's parameters, the data, the seed and the
// settings. It gives the same bits for any GOMAXPROCS. The batches of an epoch
// depend on the seed and the epoch's number alone, so a run that was interrupted
// goes on as if nothing had happened from the number of steps made, the network's
// weights and the [State] of its solver. (Masks of dropout layers start over.)
//
// # Fixed batch size
//
// A Gorgonia graph has one batch size. Training leaves the rows of an epoch that do
// not fill a batch out of it, other rows each time; evaluation uses all rows.
package train
