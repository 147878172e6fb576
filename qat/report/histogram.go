package report

// This file says how the elements of a tensor lie on the integer grid.

// Histogram counts the elements of a tensor, as they are before quantization, on the
// integer grid: the unit is one step of the element's own scale, shifted by its zero
// point, so that tensors with several scales have one histogram too.
type Histogram struct {
	// Qmin and Qmax are the smallest and the largest code.
	Qmin int32 `json:"quant_min"`
	Qmax int32 `json:"quant_max"`
	// Counts holds equal bins from half a step below Qmin to half a step above Qmax.
	Counts []int `json:"counts"`
	// Below and Above count what lies beyond and is clipped.
	Below int `json:"below"`
	Above int `json:"above"`
}
