package report

// This file says whether two forms of a network compute the same.

import "fmt"

// Verification is the result of qat.Model.Verify.
type Verification struct {
	Checked   int       `json:"checked"`   // codes compared
	Differing int       `json:"differing"` // of these, codes that are not equal
	Floats    int       `json:"floats"`    // float elements compared, bit for bit
	FloatsOff int       `json:"floats_differing"`
	First     *Mismatch `json:"first,omitempty"` // the first difference in network order
}

// OK reports whether training and frozen network agree in everything compared.
func (v Verification) OK() bool { return v.Differing == 0 && v.FloatsOff == 0 }

// Mismatch is one element that differs.
type Mismatch struct {
	Tensor  string  `json:"tensor"`  // name of the tensor
	Element int     `json:"element"` // row-major index
	Trained float64 `json:"trained"` // code (or value of a float tensor) in the QAT graph
	Frozen  float64 `json:"frozen"`  // and in the frozen network
}

func (m *Mismatch) String() string {
	return fmt.Sprintf("tensor %q, element %d: trained %v, frozen %v", m.Tensor, m.Element, m.Trained, m.Frozen)
}
