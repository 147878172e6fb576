package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/goqat/goqat/qat/importer/onnxin"
	"gorgonia.org/gorgonia"
)

// onnxNetwork reads the network of an ONNX file for the batch that is asked for. A
// file that cannot be read gives an error that names every operator in the way.
func onnxNetwork(o options) (network, error) {
	m, err := onnxin.ReadFile(o.onnx, onnxin.Options{Batch: o.batch})
	if err != nil {
		return network{}, err
	}
	if len(m.Inputs) == 0 || len(m.Outputs) == 0 {
		return network{}, fmt.Errorf("%d inputs and %d outputs that depend on them: there is nothing to run", len(m.Inputs), len(m.Outputs))
	}
	for _, x := range m.Inputs {
		if x.Shape().Dims() == 0 || x.Shape()[0] != o.batch {
			return network{}, fmt.Errorf("input %q has shape %v in the file, not an open batch: -batch %d does not fit", x.Name(), x.Shape(), o.batch)
		}
	}
	n := network{g: m.Graph, inputs: m.Inputs, outputs: m.Outputs, unit: "rows",
		number: func(rng *rand.Rand) float32 { return float32(rng.NormFloat64()) }}
	if o.tokens > 0 {
		n.number = func(rng *rand.Rand) float32 { return float32(rng.IntN(o.tokens)) }
	}
	for _, p := range m.Params {
		n.size += p.Shape().TotalSize()
	}
	n.params = paramNodes(m)
	return n, nil
}

// paramNodes returns the parameters in the order of their names.
func paramNodes(m *onnxin.Model) gorgonia.Nodes {
	var all gorgonia.Nodes
	for _, name := range m.ParamNames() {
		all = append(all, m.Params[name])
	}
	return all
}
