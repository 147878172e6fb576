package ptq

// This file says how ranges are evened out, and what came of it.

// EqualizeOptions are the settings of qat.Model.Equalize. The zero value is good.
type EqualizeOptions struct {
	// MaxSweeps bounds the passes over all pairs; 0 means 100.
	MaxSweeps int
	// Tolerance ends the passes: no channel's scale moved by more than this factor
	// less one; 0 means 1e-4.
	Tolerance float64
}

// EqualizeReport says what qat.Model.Equalize did.
type EqualizeReport struct {
	Pairs  []EqualizedPair `json:"pairs"`
	Broken []BrokenPair    `json:"broken,omitempty"`
	Sweeps int             `json:"sweeps"` // passes over all pairs
}

// EqualizedPair is two layers whose channels were brought to equal ranges.
type EqualizedPair struct {
	From string `json:"from"` // the layer whose output channels were scaled
	To   string `json:"to"`   // the layer whose input channels were scaled back
	// Before and After are the spread of the ranges of From's output channels: the
	// largest range over the median one. 1 is what per-tensor quantization likes.
	Before float64 `json:"spread_before"`
	After  float64 `json:"spread_after"`
}

// BrokenPair is a layer with weights that has no partner behind it.
type BrokenPair struct {
	Layer string `json:"layer"`
	Why   string `json:"why"`
}
