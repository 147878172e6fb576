package train

import (
	"fmt"

	"github.com/goqat/goqat/internal/kern"
	"gorgonia.org/gorgonia"
)

// SGDConfig are the settings of [SGD].
type SGDConfig struct {
	LearnRate   float64 // positive; the schedule of a [Loop] overrides it
	Momentum    float64 // 0 <= Momentum < 1; 0: plain gradient descent
	WeightDecay float64 // at least 0; adds WeightDecay*w to the gradient (L2)
	Nesterov    bool    // look ahead along the velocity; needs Momentum > 0
	// NoDecay reports parameters without weight decay, by name. Nil: none.
	NoDecay func(name string) bool
}

// SGD is stochastic gradient descent with momentum, as torch.optim.SGD:
//
//	g = grad + WeightDecay*w
//	v = Momentum*v + g            v is 0 at first
//	w -= LearnRate*v              with Nesterov: LearnRate*(g + Momentum*v)
type SGD struct {
	cfg SGDConfig
	slots
}

// NewSGD checks the settings. Errors wrap ErrConfig.
func NewSGD(cfg SGDConfig) (*SGD, error) {
	switch {
	case !(cfg.LearnRate > 0):
		return nil, fmt.Errorf("train: sgd: %w: LearnRate %v, want more than 0", ErrConfig, cfg.LearnRate)
	case !(cfg.Momentum >= 0 && cfg.Momentum < 1):
		return nil, fmt.Errorf("train: sgd: %w: Momentum %v, want 0 <= Momentum < 1", ErrConfig, cfg.Momentum)
	case !(cfg.WeightDecay >= 0):
		return nil, fmt.Errorf("train: sgd: %w: WeightDecay %v, want at least 0", ErrConfig, cfg.WeightDecay)
	case cfg.Nesterov && cfg.Momentum == 0:
		return nil, fmt.Errorf("train: sgd: %w: Nesterov needs Momentum > 0", ErrConfig)
	}
	o := &SGD{cfg: cfg}
	o.slots = slots{kind: "sgd", rate: &o.cfg.LearnRate, moments: 1, squares: -1}
	return o, nil
}

// LearnRate returns the current learning rate.
func (o *SGD) LearnRate() float64 { return o.cfg.LearnRate }

// SetLearnRate changes the learning rate from the next step on.
func (o *SGD) SetLearnRate(lr float64) { o.cfg.LearnRate = lr }

// Step updates the parameters in place. See [Optimizer] for what it takes.
func (o *SGD) Step(params []gorgonia.ValueGrad) error {
	if err := o.gather(params); err != nil {
		return err
	}
	for i := range o.items {
		it := &o.items[i]
		wd := float32(o.cfg.WeightDecay)
		if o.cfg.NoDecay != nil && o.cfg.NoDecay(it.name) {
			wd = 0
		}
		kern.SGDStep(it.w, it.g, it.s.moments[0], float32(o.cfg.LearnRate), float32(o.cfg.Momentum), wd, o.cfg.Nesterov)
	}
	o.finish()
	return nil
}
