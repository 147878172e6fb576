package plan

// This file says in which order a new graph is written.

import (
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/qat/internal/exact"
	"gorgonia.org/gorgonia"
)

// Emit builds the graph for one batch size, in training or evaluation form.
func (p *Plan) Emit(batch int, mode fqop.Mode, training bool, seed uint64) (e *Emitter, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, err = nil, fmt.Errorf("building the graph: %v", r)
		}
	}()
	e = &Emitter{Plan: p, Graph: gorgonia.NewGraph(), mode: mode, training: training, seed: seed, batch: batch,
		Nodes: map[*graph.Value]*gorgonia.Node{}, Raw: map[*graph.Value]*gorgonia.Node{},
		onGrid: map[*graph.Value]bool{}, Weights: map[*Layer]WeightNodes{}, packed: map[*Layer]*exact.Weights{}, learned: map[*fakequant.Quantizer]gorgonia.Nodes{}}
	if e.shapes, err = p.shapes(batch); err != nil {
		return nil, err
	}
	for _, v := range p.Net.Inputs {
		if _, err := e.node(v); err != nil {
			return nil, err
		}
	}
	for _, l := range p.Layers {
		if p.Static[l.Out] {
			continue
		}
		if _, err := e.node(l.Out); err != nil {
			return nil, err
		}
	}
	for _, v := range p.Net.Outputs {
		if _, err := e.node(v); err != nil {
			return nil, err
		}
	}
	if training {
		err = e.carry()
	}
	return e, err
}

// shapes returns the shape of every value at a batch size. A network without an
// open batch axis has only the shapes that it was built with; its batch is 0.
func (p *Plan) shapes(batch int) (map[*graph.Value][]int, error) {
	if p.Net.Batch > 0 {
		shapes, err := p.Net.Shapes(batch)
		if err != nil {
			return nil, fmt.Errorf("batch size %d: %w", batch, err)
		}
		return shapes, nil
	}
	shapes := make(map[*graph.Value][]int, len(p.Net.Values))
	for _, v := range p.Net.Values {
		shapes[v] = v.Shape
	}
	return shapes, nil
}
