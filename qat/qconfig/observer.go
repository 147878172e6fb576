package qconfig

// This file says which settings belong to which observer.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goqat/goqat/observers"
)

// constant is a setting that only some observers have.
type constant struct {
	key       string
	value     float64  // 0 if unset
	observers []string // those that it belongs to
	valid     bool     // of a value that is set
	want      string   // what a valid value is
}

// constants returns what t says to observers.
func (t Tensor) constants() []constant {
	a, r, p, b := t.AveragingConstant, t.EMARatio, t.Percentile, t.Bins
	return []constant{
		{"averaging_constant", a, []string{observers.KindMovingAverage}, a > 0 && a <= 1, "above 0 and at most 1"},
		{"ema_ratio", r, []string{observers.KindEMA}, r > 0 && r < 1, "above 0 and below 1"},
		{"percentile", p, []string{observers.KindPercentile}, p >= observers.MinPercentile && p <= 100,
			fmt.Sprintf("a percentage from %v to 100", observers.MinPercentile)},
		{"bins", float64(b), []string{observers.KindMSE, observers.KindKL, observers.KindHistogram}, b >= observers.MinBins && b <= observers.MaxBins,
			fmt.Sprintf("a number of bins from %d to %d", observers.MinBins, observers.MaxBins)},
	}
}

// inheritConstants fills the unset settings of t's observer, which is base's too.
func (t *Tensor) inheritConstants(base Tensor) {
	setDefault(&t.AveragingConstant, base.AveragingConstant)
	setDefault(&t.EMARatio, base.EMARatio)
	setDefault(&t.Percentile, base.Percentile)
	setDefault(&t.Bins, base.Bins)
}

// defaultConstants fills what t's observer has and nobody set.
func (t *Tensor) defaultConstants() {
	switch t.Observer {
	case observers.KindMovingAverage:
		setDefault(&t.AveragingConstant, observers.DefaultConstant)
	case observers.KindEMA:
		setDefault(&t.EMARatio, observers.DefaultRatio)
	case observers.KindPercentile:
		setDefault(&t.Percentile, observers.DefaultPercentile)
	case observers.KindHistogram, observers.KindMSE, observers.KindKL:
		setDefault(&t.Bins, observers.DefaultBins)
	}
}

// checkConstants checks what own says to observers against the observer of the layer.
func (c Config) checkConstants(path string, own Tensor, observer string) error {
	for _, s := range own.constants() {
		switch at := join(path, s.key); {
		case s.value == 0:
		case !slices.Contains(s.observers, observer):
			return c.fault(at, "%v: the observer here is %s, and %s belongs to %s: leave the key out, or set observer: %s",
				s.value, observer, s.key, strings.Join(s.observers, ", "), s.observers[0])
		case !s.valid:
			return c.fault(at, "%v: %s wants %s", s.value, observer, s.want)
		}
	}
	return nil
}
