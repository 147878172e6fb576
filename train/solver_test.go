package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// param is a parameter outside any graph.
type param struct {
	name string
	w, g gorgonia.Value
}

func (p *param) Name() string                  { return p.name }
func (p *param) Value() gorgonia.Value         { return p.w }
func (p *param) Grad() (gorgonia.Value, error) { return p.g, nil }
func dense(v ...float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(v)), tensor.WithBacking(v))
}
func vec(name string, w, g []float32) *param { return &param{name, dense(w...), dense(g...)} }
func (p *param) weights() []float32          { return p.w.(*tensor.Dense).Float32s() }
func (p *param) setGrad(g []float32)         { p.g = dense(g...) }
func list(ps ...*param) (out []gorgonia.ValueGrad) {
	for _, p := range ps {
		out = append(out, p)
	}
	return out
}

// The updates are float32 formulas of at most eight roundings on values below 4;
// half a unit in the last place of 4 is 2^-23, and three steps add up.
const solverTol = 3 * 8 * 0x1p-23

// sgdWant is the pseudo-code of torch.optim.SGD's documentation in float64, one
// element at a time.
func sgdWant(w float64, grads []float64, c SGDConfig) []float64 {
	var out []float64
	buf := 0.0
	for t, g := range grads {
		g += c.WeightDecay * w
		if c.Momentum != 0 {
			if t == 0 {
				buf = g
			} else {
				buf = c.Momentum*buf + g
			}
			if c.Nesterov {
				g += c.Momentum * buf
			} else {
				g = buf
			}
		}
		w -= c.LearnRate * g
		out = append(out, w)
	}
	return out
}

// adamWant is the pseudo-code of the documentation of torch.optim.Adam and AdamW.
func adamWant(w float64, grads []float64, c AdamConfig) []float64 {
	var out []float64
	m, v := 0.0, 0.0
	for i, g := range grads {
		t := float64(i + 1)
		if c.Decoupled {
			w -= c.LearnRate * c.WeightDecay * w
		} else {
			g += c.WeightDecay * w
		}
		m = 0.9*m + 0.1*g
		v = 0.999*v + 0.001*g*g
		mHat, vHat := m/(1-math.Pow(0.9, t)), v/(1-math.Pow(0.999, t))
		w -= c.LearnRate * mHat / (math.Sqrt(vHat) + 1e-8)
		out = append(out, w)
	}
	return out
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSolversFollowTheirFormulas(t *testing.T) {
	start := []float64{1, -2, 0.5}
	grads := [][]float64{{0.5, -1, 2}, {0.25, 0.5, -1}, {-0.125, 2, 0.75}}
	type solver struct {
		name string
		opt  Optimizer
		want func(w float64, g []float64) []float64
	}
	var all []solver
	for _, c := range []SGDConfig{{LearnRate: 0.1}, {LearnRate: 0.1, Momentum: 0.9}, {LearnRate: 0.1, Momentum: 0.9, WeightDecay: 0.01},
		{LearnRate: 0.1, WeightDecay: 0.01}, {LearnRate: 0.1, Momentum: 0.9, WeightDecay: 0.01, Nesterov: true}} {
		all = append(all, solver{fmt.Sprintf("%+v", c), must(NewSGD(c)), func(w float64, g []float64) []float64 { return sgdWant(w, g, c) }})
	}
	for _, c := range []AdamConfig{{LearnRate: 0.1}, {LearnRate: 0.1, WeightDecay: 0.01}, {LearnRate: 0.1, WeightDecay: 0.01, Decoupled: true}} {
		all = append(all, solver{fmt.Sprintf("%+v", c), must(NewAdam(c)), func(w float64, g []float64) []float64 { return adamWant(w, g, c) }})
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			p := vec("w", []float32{1, -2, 0.5}, nil)
			scalar := gorgonia.F32(start[0])
			q := &param{name: "s", w: &scalar}
			for step := range grads {
				g := make([]float32, 3)
				for i, v := range grads[step] {
					g[i] = float32(v)
				}
				p.setGrad(g)
				gs := gorgonia.F32(g[0])
				q.g = &gs
				if err := s.opt.Step(list(p, q)); err != nil {
					t.Fatal(err)
				}
				for i, w := range p.weights() {
					var gi []float64
					for _, g := range grads {
						gi = append(gi, g[i])
					}
					if want := s.want(start[i], gi)[step]; math.Abs(float64(w)-want) > solverTol {
						t.Errorf("step %d, element %d: %v, want %v", step, i, w, want)
					}
				}
				if float32(scalar) != p.weights()[0] {
					t.Errorf("step %d: scalar %v, the same value in a tensor %v", step, scalar, p.weights()[0])
				}
			}
		})
	}
}

// By hand, with powers of two so that every operation is exact.
func TestSGDExact(t *testing.T) {
	o := must(NewSGD(SGDConfig{LearnRate: 0.5, Momentum: 0.5}))
	p := vec("w", []float32{1}, []float32{1})
	for i, want := range []float32{0.5, -0.25, -1.125} { // v = 1, 1.5, 1.75
		if err := o.Step(list(p)); err != nil {
			t.Fatal(err)
		}
		if got := p.weights()[0]; got != want {
			t.Errorf("step %d: %v, want %v", i, got, want)
		}
	}
}

func TestNoDecay(t *testing.T) {
	no := func(name string) bool { return name == "scale" }
	for _, o := range []Optimizer{
		must(NewSGD(SGDConfig{LearnRate: 0.5, WeightDecay: 0.5, NoDecay: no})),
		must(NewAdam(AdamConfig{LearnRate: 0.5, WeightDecay: 0.5, NoDecay: no})),
		must(NewAdam(AdamConfig{LearnRate: 0.5, WeightDecay: 0.5, Decoupled: true, NoDecay: no})),
	} {
		w, s := vec("w", []float32{1}, []float32{0}), vec("scale", []float32{1}, []float32{0})
		if err := o.Step(list(w, s)); err != nil {
			t.Fatal(err)
		}
		if w.weights()[0] >= 1 || s.weights()[0] != 1 {
			t.Errorf("%T: weight %v, want below 1; scale %v, want 1", o, w.weights()[0], s.weights()[0])
		}
	}
}

func TestStepErrorsChangeNothing(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	f64 := tensor.New(tensor.WithShape(2), tensor.WithBacking([]float64{1, 2}))
	view := must(tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4})).Slice(nil, gorgonia.S(0)))
	for _, c := range []struct {
		name string
		bad  *param
		is   error
		says string
	}{
		{"nan", vec("fc1.weight", []float32{1, 2}, []float32{0, nan}), ErrNotFinite, `"fc1.weight"`},
		{"inf", vec("fc1.weight", []float32{1, 2}, []float32{-inf, 0}), ErrNotFinite, "element 0"},
		{"nan late", vec("fc1.weight", make([]float32, 11), append(make([]float32, 10), nan)), ErrNotFinite, "element 10"},
		{"lengths", vec("b", []float32{1, 2}, []float32{1}), nil, "1 elements"},
		{"float64", &param{"b", f64, dense(1, 2)}, ErrConfig, "float64"},
		{"float64 gradient", &param{"b", dense(1, 2), f64}, ErrConfig, "float64"},
		{"view", &param{"b", view, dense(1, 2)}, ErrConfig, "view"},
		{"no gradient", &param{"b", dense(1, 2), nil}, nil, "run the machine"},
		{"no value", &param{"b", nil, dense(1, 2)}, ErrConfig, "nil"},
		{"name twice", vec("good", []float32{1}, []float32{1}), ErrConfig, "name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, o := range []Optimizer{must(NewSGD(SGDConfig{LearnRate: 1})), must(NewAdam(AdamConfig{LearnRate: 1}))} {
				good := vec("good", []float32{1}, []float32{1})
				err := o.Step(list(good, c.bad))
				if err == nil || !strings.Contains(err.Error(), c.says) || (c.is != nil && !errors.Is(err, c.is)) {
					t.Errorf("%T: error %v, want %q (%v)", o, err, c.says, c.is)
				}
				if good.weights()[0] != 1 {
					t.Errorf("%T: the other parameter moved", o)
				}
			}
		})
	}
}

func TestGradientViewIsRead(t *testing.T) {
	g := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}))
	if err := g.T(); err != nil {
		t.Fatal(err)
	}
	w := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(make([]float32, 4)))
	if err := must(NewSGD(SGDConfig{LearnRate: 1})).Step(list(&param{"w", w, g})); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(w.Float32s()); got != "[-1 -3 -2 -4]" {
		t.Errorf("weights %v after the gradient [1 3 2 4]", got)
	}
}

func TestBadSettings(t *testing.T) {
	for _, c := range []SGDConfig{{}, {LearnRate: -1}, {LearnRate: math.NaN()}, {LearnRate: 1, Momentum: 1}, {LearnRate: 1, WeightDecay: -1}, {LearnRate: 1, Nesterov: true}} {
		if _, err := NewSGD(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []AdamConfig{{}, {LearnRate: 1, Beta1: 1}, {LearnRate: 1, Beta2: -1}, {LearnRate: 1, Eps: -1}, {LearnRate: 1, WeightDecay: -1}} {
		if _, err := NewAdam(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestStateGoesOn(t *testing.T) {
	for name, mk := range map[string]func() Optimizer{
		"sgd":  func() Optimizer { return must(NewSGD(SGDConfig{LearnRate: 0.1, Momentum: 0.9})) },
		"adam": func() Optimizer { return must(NewAdam(AdamConfig{LearnRate: 0.1})) },
	} {
		t.Run(name, func(t *testing.T) {
			a, p := mk(), vec("w", []float32{1, -2}, []float32{0.3, 0.7})
			for range 3 {
				must(0, a.Step(list(p)))
			}
			var st State
			if err := json.Unmarshal(must(json.Marshal(a.State())), &st); err != nil { // as it would be saved
				t.Fatal(err)
			}
			b, q := mk(), vec("w", append([]float32{}, p.weights()...), []float32{0.3, 0.7})
			if err := b.Restore(st); err != nil {
				t.Fatal(err)
			}
			st.Params[0].Moments[0][0] = 99 // a copy: must not matter
			for range 3 {
				must(0, a.Step(list(p)))
				must(0, b.Step(list(q)))
			}
			if fmt.Sprint(p.weights()) != fmt.Sprint(q.weights()) {
				t.Errorf("restored %v, uninterrupted %v", q.weights(), p.weights())
			}
			bad := a.State()
			bad.Params[0].Moments[0][1] = float32(math.NaN())
			twice := a.State()
			twice.Params = append(twice.Params, twice.Params[0])
			short := a.State()
			short.Params[0].Moments = nil
			for _, st := range []State{{Kind: "other"}, bad, twice, short} {
				if err := b.Restore(st); !errors.Is(err, ErrState) {
					t.Errorf("Restore(%+v): %v", st, err)
				}
			}
			if err := b.Step(list(vec("w", []float32{1}, []float32{1}))); !errors.Is(err, ErrState) {
				t.Errorf("moments of another size: %v", err)
			}
		})
	}
}

// A large tensor is updated in parallel, with the same result.
func TestParallelStepIsTheSame(t *testing.T) {
	run := func(procs int) []float32 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		w, g := make([]float32, 100_005), make([]float32, 100_005)
		for i := range w {
			w[i], g[i] = float32(i%17)-8, float32(i%13)-6
		}
		p, o := vec("w", w, g), must(NewAdam(AdamConfig{LearnRate: 0.1}))
		for range 2 {
			must(0, o.Step(list(p)))
		}
		return p.weights()
	}
	one, four := run(1), run(4)
	for i := range one {
		if one[i] != four[i] {
			t.Fatalf("element %d: %v with one goroutine, %v with four", i, one[i], four[i])
		}
	}
}

// With BindDualValues Gorgonia adds gradients up, and the solver must zero them;
// without, it must leave them alone: here the gradient may be the input itself.
func TestBoundDualValues(t *testing.T) {
	for _, bind := range []bool{false, true} {
		g := gorgonia.NewGraph()
		w := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(2), gorgonia.WithName("w"), gorgonia.WithValue(dense(1, 2)))
		x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(2), gorgonia.WithName("x"), gorgonia.WithValue(dense(3, 4)))
		cost := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(w, x))))
		must(0, Gradients(cost, gorgonia.Nodes{w}))
		var opts []gorgonia.VMOpt
		if bind {
			opts = append(opts, gorgonia.BindDualValues(w))
		}
		m, o := gorgonia.NewTapeMachine(g, opts...), must(NewSGD(SGDConfig{LearnRate: 1}))
		for range 2 {
			must(0, m.RunAll())
			must(0, o.Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{w})))
			m.Reset()
		}
		if got := w.Value().Data().([]float32); got[0] != 1-6 || got[1] != 2-8 {
			t.Errorf("bound %v: (1, 2) became %v, want two steps of (3, 4)", bind, got)
		}
		if x := x.Value().Data().([]float32); x[0] != 3 || x[1] != 4 {
			t.Errorf("bound %v: the input changed to %v", bind, x)
		}
		must(0, m.Close())
	}
}

func TestStepDoesNotAllocatePerElement(t *testing.T) {
	o := must(NewAdam(AdamConfig{LearnRate: 0.1}))
	ps := list(vec("a", make([]float32, 1000), make([]float32, 1000)), vec("b", make([]float32, 10), make([]float32, 10)))
	must(0, o.Step(ps))
	// A closure for each parameter and what Gorgonia's accessors need.
	const perParam = 6
	if n := testing.AllocsPerRun(10, func() { must(0, o.Step(ps)) }); n > perParam*float64(len(ps)) {
		t.Errorf("%v allocations per step", n)
	}
}
