package plan

// This file says what values stand inside the network while data passes.

import (
	"errors"
	"fmt"
	"iter"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
)

// errNoBatches is wrapped by helpers that were given no data.
var errNoBatches = errors.New("no calibration batches: give one at least")

// Probe runs the evaluation form up to some of its nodes, at any batch size.
type Probe struct {
	p    *Plan
	mode fqop.Mode
	pick func(*Emitter) []*gorgonia.Node
	evs  map[int]*Evaluator
}

func (p *Plan) NewProbe(mode fqop.Mode, pick func(*Emitter) []*gorgonia.Node) *Probe {
	return &Probe{p: p, mode: mode, pick: pick, evs: map[int]*Evaluator{}}
}

// Run runs one batch and returns the values of the picked nodes, in their order.
// They are good until the next run.
func (pr *Probe) Run(inputs [][]float32) ([]Tapped, error) {
	inputs, err := pr.p.Fill(inputs)
	if err != nil {
		return nil, err
	}
	batch, err := pr.p.BatchOf(inputs)
	if err != nil {
		return nil, err
	}
	ev := pr.evs[batch]
	if ev == nil {
		if ev, err = pr.build(batch); err != nil {
			return nil, err
		}
		pr.evs[batch] = ev
	}
	if err := ev.Run(inputs); err != nil {
		return nil, err
	}
	out := make([]Tapped, len(ev.taps))
	for i, n := range ev.taps {
		x, err := Floats(n)
		if err != nil {
			return nil, err
		}
		out[i] = Tapped{x, n.Shape()}
	}
	return out, nil
}

func (pr *Probe) build(batch int) (*Evaluator, error) {
	e, err := pr.p.Emit(batch, pr.mode, false, 1)
	if err != nil {
		return nil, err
	}
	ev := &Evaluator{Emitter: e, taps: pr.pick(e)}
	if ev.machine, err = vm.New(e.Graph, ev.taps...); err != nil {
		return nil, err
	}
	return ev, nil
}

// Tapped is a copy of a node's value.
type Tapped struct {
	Data  []float32
	Shape []int
}

// InFloat calls f with all quantizers off and gives them back their phases.
func (p *Plan) InFloat(f func() error) error {
	return p.InPhases(func(*fakequant.Quantizer) fakequant.Phase { return fakequant.Off }, f)
}

// InPhases calls f with the quantizers in other phases. Those of rounded weights have
// the phase of their layer's.
func (p *Plan) InPhases(phase func(*fakequant.Quantizer) fakequant.Phase, f func() error) error {
	before := map[*fakequant.Quantizer]fakequant.Phase{}
	for _, q := range p.Quantizers() {
		before[q] = q.Phase()
		q.SetPhase(phase(q))
	}
	follow := func() {
		for _, l := range p.Layers {
			if l.WeightQuantizer != nil {
				l.EvalQuantizer().SetPhase(l.WeightQuantizer.Phase())
			}
		}
	}
	follow()
	defer func() {
		for q, ph := range before {
			q.SetPhase(ph)
		}
		follow()
	}()
	return f()
}

// EachBatch calls f for every batch and fails without any. Errors name the batch.
func EachBatch(data iter.Seq[[][]float32], f func(inputs [][]float32) error) error {
	if data == nil {
		return errNoBatches
	}
	n := 0
	for inputs := range data {
		if err := f(inputs); err != nil {
			return fmt.Errorf("batch %d: %w", n, err)
		}
		n++
	}
	if n == 0 {
		return errNoBatches
	}
	return nil
}

// Constants runs the part of the evaluation form that depends on no input and
// returns its weights, with batch normalisation folded in.
func (p *Plan) Constants() (*Emitter, error) {
	batch := p.Net.Batch
	if batch > 0 {
		batch = 1
	}
	return p.ConstantsAt(batch)
}

// ConstantsAt is constants in a form for a batch size: ops that goqat does not know are
// bound to theirs.
func (p *Plan) ConstantsAt(batch int) (*Emitter, error) {
	e, err := p.Emit(batch, fqop.Quantized, false, 1)
	if err != nil {
		return nil, err
	}
	f := &freezer{p: p, e: e}
	return e, f.computeConstants()
}

// Tunable lists the layers that multiply with quantized weights, in network order.
func (p *Plan) Tunable() []*Layer {
	var ls []*Layer
	for _, l := range p.Layers {
		if l.Weighted && l.WeightQuantizer != nil && !p.Static[l.Out] {
			ls = append(ls, l)
		}
	}
	return ls
}

// CheckFinite refuses data that would spoil a whole layer.
func CheckFinite(x []float32) error {
	for i, v := range x {
		if v-v != 0 {
			return fmt.Errorf("%w: element %d is %v", fakequant.ErrData, i, v)
		}
	}
	return nil
}
