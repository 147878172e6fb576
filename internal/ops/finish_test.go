package ops

import (
	"fmt"
	"math"
	"testing"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/vm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// then builds a chain: first, and each further op on the result.
func then(first func() buildFunc, more ...func(x *gorgonia.Node) (*gorgonia.Node, error)) func() buildFunc {
	return func() buildFunc {
		head := first()
		return func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			x, err := head(in)
			for _, f := range more {
				if err != nil {
					return nil, err
				}
				x, err = f(x)
			}
			return x, err
		}
	}
}

func unary(op nn.Unary) func(*gorgonia.Node) (*gorgonia.Node, error) {
	return func(x *gorgonia.Node) (*gorgonia.Node, error) { return Apply(op, x) }
}

// pool2 is the pooling that runs as one with an activation.
func pool2(x *gorgonia.Node) (*gorgonia.Node, error) {
	return Apply(nn.Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, x)
}

// fuseCases are chains that a machine runs as one op.
func fuseCases() []opCase {
	relu := unary(nn.Unary{Fn: "relu"})
	clip := unary(nn.Unary{Fn: "clip", Min: -0.25, Max: 0.375})
	scaled := unary(nn.Unary{Fn: "neg"})
	var cases []opCase
	for _, c := range foldCases() {
		if len(c.in) > 3 {
			cases = append(cases, opCase{c.name + ", relu", c.in, then(c.build, relu)},
				opCase{c.name + ", clip", c.in, then(c.build, clip, scaled)})
		}
	}
	for _, frozen := range []bool{false, true} {
		for _, shape := range [][]int{{8, 3}, {3, 2, 3, 2}} {
			c := normCase(fmt.Sprintf("batch norm %v, frozen %v", shape, frozen), true, frozen, shape...)
			cases = append(cases, opCase{c.name + ", relu", c.in, then(c.build, relu)})
		}
	}
	add := layerCase("add", nn.Binary{Fn: "add"}, false, []int{3, 4, 5}, []int{3, 4, 5})
	add.in[1] = spread(1, 0x1p-8, 3, 4, 5) // no sum lies at a kink
	twice := opCase{"twice", add.in[:1], func() buildFunc {
		return func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			return Apply(nn.Binary{Fn: "add"}, in[0], in[0])
		}
	}}
	cases = append(cases, layerCase("relu", nn.Unary{Fn: "relu"}, false, []int{3, 17}), layerCase("clip", nn.Unary{Fn: "clip", Min: -0.25, Max: 0.25}, false, []int{40}))
	image := []leaf{spread(1, 0x1p-8, 2, 3, 5, 6)}
	one := func(in []*gorgonia.Node) (*gorgonia.Node, error) { return relu(in[0]) }
	cases = append(cases, opCase{"relu, max pool", image, then(func() buildFunc { return one }, pool2)},
		opCase{"neg, clip, max pool", image, then(func() buildFunc {
			return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return scaled(in[0]) }
		}, clip, pool2)})
	return append(cases, opCase{"add, relu", add.in, then(add.build, relu)}, opCase{"add, clip, neg", add.in, then(add.build, clip, scaled)},
		opCase{"add to itself, relu", twice.in, then(twice.build, relu)})
}

// TestFusedGradients: fused chains give the same bits as their ops one by one, in
// float32 and float64, and the gradients that differences give.
func TestFusedGradients(t *testing.T) {
	for _, c := range fuseCases() {
		t.Run(c.name, func(t *testing.T) {
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				want := run(t, "vm", dt, c.in, c.build())
				same(t, "fused", run(t, "vm fused", dt, c.in, c.build()), want)
				same(t, "TapeMachine", run(t, "TapeMachine", dt, c.in, c.build()), want)
				if dt == tensor.Float64 {
					differences(t, c, want)
				}
			}
		})
	}
}

// look is what a rounder wants to see.
type look struct{ bounds, values bool }

var looks = []look{{}, {bounds: true}, {values: true}}

// fakeRounder rounds to a grid and notes what it saw.
type fakeRounder struct {
	look   look
	grid   kern.Grid
	on     bool
	lo, hi float32
	values int // calls
}

func (r *fakeRounder) Look() (bounds, values bool) { return r.look.bounds, r.look.values }

func (r *fakeRounder) Range(lo, hi float32) error {
	r.lo, r.hi = lo, hi
	return nil
}

func (r *fakeRounder) Values(x []float32, _ []int) error {
	r.values++
	var nan bool
	if r.lo, r.hi, _, nan = kern.MinMax(x); nan {
		return fmt.Errorf("NaN")
	}
	return nil
}

func (r *fakeRounder) Grid() (kern.Grid, bool, error) { return r.grid, r.on, nil }

func round(t *testing.T, r Rounder, x *gorgonia.Node) *gorgonia.Node {
	t.Helper()
	return must(t)(New(Spec{Label: "round", Out: x.Shape(), Kernel: Rounded(r)}, x))
}

// TestFusedRounding: the rounder at the end of a chain sees the bounds that the
// values have, exactly, whichever way it looks, and results and gradients are those
// of single ops.
func TestFusedRounding(t *testing.T) {
	grid := kern.Grid{Scale: 0.03, ZeroPoint: 10, Qmin: 0, Qmax: 60}
	for _, c := range append(fuseCases(), layerCase("alone", nn.Unary{Fn: "neg"}, false, []int{3, 17})) {
		for _, look := range looks {
			for _, on := range []bool{false, true} {
				seen := sameRounded(t, fmt.Sprintf("%s, look %v, on %v", c.name, look, on), c, fakeRounder{look: look, grid: grid, on: on})
				if seen[0].lo != seen[1].lo || seen[0].hi != seen[1].hi {
					t.Errorf("%s: bounds %v..%v fused, %v..%v alone", c.name, seen[1].lo, seen[1].hi, seen[0].lo, seen[0].hi)
				}
				if look != looks[0] && !(seen[0].lo < seen[0].hi) {
					t.Errorf("%s: bounds %v..%v", c.name, seen[0].lo, seen[0].hi)
				}
			}
		}
	}
}

// TestPooledRounding: the same with a pooling behind the rounder.
func TestPooledRounding(t *testing.T) {
	grid := kern.Grid{Scale: 0.25, ZeroPoint: 2, Qmin: 0, Qmax: 7} // so coarse that windows have ties, and it clips
	image := []leaf{spread(1, 0x1p-8, 2, 3, 5, 18)}
	for name, act := range map[string]nn.Unary{"relu": {Fn: "relu"}, "clip": {Fn: "clip", Min: -0.5, Max: 0.75}, "neg": {Fn: "neg"}} {
		c := opCase{name, image, func() buildFunc {
			return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return Apply(act, in[0]) }
		}}
		for _, look := range looks {
			for _, on := range []bool{false, true} {
				seen := sameRounded(t, fmt.Sprintf("%s, look %v, on %v", name, look, on), c, fakeRounder{look: look, grid: grid, on: on}, pool2)
				if seen[0] != seen[1] {
					t.Errorf("%s: the rounder saw %+v fused, %+v alone", name, seen[1], seen[0])
				}
			}
		}
	}
}

// sameRounded runs a case with a rounder and more behind it as single ops and fused, and
// compares results and gradients. It returns what the rounder saw.
func sameRounded(t *testing.T, what string, c opCase, r fakeRounder, more ...func(*gorgonia.Node) (*gorgonia.Node, error)) (seen [2]fakeRounder) {
	t.Helper()
	var got [2]result
	for i, fused := range []bool{false, true} {
		seen[i] = r
		got[i] = runRounded(t, c, &seen[i], fused, more...)
	}
	same(t, what, got[1], got[0])
	return seen
}

// runRounded runs a case with a rounder and more behind it.
func runRounded(t *testing.T, c opCase, r *fakeRounder, fused bool, more ...func(*gorgonia.Node) (*gorgonia.Node, error)) result {
	t.Helper()
	rig := newRig(t, tensor.Float32, c.in, then(func() buildFunc { return c.build() }, append([]func(*gorgonia.Node) (*gorgonia.Node, error){func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return New(Spec{Label: "round", Out: x.Shape(), Kernel: Rounded(r)}, x)
	}}, more...)...)())
	rig.grad(t)
	var outputs gorgonia.Nodes
	if fused {
		outputs = gorgonia.Nodes{rig.cost}
	}
	m, err := vm.New(rig.g, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	m.Poison()
	runAll(t, m)
	return rig.result(t)
}

// TestFusedOddValues: infinities and NaN reach the rounder as values, and NaN's error
// names the chain.
func TestFusedOddValues(t *testing.T) {
	inf := math.Inf(1)
	for _, v := range []float64{inf, -inf, math.NaN()} {
		x := spread(1, 0, 2, 3, 2, 2)
		x.data[5] = v
		for name, c := range map[string]opCase{
			"batch norm": {in: []leaf{x, spread(2, 1, 3), spread(3, 0, 3)}, build: normCase("", true, false, 2, 3, 2, 2).build},
			"relu": {in: []leaf{x}, build: func() buildFunc {
				return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return Apply(nn.Unary{Fn: "relu"}, in[0]) }
			}},
			"add": {in: []leaf{x, x}, build: func() buildFunc {
				return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return Apply(nn.Binary{Fn: "add"}, in...) }
			}},
		} {
			r := &fakeRounder{look: look{bounds: true}, grid: kern.Grid{Scale: 0.5, Qmax: 15}, on: true}
			g := newRig(t, tensor.Float32, c.in, c.build())
			y := round(t, r, g.out)
			m, err := vm.New(g.g, y)
			if err != nil {
				t.Fatal(err)
			}
			err = m.RunAll()
			if r.values != 1 {
				t.Errorf("%s of %v: the rounder saw values %d times, want once", name, v, r.values)
			}
			if (err != nil) != (v != v || name == "batch norm") { // which makes NaN of infinities
				t.Errorf("%s of %v: error %v", name, v, err)
			}
		}
	}
}
