package observers

import (
	"errors"
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
)

// SpecSetter is an observer whose range depends on the codes that it is for: how
// many there are and where zero lies. Whoever makes a quantizer tells the
// observer before it sees data; the default is int8 symmetric. Fresh carries the
// spec on. MSE, KL and LatestMSE are SpecSetters.
type SpecSetter interface {
	// SetSpec sets the format, and whether the data cannot be negative, as
	// fakequant.New takes it. Granularity, axis and block size do not matter: the
	// layout of the tensor says which elements belong together.
	SetSpec(s fakequant.Spec, nonNegative bool)
}

// codes is the part of a spec that a range search depends on. It is comparable.
type codes struct {
	spec        fakequant.Spec // Bits resolved, per tensor
	nonNegative bool
}

func codesOf(s fakequant.Spec, nonNegative bool) codes {
	return codes{
		spec:        fakequant.Spec{Bits: s.Width(), Unsigned: s.Unsigned, NarrowRange: s.NarrowRange, Scheme: s.Scheme},
		nonNegative: nonNegative,
	}
}

// check reports a spec that no grid has.
func (c codes) check() error {
	if err := c.spec.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrSettings, err)
	}
	return nil
}

// same reports, as an error, whether two replicas search for the same codes.
func (c codes) same(other codes) error {
	if c != other {
		return fmt.Errorf("%w: merging ranges for %v into ranges for %v", ErrSettings, other.spec, c.spec)
	}
	return nil
}

// grid fits the codes to one range. ok is false where that cannot be done: an
// invalid spec or bounds out of order.
func (c codes) grid(lo, hi float32) (g kern.Grid, ok bool) {
	p, err := fakequant.ParamsFromRange(c.spec, []float32{lo}, []float32{hi}, c.nonNegative)
	if err != nil {
		return kern.Grid{}, false
	}
	qmin, qmax := c.spec.QRange()
	return kern.Grid{Scale: p.Scale[0], ZeroPoint: p.ZeroPoint[0], Qmin: qmin, Qmax: qmax}, true
}

// symmetric reports whether the grid is fitted to the larger of both bounds alone.
func (c codes) symmetric() bool { return c.spec.Scheme == fakequant.Symmetric }

// savedCodes is the JSON form of codes. What is left out is false.
type savedCodes struct {
	Bits        int  `json:"bits"`
	Unsigned    bool `json:"unsigned,omitempty"`
	NarrowRange bool `json:"narrow_range,omitempty"`
	Affine      bool `json:"affine,omitempty"`
	NonNegative bool `json:"non_negative,omitempty"`
}

func (c codes) save() *savedCodes {
	return &savedCodes{
		Bits: c.spec.Width(), Unsigned: c.spec.Unsigned, NarrowRange: c.spec.NarrowRange,
		Affine: c.spec.Scheme == fakequant.Affine, NonNegative: c.nonNegative,
	}
}

func (s *savedCodes) load() (codes, error) {
	if s == nil || s.Bits == 0 {
		return codes{}, errors.New("codes: want an object with bits")
	}
	c := codesOf(fakequant.Spec{Bits: s.Bits, Unsigned: s.Unsigned, NarrowRange: s.NarrowRange}, s.NonNegative)
	if s.Affine {
		c.spec.Scheme = fakequant.Affine
	}
	return c, c.spec.Validate()
}

// sameSettings checks two replicas against each other.
func sameSettings(a, b int, ca, cb codes) error {
	if a == 0 {
		a = DefaultBins
	}
	if b == 0 {
		b = DefaultBins
	}
	if a != b {
		return fmt.Errorf("%w: merging Bins %d into %d", ErrSettings, b, a)
	}
	return ca.same(cb)
}
