package report

// This file says how a range went over the training.

// Range is the recorded history of one quantizer: slices with one element per
// recorded step. Numbers are NaN (in JSON null) where nothing was known yet.
type Range struct {
	// Quantizer is its name: that of the tensor, or of the layer with ".weight".
	Quantizer string `json:"quantizer"`
	// Tensor is "weight" or "activation".
	Tensor string `json:"tensor"`
	// Steps counts calls to qat.Model.Step, from 1.
	Steps []int `json:"steps"`
	// Min and Max are the observed range, over all groups. For weights whose range is
	// read anew each time they are the same as Low and High.
	Min []Number `json:"min"`
	Max []Number `json:"max"`
	// Low and High are the smallest and the largest number that a code stands for,
	// over all groups: what lies beyond is clipped.
	Low  []Number `json:"low"`
	High []Number `json:"high"`
	// Scale is the mean over all groups.
	Scale []Number `json:"scale"`
}
