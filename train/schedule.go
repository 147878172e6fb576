package train

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
)

// Schedule gives the learning rate of each step of a run. The schedules here are
// plain values.
type Schedule interface {
	// LR returns the learning rate of step (from 0) in a run of total steps.
	LR(step, total int) float64
}

// Constant is the same learning rate at every step.
type Constant float64

// LR returns the constant.
func (c Constant) LR(_, _ int) float64 { return float64(c) }

// Cosine falls from Base to Min along half a cosine, one value per step, as
// torch.optim.lr_scheduler.CosineAnnealingLR stepped once per batch (Loshchilov
// and Hutter 2017). Min would be reached at the step after the last.
type Cosine struct {
	Base   float64 // the rate at the start
	Min    float64 // the rate it falls towards; 0 by default
	Warmup int     // steps of linear rise before it: Base*1/(Warmup+1), 2/(Warmup+1) …; 0: none
}

// LR returns Min + (Base-Min)*(1+cos(pi*t/T))/2 with t and T counted from the end of
// the warm-up.
func (c Cosine) LR(step, total int) float64 {
	if step < c.Warmup {
		return c.Base * float64(step+1) / float64(c.Warmup+1)
	}
	t, n := step-c.Warmup, total-c.Warmup
	if t >= n {
		return c.Min
	}
	return c.Min + (c.Base-c.Min)*(1+kern.CosOf(math.Pi*float64(t)/float64(n)))/2
}

// StepDecay multiplies the rate by Factor after every Every steps.
type StepDecay struct {
	Base   float64 // the rate at the start
	Factor float64 // 0: 0.1
	Every  int     // steps; 0: a third of the run, rounded up
}

// LR returns Base * Factor^(step/Every), the exponent rounded down.
func (s StepDecay) LR(step, total int) float64 {
	if s.Factor == 0 {
		s.Factor = 0.1
	}
	if s.Every <= 0 {
		s.Every = max(1, (total+2)/3)
	}
	return s.Base * kern.PowOf(s.Factor, float64(step/s.Every))
}
