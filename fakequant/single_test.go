package fakequant

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// nexter is a ranger that can tell the next range of each group.
type nexter struct{ ranger }

func (n *nexter) Fresh() Observer { return &nexter{ranger{recorder{Latest: n.Latest}}} }

func (n *nexter) Next(groups int) (next func(group int, lo, hi float32) (newLo, newHi float32), take func(), err error) {
	lo, hi := make([]float32, groups), make([]float32, groups)
	next = func(group int, l, h float32) (float32, float32) {
		if n.Lo != nil && !n.Latest {
			l, h = min(l, n.Lo[group]), max(h, n.Hi[group])
		}
		lo[group], hi[group] = l, h
		return l, h
	}
	return next, func() { n.Lo, n.Hi = lo, hi }, nil
}

// TestSingle: the pass in one loop gives the numbers, parameters, codes and gradients of
// observing, rounding and masking one after the other, and leaves to them what is not
// finite.
func TestSingle(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 62))
	for _, spec := range []Spec{
		{Bits: 8},
		{Bits: 8, Granularity: PerChannel},
		{Bits: 8, Granularity: PerChannel, Axis: 1},
		{Bits: 4, Granularity: PerChannel, Axis: 1, Scheme: Affine},
		{Bits: 4, Granularity: PerBlock, Axis: 0, BlockSize: 32},
		{Bits: 4, Granularity: PerBlock, Axis: 1, BlockSize: 32},
		{Bits: 8, Granularity: PerChannel, Axis: 1, Scheme: Affine}, // centred codes need more than a byte
	} {
		for _, shape := range [][]int{{32, 32}, {70, 40}, {33, 64}, {2000, 130}} {
			for _, latest := range []bool{true, false} {
				var sites [2]*Site
				for i, proto := range []Observer{&nexter{ranger{recorder{Latest: latest}}}, &ranger{recorder{Latest: latest}}} {
					q, err := New("q", spec, proto, false)
					if err != nil {
						t.Fatal(err)
					}
					q.SetPhase(ObservingAndQuantizing)
					sites[i] = q.NewSite()
					sites[i].Codes(nil) // asks for them
				}
				for step := range 4 {
					x := make([]float32, shape[0]*shape[1])
					for i := range x {
						x[i] = float32(r.NormFloat64()) / float32(step+1)
					}
					if step == 3 {
						x[len(x)/2] = float32(math.Inf(1))
					}
					var y, dx [2][]float32
					var p [2]Params
					for i, s := range sites {
						y[i], dx[i] = make([]float32, len(x)), slices.Clone(x)
						if err := s.Forward(y[i], x, shape); err != nil {
							t.Fatal(err)
						}
						if err := s.Backward(dx[i], x, dx[i], shape); err != nil {
							t.Fatal(err)
						}
						p[i], _ = s.Used()
					}
					if !slices.Equal(y[0], y[1]) || !slices.Equal(dx[0], dx[1]) || !reflect.DeepEqual(p[0], p[1]) {
						t.Fatalf("%+v of %v, step %d: other numbers, gradients or parameters", spec, shape, step)
					}
					codes, ok := sites[0].Codes(y[0])
					if small := newFitter(spec, false); step < 3 && ok != small.bytes() || step == 3 && ok {
						t.Fatalf("%+v of %v, step %d: codes kept: %v", spec, shape, step, ok)
					}
					if !ok {
						continue
					}
					want := make([]int16, len(x))
					l, err := spec.Layout(shape)
					if err != nil {
						t.Fatal(err)
					}
					if err := Centred(want, x, l, spec, p[1]); err != nil {
						t.Fatal(err)
					}
					for i, c := range codes {
						if int16(c) != want[i] {
							t.Fatalf("%+v of %v, step %d: code %d is %d, want %d", spec, shape, step, i, c, want[i])
						}
					}
				}
			}
		}
	}
}
