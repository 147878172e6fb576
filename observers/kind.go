package observers

// What are the observers called, and what do their settings have in common?

import (
	"fmt"

	"github.com/goqat/goqat/fakequant"
)

// Names of the observers in configurations and saved states.
const (
	KindMinMax        = "min_max"
	KindMovingAverage = "moving_average_min_max"
	KindEMA           = "ema_min_max"
	KindLatest        = "latest"
	KindHistogram     = "histogram"
	KindPercentile    = "percentile"
	KindMSE           = "mse"
	KindKL            = "kl"
	KindLatestMSE     = "latest_mse"
)

// Default constants, those of PyTorch and of Core ML Tools.
const (
	DefaultConstant = 0.01 // of MovingAverage
	DefaultRatio    = 0.9  // of EMA
)

func orDefault(v, def float64) float64 {
	if v == 0 {
		return def
	}
	return v
}

// weight applies the default and checks that 0 < v <= 1.
func weight(name string, v, def float64) (float64, error) {
	v = orDefault(v, def)
	if !(v > 0 && v <= 1) {
		return 0, fmt.Errorf("%w: %s %v: want above 0 and at most 1, or 0 for the default %v", ErrSettings, name, v, def)
	}
	return v, nil
}

func cannotMerge(kind string, other fakequant.Observer) error {
	return fmt.Errorf("%w: cannot merge %T into %s: replicas need the same observer", ErrSettings, other, kind)
}

// Limits and default of the number of bins.
const (
	DefaultBins = 2048    // of Histogram, Percentile, MSE and KL, as in PyTorch and TensorRT
	MinBins     = 16      // fewer bins than codes of 4 bits tell nothing
	MaxBins     = 1 << 16 // 1 MiB of counters per group
)
