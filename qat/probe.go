package qat

import (
	"errors"
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
)

// errNoBatches is wrapped by helpers that were given no data.
var errNoBatches = errors.New("no calibration batches: give one at least")

// probe runs the evaluation form up to some of its nodes, at any batch size.
type probe struct {
	p    *plan
	mode fqop.Mode
	pick func(*emitter) []*gorgonia.Node
	evs  map[int]*evaluator
}

func (p *plan) newProbe(mode fqop.Mode, pick func(*emitter) []*gorgonia.Node) *probe {
	return &probe{p: p, mode: mode, pick: pick, evs: map[int]*evaluator{}}
}

// run runs one batch and returns the values of the picked nodes, in their order.
// They are good until the next run.
func (pr *probe) run(inputs [][]float32) ([]tapped, error) {
	batch, err := pr.p.batchOf(inputs)
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
	if err := ev.run(inputs); err != nil {
		return nil, err
	}
	out := make([]tapped, len(ev.taps))
	for i, n := range ev.taps {
		x, err := values(n)
		if err != nil {
			return nil, err
		}
		out[i] = tapped{x, n.Shape()}
	}
	return out, nil
}

func (pr *probe) build(batch int) (*evaluator, error) {
	e, err := pr.p.emit(batch, pr.mode, false, 1)
	if err != nil {
		return nil, err
	}
	ev := &evaluator{e: e, taps: pr.pick(e)}
	if ev.m, err = vm.New(e.g, ev.taps...); err != nil {
		return nil, err
	}
	return ev, nil
}

// tapped is a copy of a node's value.
type tapped struct {
	data  []float32
	shape []int
}

// inFloat calls f with all quantizers off and gives them back their phases.
func (p *plan) inFloat(f func() error) error {
	return p.inPhases(func(*fakequant.Quantizer) fakequant.Phase { return fakequant.Off }, f)
}

// inPhases calls f with the quantizers in other phases. Those of rounded weights have
// the phase of their layer's.
func (p *plan) inPhases(phase func(*fakequant.Quantizer) fakequant.Phase, f func() error) error {
	before := map[*fakequant.Quantizer]fakequant.Phase{}
	for _, q := range p.quantizers() {
		before[q] = q.Phase()
		q.SetPhase(phase(q))
	}
	follow := func() {
		for _, l := range p.layers {
			if l.wq != nil {
				l.evalQuantizer().SetPhase(l.wq.Phase())
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

// eachBatch calls f for every batch and fails without any. Errors name the batch.
func eachBatch(data Batches, f func(inputs [][]float32) error) error {
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

// constants runs the part of the evaluation form that depends on no input and
// returns its weights, with batch normalisation folded in.
func (p *plan) constants() (*emitter, error) {
	batch := p.net.Batch
	if batch > 0 {
		batch = 1
	}
	e, err := p.emit(batch, fqop.Quantized, false, 1)
	if err != nil {
		return nil, err
	}
	f := &freezer{p: p, e: e}
	return e, f.computeConstants()
}

// tunable lists the layers whose weights are quantized, in network order.
func (p *plan) tunable() []*layer {
	var ls []*layer
	for _, l := range p.layers {
		if l.wq != nil && !p.static[l.out] {
			ls = append(ls, l)
		}
	}
	return ls
}

// checkFinite refuses data that would spoil a whole layer.
func checkFinite(x []float32) error {
	for i, v := range x {
		if v-v != 0 {
			return fmt.Errorf("%w: element %d is %v", fakequant.ErrData, i, v)
		}
	}
	return nil
}
