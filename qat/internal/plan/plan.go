// Package plan says what is where in a network and what becomes of it: it fuses the
// layers of a graph that was read, places quantizers, writes training and evaluation
// graphs, and turns the result into integers. It knows neither reports nor post-training
// helpers.
package plan

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/qconfig"
)

func blankPlan(net *graph.Net, cfg qconfig.Config) *Plan {
	return &Plan{Net: net, Config: cfg, unfolded: cfg.Float, Evals: map[evalKey]*Evaluator{}, Static: map[*graph.Value]bool{}, trained: map[*graph.Value]bool{}, Families: map[*graph.Value]*Family{},
		Maker: map[*graph.Value]*Layer{}, rounded: map[*graph.Value]*graph.Value{}, learned: map[*fakequant.Quantizer]learnedMemory{}, Statistics: map[*graph.Layer]*ops.BNState{}}
}

// New fuses the layers of net and places quantizers as cfg says.
func New(net *graph.Net, cfg qconfig.Config) (*Plan, error) {
	p := blankPlan(net, cfg)
	p.layOut()
	p.moveBiases()
	p.findStatic()
	if err := p.findStatistics(); err != nil {
		return nil, err
	}
	p.fuse()
	if cfg.Float {
		p.leaveFloat()
		return p, nil
	}
	if err := p.configure(cfg); err != nil {
		return nil, err
	}
	if err := p.place(); err != nil {
		return nil, err
	}
	if err := p.watch(); err != nil {
		return nil, err
	}
	for _, q := range p.Quantizers() {
		st, err := q.State()
		if err != nil {
			return nil, err
		}
		p.initial = append(p.initial, st)
	}
	return p, nil
}
