package train

import (
	"fmt"
	"math"

	"github.com/goqat/goqat/internal/kern"
	"gorgonia.org/gorgonia"
)

// AdamConfig are the settings of [Adam]. Zero fields take the defaults of Kingma
// and Ba 2015, which are torch.optim.Adam's.
type AdamConfig struct {
	LearnRate   float64 // positive; the schedule of a [Loop] overrides it
	Beta1       float64 // decay of the first moment, below 1; 0: 0.9
	Beta2       float64 // decay of the second moment, below 1; 0: 0.999
	Eps         float64 // added to the root; 0: 1e-8
	WeightDecay float64 // at least 0; adds WeightDecay*w to the gradient (L2)
	// Decoupled takes WeightDecay*LearnRate*w off the weight instead (AdamW,
	// Loshchilov and Hutter 2019).
	Decoupled bool
	// NoDecay reports parameters without weight decay, by name. Nil: none.
	NoDecay func(name string) bool
}

// Adam is adaptive moment estimation, as torch.optim.Adam. t counts the updates of
// each parameter from 1; m and v are 0 at first:
//
//	m += (1-Beta1)*(g - m)
//	v = Beta2*v + (1-Beta2)*g*g
//	w -= LearnRate/(1-Beta1^t) * m / (sqrt(v)/sqrt(1-Beta2^t) + Eps)
//
// With WeightDecay, g becomes g + WeightDecay*w first. With Decoupled it is AdamW, as
// torch.optim.AdamW: g stays as it is, and w *= 1 - LearnRate*WeightDecay comes before
// the update.
type Adam struct {
	cfg AdamConfig
	slots
}

// NewAdam checks the settings and fills in defaults. Errors wrap ErrConfig.
func NewAdam(cfg AdamConfig) (*Adam, error) {
	fill := func(v *float64, def float64) {
		if *v == 0 {
			*v = def
		}
	}
	fill(&cfg.Beta1, 0.9)
	fill(&cfg.Beta2, 0.999)
	fill(&cfg.Eps, 1e-8)
	switch {
	case !(cfg.LearnRate > 0):
		return nil, fmt.Errorf("train: adam: %w: LearnRate %v, want more than 0", ErrConfig, cfg.LearnRate)
	case !(cfg.Beta1 > 0 && cfg.Beta1 < 1), !(cfg.Beta2 > 0 && cfg.Beta2 < 1):
		return nil, fmt.Errorf("train: adam: %w: Beta1 %v, Beta2 %v, want both between 0 and 1", ErrConfig, cfg.Beta1, cfg.Beta2)
	case !(cfg.Eps > 0):
		return nil, fmt.Errorf("train: adam: %w: Eps %v, want more than 0", ErrConfig, cfg.Eps)
	case !(cfg.WeightDecay >= 0):
		return nil, fmt.Errorf("train: adam: %w: WeightDecay %v, want at least 0", ErrConfig, cfg.WeightDecay)
	}
	o := &Adam{cfg: cfg}
	o.slots = slots{kind: "adam", rate: &o.cfg.LearnRate, moments: 2, squares: 1}
	return o, nil
}

// LearnRate returns the current learning rate.
func (o *Adam) LearnRate() float64 { return o.cfg.LearnRate }

// SetLearnRate changes the learning rate from the next step on.
func (o *Adam) SetLearnRate(lr float64) { o.cfg.LearnRate = lr }

// factors are the numbers of update t of a parameter.
func (o *Adam) factors(name string, t int) kern.AdamFactors {
	c := o.cfg
	f := kern.AdamFactors{
		C1: float32(1 - c.Beta1), B2: float32(c.Beta2), C2: float32(1 - c.Beta2),
		Step:   float32(c.LearnRate / (1 - kern.PowOf(c.Beta1, float64(t)))),
		Root:   float32(math.Sqrt(1 - kern.PowOf(c.Beta2, float64(t)))),
		Eps:    float32(c.Eps),
		Shrink: 1,
	}
	switch {
	case c.NoDecay != nil && c.NoDecay(name):
	case c.Decoupled:
		f.Shrink = float32(1 - float64(c.LearnRate*c.WeightDecay))
	default:
		f.L2 = float32(c.WeightDecay)
	}
	return f
}

// Step updates the parameters in place. See [Optimizer] for what it takes.
func (o *Adam) Step(params []gorgonia.ValueGrad) error {
	if err := o.gather(params); err != nil {
		return err
	}
	for i := range o.items {
		it := &o.items[i]
		f := o.factors(it.name, it.s.step+1)
		w, g, m, v := it.w, it.g, it.s.moments[0], it.s.moments[1]
		kern.AdamStep(w, g, m, v, &f)
	}
	o.finish()
	return nil
}
