package fakequant

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
)

// ranger is a recorder that takes ranges.
type ranger struct{ recorder }

func (r *ranger) Fresh() Observer { return &ranger{recorder{Latest: r.Latest}} }

func (r *ranger) ObserveRange(lo, hi []float32) error {
	lo, hi = slices.Clone(lo), slices.Clone(hi)
	if r.Lo != nil && !r.Latest {
		for i := range lo {
			lo[i], hi[i] = min(lo[i], r.Lo[i]), max(hi[i], r.Hi[i])
		}
	}
	r.Lo, r.Hi = lo, hi
	return nil
}

var allPasses = []Pass{PassForward, PassEval, PassCalibrate, PassQuantize}

var allPhases = []Phase{Off, Observing, Quantizing, ObservingAndQuantizing, Frozen}

// through runs a site's pass.
func through(s *Site, pass Pass, dst, x []float32) error {
	f := []func(dst, x []float32, shape []int) error{s.Forward, s.Eval, s.Calibrate, s.Quantize}[pass]
	return f(dst, x, []int{len(x)})
}

// apart does the same by way of its Tap; values shows them where a range would do.
func apart(t *testing.T, s *Site, pass Pass, dst, x []float32, values bool) error {
	t.Helper()
	tap, ok := s.Tap(pass)
	if !ok {
		t.Fatal("no tap")
	}
	var err error
	switch bounds, all := tap.Look(); {
	case all || bounds && values:
		err = tap.Values(x, []int{len(x)})
	case bounds:
		err = tap.Range(slices.Min(x), slices.Max(x))
	}
	if err != nil {
		return err
	}
	p, on, err := tap.Params()
	if err != nil {
		return err
	}
	copy(dst, x)
	if !on {
		return nil
	}
	l, err := s.q.spec.Layout([]int{len(x)})
	if err != nil {
		return err
	}
	return FakeQuantize(dst, x, l, s.q.spec, p)
}

// TestTap: taken apart, every pass in every phase does what it does as a whole, with
// observers that take ranges and with others.
func TestTap(t *testing.T) {
	batches := [][]float32{{-1, 0.5, 2}, {-3, 0.25, 1}, {0.125, 0.5, 4}}
	for _, proto := range []Observer{&recorder{}, &ranger{}, nil} {
		for _, values := range []bool{false, true} {
			for _, phase := range allPhases {
				for _, pass := range allPasses {
					var outs [2][]float32
					var errs [2]error
					var states [2]State
					var used [2]Params
					for i := range 2 {
						q, err := New("q", Spec{Bits: 4, Scheme: Affine}, proto, false)
						if err != nil {
							t.Fatal(err)
						}
						s := q.NewSite()
						if proto == nil {
							if err := q.SetParams(Params{Scale: []float32{0.5}, ZeroPoint: []int32{1}}); err != nil {
								t.Fatal(err)
							}
						}
						q.SetPhase(phase)
						for _, x := range batches {
							out := make([]float32, len(x))
							if i == 0 {
								errs[i] = through(s, pass, out, x)
							} else {
								errs[i] = apart(t, s, pass, out, x, values)
							}
							if errs[i] == nil {
								outs[i] = append(outs[i], out...)
							}
						}
						if states[i], err = q.State(); err != nil {
							t.Fatal(err)
						}
						used[i], _ = s.Used()
					}
					if (errs[0] == nil) != (errs[1] == nil) || errs[0] != nil && errs[0].Error() != errs[1].Error() {
						t.Errorf("%v, pass %d: error %v, want %v", phase, pass, errs[1], errs[0])
					}
					if !slices.Equal(outs[0], outs[1]) || !reflect.DeepEqual(states[0], states[1]) || !reflect.DeepEqual(used[0], used[1]) {
						t.Errorf("%v, pass %d: %v, %v, used %v; want %v, %v, %v", phase, pass, outs[1], states[1], used[1], outs[0], states[0], used[0])
					}
				}
			}
		}
	}
}

// TestTapErrors: NaN among the values is an error that names the quantizer.
func TestTapErrors(t *testing.T) {
	q, err := New("layer7", Spec{}, &ranger{}, false)
	if err != nil {
		t.Fatal(err)
	}
	tap, ok := q.NewSite().Tap(PassForward)
	if !ok {
		t.Fatal("no tap")
	}
	q.SetPhase(Observing)
	err = tap.Values([]float32{1, float32(math.NaN())}, []int{2})
	var layer *LayerError
	if !errors.Is(err, ErrData) || !errors.As(err, &layer) || layer.Layer != "layer7" {
		t.Errorf("error %v", err)
	}
	q.SetPhase(Quantizing)
	if _, _, err = tap.Params(); !errors.Is(err, ErrNotCalibrated) {
		t.Errorf("error %v, want ErrNotCalibrated", err)
	}
}

// TestNoTap: where one scale does not do for the tensor, where it is the tensor's own
// and where it is learned in this pass.
func TestNoTap(t *testing.T) {
	for name, make := range map[string]func() (*Quantizer, error){
		"per channel": func() (*Quantizer, error) {
			return New("q", Spec{Granularity: PerChannel}, &ranger{}, false)
		},
		"memoryless": func() (*Quantizer, error) {
			return New("q", Spec{}, &ranger{recorder{Latest: true}}, false)
		},
		"learned": func() (*Quantizer, error) {
			q, err := New("q", Spec{}, &ranger{}, false)
			if err == nil {
				_, _, err = q.Learn(1, InitObserver)
			}
			return q, err
		},
	} {
		q, err := make()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := q.NewSite().Tap(PassForward); ok {
			t.Errorf("%s: there is a tap", name)
		}
	}
}

// TestNothingClipped: the gradient of a memoryless quantizer, whose own range says
// that nothing is clipped, is that of STE also at the ends of the grid and for
// infinities, which have no part in the range.
func TestNothingClipped(t *testing.T) {
	inf := float32(math.Inf(1))
	tensors := [][]float32{
		{-1, 0.5, 1, 0.25, 2, -2, 0, 1},
		{-1, 0.5, 0.75, 0.25, 2, -1.5, 0, 1},
		{1, 0.5, inf, 0.25, 2, -2, 0, 1},
		{1, 0.5, 3, 0.25, 2, -2, -inf, 1},
		{127.5, 1, 2, 3, -127.5, 4, 5, 6},
	}
	for _, spec := range []Spec{{NarrowRange: true}, {}, {Scheme: Affine}, {Scheme: Affine, Unsigned: true}, {Bits: 4}} {
		spec.Granularity = PerChannel
		for _, phase := range []Phase{Quantizing, ObservingAndQuantizing} {
			q, err := New("q", spec, &ranger{recorder{Latest: true}}, false)
			if err != nil {
				t.Fatal(err)
			}
			s := q.NewSite()
			q.SetPhase(phase)
			for _, x := range tensors {
				shape := []int{2, 4}
				y, dx, want := make([]float32, 8), make([]float32, 8), make([]float32, 8)
				if err := s.Forward(y, x, shape); err != nil {
					t.Fatal(err)
				}
				dy := []float32{1, 2, 3, 4, 5, 6, 7, 8}
				if err := s.Backward(dx, x, dy, shape); err != nil {
					t.Fatal(err)
				}
				l, err := spec.Layout(shape)
				if err != nil {
					t.Fatal(err)
				}
				if err := STE(want, x, dy, l, spec, *s.used); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(dx, want) {
					t.Errorf("%v, %v: gradient %v, want %v", spec, x, dx, want)
				}
				if err := s.Backward(dy, x, dy, shape); err != nil || !slices.Equal(dy, want) {
					t.Errorf("%v, %v: in place %v, %v, want %v", spec, x, dy, err, want)
				}
			}
		}
	}
}
