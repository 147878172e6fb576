package onnxin

import (
	"maps"
	"slices"

	"gorgonia.org/gorgonia"
)

// Options say how to read a model. The zero value is usual.
type Options struct {
	// Batch is the batch size of the graph: it replaces an open first dimension of the
	// inputs. 0: 1.
	Batch int
	// Shapes gives the shapes of inputs by name and replaces those in the file. It is
	// needed for open dimensions other than the batch.
	Shapes map[string][]int
	// Constants fixes inputs by name: row-major numbers, or one for all elements. What
	// depends on nothing else is then computed while reading, a sampling rate that an If
	// asks for, say, and they are no Inputs of the model. Inputs of truth values take 0 and 1.
	Constants map[string][]float64
	// Outputs names the values that the model ends at, in their order: results of any
	// nodes. nil: the file's outputs. Nodes behind them need not be importable.
	Outputs []string
	// Training makes the graph itself train: batch normalisation uses the statistics of
	// the batch and dropout drops. It is not needed for qat.Prepare, whose graphs
	// train anyway.
	Training bool
	// MaxElements bounds the elements of tensors that the file does not hold but has
	// computed (ConstantOfShape, Expand …), all together. 0: one million and four times
	// the size of the file in bytes.
	MaxElements int
}

// Model is a float model as a Gorgonia graph.
type Model struct {
	Graph *gorgonia.ExprGraph
	// Inputs are the graph's inputs that the outputs depend on, in the order and with
	// the names of the file. They have no values yet.
	Inputs gorgonia.Nodes
	// Outputs are in the order of the file, OutputNames their names there. The nodes
	// are named after the file's nodes that compute them.
	Outputs     gorgonia.Nodes
	OutputNames []string
	// Params are the trainable leaves by their names in the file. They hold their values.
	Params map[string]*gorgonia.Node
	// Producer is the program that wrote the file, with its version.
	Producer string
}

// ParamNames returns the names of Params, sorted.
func (m *Model) ParamNames() []string { return slices.Sorted(maps.Keys(m.Params)) }
