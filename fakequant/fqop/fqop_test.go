package fqop_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/observers"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// grouping is a way to share parameters over a [6,10] matrix.
type grouping struct {
	spec   fakequant.Spec
	groups int
	group  func(row, col int) int
}

var (
	matrix    = []int{6, 10}
	groupings = []grouping{
		{fakequant.Spec{}, 1, func(_, _ int) int { return 0 }},
		{fakequant.Spec{Granularity: fakequant.PerChannel}, 6, func(r, _ int) int { return r }},
		{fakequant.Spec{Granularity: fakequant.PerChannel, Axis: -1}, 10, func(_, c int) int { return c }},
		// The last block of a row has 2 elements.
		{fakequant.Spec{Granularity: fakequant.PerBlock, Axis: 1, BlockSize: 4}, 18, func(r, c int) int { return 3*r + c/4 }},
		{fakequant.Spec{Granularity: fakequant.PerBlock, Axis: 0, BlockSize: 4}, 20, func(r, c int) int { return 10*(r/4) + c }},
	}
)

// specs are all formats to test.
func specs() []grouping {
	var out []grouping
	for _, g := range groupings {
		for _, bits := range []int{2, 4, 8} {
			for _, unsigned := range []bool{false, true} {
				for _, narrow := range []bool{false, true} {
					for _, scheme := range []fakequant.Scheme{fakequant.Symmetric, fakequant.Affine} {
						s := g
						s.spec.Bits, s.spec.Unsigned, s.spec.NarrowRange, s.spec.Scheme = bits, unsigned, narrow, scheme
						out = append(out, s)
					}
				}
			}
		}
	}
	return out
}

// params are scales that differ and zero points that reach both ends.
func params(s fakequant.Spec, groups int) fakequant.Params {
	qmin, qmax := s.QRange()
	p := fakequant.Params{Scale: make([]float32, groups), ZeroPoint: make([]int32, groups)}
	for i := range groups {
		p.Scale[i] = 0.1 + 0.03*float32(i)
		if s.Scheme == fakequant.Affine {
			p.ZeroPoint[i] = qmin + int32(i*3)%(qmax-qmin+1)
		} else if s.Unsigned {
			p.ZeroPoint[i] = (qmin + qmax) / 2
		}
	}
	return p
}

// samples hits ties, both ends of every group's grid and half a step beyond,
// numbers far outside, infinities and NaN.
func samples(g grouping, p fakequant.Params, r *rand.Rand) []float32 {
	qmin, qmax := g.spec.QRange()
	x := make([]float32, matrix[0]*matrix[1])
	for i := range x {
		k := g.group(i/matrix[1], i%matrix[1])
		scale, zero := p.Scale[k], float32(p.ZeroPoint[k])
		lo, hi := float32(qmin)-zero, float32(qmax)-zero
		steps := []float32{lo, hi, lo - 0.5, hi + 0.5, lo - 0.75, hi + 0.75, 0.5, -1.5, 0, 1e12, -1e12, lo + r.Float32()*(hi-lo)}
		x[i] = steps[r.IntN(len(steps))] * scale
	}
	copy(x, []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 1e-42, float32(math.Copysign(0, -1))})
	r.Shuffle(len(x), func(i, j int) { x[i], x[j] = x[j], x[i] })
	return x
}

func random(r *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

// TestStraightThrough: value and gradient are those of the formula, for every
// format, on every machine.
func TestStraightThrough(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	inside, outside := 0, 0
	for _, g := range specs() {
		p := params(g.spec, g.groups)
		x, dy := samples(g, p, r), random(r, matrix[0]*matrix[1])
		wantY, wantDx := make([]float32, len(x)), make([]float32, len(x))
		qmin, qmax := g.spec.QRange()
		for i, v := range x {
			k := g.group(i/matrix[1], i%matrix[1])
			y, in := formula(v, p.Scale[k], p.ZeroPoint[k], qmin, qmax)
			if wantY[i] = y; in {
				wantDx[i] = dy[i]
				inside++
			} else {
				outside++
			}
		}
		for _, name := range machines {
			q := newQuantizer(t, "layer1", g.spec, nil)
			if err := q.SetParams(p); err != nil {
				t.Fatal(err)
			}
			q.SetPhase(fakequant.Quantizing)
			graph := gorgonia.NewGraph()
			xn := input(graph, "x", matrix, slices.Clone(x))
			y := must(t)(fqop.Insert(xn, q))
			m := start(t, name, weigh(t, y, dy), xn)
			runAll(t, m)
			what := fmt.Sprintf("%v on %s: ", g.spec, name)
			equal(t, what+"value", floats(t, y.Value()), wantY)
			equal(t, what+"gradient", gradient(t, xn), wantDx)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if inside < 1000 || outside < 1000 {
		t.Errorf("%d elements inside the range and %d outside: the samples are lopsided", inside, outside)
	}
}

// TestDifferences: the gradient is the difference quotient over k whole steps of
// the scale. The staircase satisfies y(x+ks) = y(x)+ks while both ends are inside
// the range, so the quotient is 1; beyond the range y stands still, and it is 0.
// With s a power of two and x a multiple of s/8 all of it is exact in float32.
func TestDifferences(t *testing.T) {
	const scale, k = 0.125, 2
	for _, bits := range []int{2, 4, 8} {
		s := fakequant.Spec{Bits: bits, Unsigned: true, Scheme: fakequant.Affine}
		q := newQuantizer(t, "layer1", s, nil)
		if err := q.SetParams(fakequant.Params{Scale: []float32{scale}, ZeroPoint: []int32{1}}); err != nil {
			t.Fatal(err)
		}
		q.SetPhase(fakequant.Quantizing)
		qmin, qmax := s.QRange()
		var x, want []float32
		for eighth := 8 * (int(qmin) - 8); eighth <= 8*(int(qmax)+8); eighth++ {
			steps := float32(eighth) / 8 // from the zero point
			lo, hi := float32(qmin)-1-0.5, float32(qmax)-1+0.5
			switch {
			case steps > lo && steps+k < hi: // both ends inside
				x, want = append(x, steps*scale), append(want, 1)
			case steps+k < lo || steps > hi: // both on one side outside
				x, want = append(x, steps*scale), append(want, 0)
			}
		}
		up, ones := make([]float32, len(x)), make([]float32, len(x))
		for i, v := range x {
			up[i], ones[i] = v+k*scale, 1
		}
		g := gorgonia.NewGraph()
		shape := []int{len(x)}
		a, b := input(g, "x", shape, x), input(g, "up", shape, up)
		ya, yb := must(t)(fqop.Insert(a, q)), must(t)(fqop.Insert(b, q))
		m := start(t, "vm", weigh(t, ya, ones), a)
		runAll(t, m)
		quotient := floats(t, yb.Value())
		for i, v := range floats(t, ya.Value()) {
			quotient[i] = (quotient[i] - v) / (k * scale)
		}
		equal(t, fmt.Sprintf("%d bits: difference quotient", bits), quotient, want)
		equal(t, fmt.Sprintf("%d bits: gradient", bits), gradient(t, a), want)
	}
}

// TestPhases: one compiled machine runs through all phases.
func TestPhases(t *testing.T) {
	const qmin, qmax = -127, 127
	spec := fakequant.Spec{NarrowRange: true}
	for _, name := range []string{"vm", "TapeMachine"} {
		q := newQuantizer(t, "layer1", spec, &observers.MinMax{})
		g := gorgonia.NewGraph()
		x, dy := make([]float32, 3), []float32{1, 2, 3}
		xn := input(g, "x", []int{3}, x)
		y := must(t)(fqop.Insert(xn, q))
		var seen gorgonia.Value
		gorgonia.Read(y, &seen)
		m := start(t, name, weigh(t, y, dy), xn)
		steps := []struct {
			phase fakequant.Phase
			x     [3]float32
			lim   float32 // observed so far, 0 for nothing
			scale float32 // 0: passed on
		}{
			{fakequant.Off, [3]float32{-9, 0.4, 9}, 0, 0},
			{fakequant.Observing, [3]float32{-1, 0.4, 0.5}, 1, 0},
			{fakequant.Observing, [3]float32{-1, 0.4, 2.54}, 2.54, 0},
			{fakequant.Quantizing, [3]float32{-5, 0.411, 1}, 2.54, 2.54 / 127},
			{fakequant.ObservingAndQuantizing, [3]float32{-5.08, 0.411, 1}, 5.08, 5.08 / 127},
			{fakequant.Off, [3]float32{-99, 0.4, 9}, 5.08, 0},
			{fakequant.Frozen, [3]float32{-7, 0.411, 9}, 5.08, 5.08 / 127},
			{fakequant.ObservingAndQuantizing, [3]float32{10.16, 0, 1}, 10.16, 10.16 / 127},
		}
		for i, s := range steps {
			q.SetPhase(s.phase)
			copy(x, s.x[:])
			runAll(t, m)
			m.Reset()
			want, wantDx := slices.Clone(s.x[:]), slices.Clone(dy)
			if s.scale > 0 {
				for j, v := range s.x {
					var in bool
					if want[j], in = formula(v, s.scale, 0, qmin, qmax); !in {
						wantDx[j] = 0
					}
				}
			}
			what := fmt.Sprintf("%s, step %d (%v): ", name, i, s.phase)
			equal(t, what+"value", floats(t, seen), want)
			equal(t, what+"gradient", gradient(t, xn), wantDx)
			equal(t, what+"input", x, s.x[:])
			lo, hi, ok := q.Range()
			if ok != (s.lim > 0) || ok && max(-lo[0], hi[0]) != s.lim {
				t.Errorf("%srange %v to %v, want up to %v", what, lo, hi, s.lim)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestModes: what a node does that is not a training one.
func TestModes(t *testing.T) {
	const scale = float32(0.5)
	tests := []struct {
		mode    fqop.Mode
		phase   fakequant.Phase
		observe bool
		round   bool
	}{
		{fqop.Eval, fakequant.Off, false, false},
		{fqop.Eval, fakequant.Observing, false, false},
		{fqop.Eval, fakequant.ObservingAndQuantizing, false, true},
		{fqop.Eval, fakequant.Frozen, false, true},
		{fqop.Calibrate, fakequant.Off, true, false},
		{fqop.Calibrate, fakequant.Quantizing, true, false},
		{fqop.Calibrate, fakequant.Frozen, false, false},
		{fqop.Quantized, fakequant.Off, false, true},
		{fqop.Quantized, fakequant.Observing, false, true},
		{fqop.Train, fakequant.Quantizing, false, true},
		{fqop.Train, fakequant.Observing, true, false},
	}
	for _, tt := range tests {
		q := newQuantizer(t, "layer1", fakequant.Spec{}, &observers.MinMax{})
		if err := q.SetParams(fakequant.Params{Scale: []float32{scale}, ZeroPoint: []int32{0}}); err != nil {
			t.Fatal(err)
		}
		q.SetPhase(tt.phase)
		g := gorgonia.NewGraph()
		y := must(t)(fqop.At(input(g, "x", []int{2}, []float32{0.6, -1.4}), q.NewSite(), tt.mode))
		m, err := vm.New(g)
		if err != nil {
			t.Fatal(err)
		}
		runAll(t, m)
		want := []float32{0.6, -1.4}
		if tt.round {
			want = []float32{0.5, -1.5}
		}
		equal(t, fmt.Sprintf("mode %d in phase %v", tt.mode, tt.phase), floats(t, y.Value()), want)
		if _, _, ok := q.Range(); ok != tt.observe {
			t.Errorf("mode %d in phase %v: observed %v", tt.mode, tt.phase, ok)
		}
	}
}

// TestTwoQuantizers: equal settings on one input stay two nodes, with a phase, a
// range and a gradient each.
func TestTwoQuantizers(t *testing.T) {
	for _, name := range machines {
		a, b := newQuantizer(t, "a", fakequant.Spec{}, &observers.MinMax{}), newQuantizer(t, "b", fakequant.Spec{}, &observers.MinMax{})
		g := gorgonia.NewGraph()
		x := input(g, "x", []int{2}, []float32{0.6, -200})
		ya, yb := must(t)(fqop.Insert(x, a)), must(t)(fqop.Insert(x, b))
		if ya == yb {
			t.Fatal("one node for two quantizers")
		}
		if err := a.SetParams(fakequant.Params{Scale: []float32{0.5}, ZeroPoint: []int32{0}}); err != nil {
			t.Fatal(err)
		}
		a.SetPhase(fakequant.Quantizing)
		b.SetPhase(fakequant.Observing)
		cost := must(t)(gorgonia.Add(weigh(t, ya, []float32{1, 1}), weigh(t, yb, []float32{10, 10})))
		runAll(t, start(t, name, cost, x))
		equal(t, name+": a", floats(t, ya.Value()), []float32{0.5, -64})
		equal(t, name+": b", floats(t, yb.Value()), []float32{0.6, -200})
		equal(t, name+": gradient", gradient(t, x), []float32{11, 10})
		if _, _, ok := a.Range(); ok {
			t.Errorf("%s: a observed", name)
		}
		if lo, hi, _ := b.Range(); lo[0] != -200 || hi[0] != 0.6 {
			t.Errorf("%s: b observed %v to %v", name, lo, hi)
		}
	}
}

func TestInsertErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	block := fakequant.Spec{Granularity: fakequant.PerBlock, Axis: 1, BlockSize: 8}
	node := func(dt tensor.Dtype, shape ...int) *gorgonia.Node {
		return gorgonia.NewTensor(g, dt, len(shape), gorgonia.WithName(fmt.Sprintf("node of %v", shape)), gorgonia.WithShape(shape...))
	}
	tests := []struct {
		name  string
		x     *gorgonia.Node
		spec  fakequant.Spec
		wraps error
		want  string
	}{
		{"nil", nil, fakequant.Spec{}, fakequant.ErrData, "no node"},
		{"float64", node(tensor.Float64, 2), fakequant.Spec{}, fakequant.ErrData, "float32"},
		{"integers", node(tensor.Int, 2), fakequant.Spec{}, fakequant.ErrData, "float32"},
		{"scalar", gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("s")), fakequant.Spec{}, fakequant.ErrData, "reshape"},
		{"block", node(tensor.Float32, 2, 7), block, fakequant.ErrSpec, "block size 8"},
		{"axis", node(tensor.Float32, 7), block, fakequant.ErrSpec, "axis 1"},
	}
	for _, tt := range tests {
		q := newQuantizer(t, "conv3.weight", tt.spec, &observers.MinMax{})
		_, err := fqop.Insert(tt.x, q)
		var where *fakequant.LayerError
		if !errors.As(err, &where) || where.Layer != "conv3.weight" || !errors.Is(err, tt.wraps) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %v of conv3.weight with %q", tt.name, err, tt.wraps, tt.want)
		}
		st, err := q.State()
		if err != nil || len(st.Observers) != 0 {
			t.Errorf("%s: the refused node left a site behind: %+v, %v", tt.name, st, err)
		}
	}
	if _, err := fqop.Insert(node(tensor.Float32, 2), nil); !errors.Is(err, fakequant.ErrData) {
		t.Errorf("no quantizer: %v", err)
	}
}

// TestRunErrors: errors of a run name the quantizer and keep their cause.
func TestRunErrors(t *testing.T) {
	nan := float32(math.NaN())
	tests := []struct {
		name  string
		phase fakequant.Phase
		x     []float32
		wraps error
	}{
		{"NaN observed", fakequant.Observing, []float32{1, nan}, fakequant.ErrData},
		{"NaN observed and quantized", fakequant.ObservingAndQuantizing, []float32{nan, nan}, fakequant.ErrData},
		{"nothing finite", fakequant.Observing, []float32{float32(math.Inf(1)), float32(math.Inf(1))}, fakequant.ErrData},
		{"not calibrated", fakequant.Quantizing, []float32{1, 2}, fakequant.ErrNotCalibrated},
		{"frozen too early", fakequant.Frozen, []float32{1, 2}, fakequant.ErrNotCalibrated},
	}
	for _, tt := range tests {
		// LispMachine runs on in the background after an error, so it is left out.
		for _, name := range []string{"vm", "TapeMachine"} {
			q := newQuantizer(t, "block2.relu", fakequant.Spec{}, &observers.MinMax{})
			q.SetPhase(tt.phase)
			g := gorgonia.NewGraph()
			x := input(g, "x", []int{2}, tt.x)
			err := start(t, name, weigh(t, must(t)(fqop.Insert(x, q)), []float32{1, 1}), x).RunAll()
			if err == nil || !strings.Contains(err.Error(), `"block2.relu"`) {
				t.Errorf("%s on %s: error %v, want one that names the quantizer", tt.name, name, err)
			}
			if name == "vm" && !errors.Is(err, tt.wraps) { // TapeMachine loses the cause
				t.Errorf("%s: %v does not wrap %v", tt.name, err, tt.wraps)
			}
		}
	}
}

// TestLearnedLogarithm: the node of a learned scale holds its logarithm, so that its
// gradient is that of the scale times the scale.
func TestLearnedLogarithm(t *testing.T) {
	spec := fakequant.Spec{Bits: 3, Granularity: fakequant.PerChannel, Scheme: fakequant.Affine, Unsigned: true}
	shape, r := []int{2, 8}, rand.New(rand.NewPCG(3, 4))
	x, dy := random(r, 16), random(r, 16)
	for _, name := range machines {
		q := newQuantizer(t, "w", spec, &observers.MinMax{})
		log, zero, err := q.Learn(2, fakequant.InitObserver)
		if err != nil {
			t.Fatal(err)
		}
		q.SetPhase(fakequant.ObservingAndQuantizing)
		site := q.NewSite()
		if err := site.Forward(make([]float32, 16), x, shape); err != nil { // learning begins
			t.Fatal(err)
		}
		log[0], log[1] = 0.25, -0.5
		g := gorgonia.NewGraph()
		xn, ln, zn := input(g, "x", shape, x), input(g, "log_scale", []int{2}, log), input(g, "zero_point", []int{2}, zero)
		y := must(t)(fqop.Learned(xn, site, false, ln, zn))
		m := start(t, name, weigh(t, y, dy), xn, ln, zn)
		runAll(t, m)
		used, _ := site.Used()
		dx, ds, dz := make([]float32, 16), make([]float32, 2), make([]float32, 2)
		if err := site.BackwardLearned(dx, ds, dz, x, dy, shape, false); err != nil {
			t.Fatal(err)
		}
		for i := range ds {
			if ds[i] == 0 {
				t.Fatal("the step gradient is 0")
			}
			ds[i] *= used.Scale[i]
		}
		equal(t, name+": gradient of the logarithm", gradient(t, ln), ds)
		equal(t, name+": gradient of the zero point", gradient(t, zn), dz)
		equal(t, name+": gradient of x", gradient(t, xn), dx)
	}
}
