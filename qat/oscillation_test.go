package qat

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/internal/measure"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

// fourBits is a config with 4-bit weights, whose range is that of the largest weight.
func fourBits(o qconfig.Oscillation) qconfig.Config {
	return qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}, Oscillation: o}}
}

// oneFC prepares one matrix product [6]·[6,3] with weights that are all 1, so that each
// column has the scale 1/7.
func oneFC(t *testing.T, o qconfig.Oscillation) (*net, []float32) {
	t.Helper()
	g := gorgonia.NewGraph()
	n := prepare(t, fourBits(o), g, fc("fc", leaf(g, "x", 4, 6), 3))
	w := n.weights("fc")
	for i := range w {
		w[i] = 1
	}
	return n, w
}

func (n *net) justStep() {
	n.t.Helper()
	if err := n.m.Step(); err != nil {
		n.t.Fatal(err)
	}
}

// TestOscillationByHand follows one weight through a sequence of codes. The momentum of
// 0.5 makes the averages exact.
func TestOscillationByHand(t *testing.T) {
	n, w := oneFC(t, qconfig.Oscillation{Track: qconfig.Yes, Momentum: 0.5})
	o := n.layer("fc").Oscillation
	for i, s := range []struct{ code, freq, mean float32 }{
		{2, 0, 2},          // the first is no jump
		{3, 0, 2.5},        // nor is the first change
		{2, 0.5, 2.25},     // back
		{3, 0.75, 2.625},   // and forth
		{3, 0.375, 2.8125}, // rest
		{5, 0.1875, 3.90625},
		{4, 0.59375, 3.953125},
	} {
		w[4] = s.code / 7
		n.justStep()
		if o.Code[4] != s.code || o.Frequency[4] != s.freq || o.Mean[4] != s.mean {
			t.Errorf("step %d: code %v, frequency %v, mean %v, want %v", i, o.Code[4], o.Frequency[4], o.Mean[4], s)
		}
		if w[4] != s.code/7 {
			t.Errorf("step %d: tracking moved the weight to %v", i, w[4])
		}
	}
	st := n.row("fc", "weight").Oscillation
	if want := (report.OscillationStats{Oscillating: 1, Frequency: report.Number(0.59375 / 18)}); *st != want {
		t.Errorf("report: %+v, want %+v", *st, want)
	}
	if text := n.row("fc", "weight").Note(); text != "1 weights oscillate, 0 frozen" {
		t.Errorf("note %q", text)
	}
}

// TestFreeze: a weight whose frequency passes the threshold goes to its rounded average
// and stays, whatever the solver does; a frozen weight follows the scale.
func TestFreeze(t *testing.T) {
	n, w := oneFC(t, qconfig.Oscillation{Momentum: 0.5, FreezeThreshold: 0.6})
	for _, code := range []float32{2, 3, 2} {
		w[4] = code / 7
		n.justStep()
	}
	if st := n.row("fc", "weight").Oscillation; st.Frozen != 0 {
		t.Fatalf("frozen too early: %+v", st)
	}
	w[4] = 3.25 / 7
	n.justStep() // frequency 0.75, mean 2.625
	if want := 3 * (float32(1) / 7); w[4] != want {
		t.Errorf("froze at %v, want %v", w[4], want)
	}
	w[4] = -1
	n.justStep()
	if want := 3 * (float32(1) / 7); w[4] != want {
		t.Errorf("after the solver moved it: %v, want %v", w[4], want)
	}
	for i := 1; i < len(w); i += 3 {
		if i != 4 {
			w[i] = 2 // the column's scale doubles
		}
	}
	n.justStep()
	if want := 3 * (float32(2) / 7); w[4] != want {
		t.Errorf("after the scale doubled: %v, want %v", w[4], want)
	}
	if st := n.row("fc", "weight").Oscillation; st.Frozen != 1 || st.Oscillating != 0 {
		t.Errorf("report: %+v", st)
	}
}

// TestFreezeLargest: the weight that the scale comes from has its place again before the
// scale is read.
func TestFreezeLargest(t *testing.T) {
	n, w := oneFC(t, qconfig.Oscillation{FreezeThreshold: 0.5})
	for i := range w {
		w[i] = 0.5
	}
	w[1] = 1
	n.justStep()
	o := n.layer("fc").Oscillation
	o.Frozen[1], o.Held[1] = 1, 1
	w[1] = 0.6 // the solver
	n.justStep()
	if w[1] != 1 || n.row("fc", "weight").Scales[1] != float32(1)/7 {
		t.Errorf("the largest weight is %v, the scale %v", w[1], n.row("fc", "weight").Scales[1])
	}
}

// dampTol: one float32 product, quotient and difference each, of numbers below 1.
const dampTol = 4 * 0x1p-24

func TestDamping(t *testing.T) {
	n, w := oneFC(t, qconfig.Oscillation{Damping: 0.5, DampingSteps: 2})
	w[4], w[7] = 2.4/7, -2.4/7
	n.justStep() // half a cosine at half its length: half of 0.5
	for i, want := range map[int]float64{4: 2.3 / 7, 7: -2.3 / 7, 1: 1, 0: 1} {
		if math.Abs(float64(w[i])-want) > dampTol {
			t.Errorf("step 1: weight %d is %v, want %v", i, w[i], want)
		}
	}
	n.justStep() // all of it
	for i, want := range map[int]float64{4: 2.15 / 7, 7: -2.15 / 7} {
		if math.Abs(float64(w[i])-want) > dampTol {
			t.Errorf("step 2: weight %d is %v, want %v", i, w[i], want)
		}
	}
}

// TestDampingBeyondTheGrid: a clipped weight has no grid point to go to.
func TestDampingBeyondTheGrid(t *testing.T) {
	cfg := fourBits(qconfig.Oscillation{Damping: 1})
	cfg.Global.Weights.Observer = "min_max"
	cfg.Milestones = qconfig.MilestonesAt(0, 0, 1, qconfig.Never)
	g := gorgonia.NewGraph()
	n := prepare(t, cfg, g, fc("fc", leaf(g, "x", 4, 6), 3))
	n.justStep()
	n.step(n.machine(), 0) // observes, once
	w := n.weights("fc")
	scale := n.row("fc", "weight").Scales[0]
	w[0], w[3], w[6] = 9*scale, -7.25*scale, 6.75*scale
	n.justStep()
	if w[0] != 9*scale || w[3] != -7.25*scale {
		t.Errorf("clipped weights moved to %v and %v steps", w[0]/scale, w[3]/scale)
	}
	if math.Abs(float64(w[6]-7*scale)) > dampTol {
		t.Errorf("a weight inside is at %v steps, want 7", w[6]/scale)
	}
}

// onGridSQNR: weights that were divided by the factor of batch normalisation and
// multiplied by it again are off by two roundings of float32, 2^-23 in all.
const onGridSQNR = 20 * 6.0206 // dB of 20 bits

// TestFolded: full damping and freezing put weights on the grid as they ship, folded,
// with channels in the first and in the last axis.
func TestFolded(t *testing.T) {
	for name, build := range map[string]func(g *gorgonia.ExprGraph) *gorgonia.Node{
		"conv": func(g *gorgonia.ExprGraph) *gorgonia.Node {
			return relu(batchNorm("bn", conv("c", leaf(g, "x", 4, 2, 4, 4), 3, 3)))
		},
		"matmul": func(g *gorgonia.ExprGraph) *gorgonia.Node {
			return batchNorm("bn", fc("f", leaf(g, "x", 4, 6), 5))
		},
	} {
		onGrid(t, name+", damped", build, qconfig.Oscillation{Damping: 1})
		onGrid(t, name+", frozen", build, qconfig.Oscillation{FreezeThreshold: 0.5})
	}
}

func onGrid(t *testing.T, name string, build func(g *gorgonia.ExprGraph) *gorgonia.Node, o qconfig.Oscillation) {
	t.Helper()
	g := gorgonia.NewGraph()
	n := prepare(t, fourBits(o), g, build(g))
	m := n.machine()
	tops := map[string]float32{} // of frozen weights
	for i := range 3 {
		n.step(m, i)
		for _, l := range n.m.plan.Layers {
			if w := l.Oscillation; w != nil && o.FreezeThreshold > 0 && i == 1 {
				copy(w.Held, n.weights(l.Name))
				tops[l.Name] = peak(w.Held)
				for k := range w.Frozen {
					w.Frozen[k] = 1
				}
			}
		}
	}
	r, err := n.m.Report()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, row := range r.Rows {
		if row.Tensor != "weight" {
			continue
		}
		found = true
		if row.Oscillation == nil || row.Oscillation.Why != "" || float64(row.SQNR) < onGridSQNR {
			t.Errorf("%s: SQNR %v, %+v", name, row.SQNR, row.Oscillation)
		}
	}
	for layer, top := range tops {
		// The largest weight keeps its value through the factor and back.
		if got := peak(n.weights(layer)); math.Abs(float64(got-top)) > 4*dampTol*float64(top) {
			t.Errorf("%s: the largest frozen weight went from %v to %v", name, top, got)
		}
	}
	if !found || len(n.m.plan.Statistics) != 1 {
		t.Errorf("%s: no weights", name)
	}
}

// flips trains a row of weights towards a target between the grid points and counts how
// often a code changes in the last steps.
func flips(t *testing.T, o qconfig.Oscillation) (changed int, st report.OscillationStats) {
	t.Helper()
	g := gorgonia.NewGraph()
	x := leaf(g, "x", 8, 6)
	y := must(gorgonia.Mul(x, param(g, "fc.weight", 6, 2)))
	n := onlyPrepare(t, qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 3}, Activations: qconfig.Tensor{Off: true}, Oscillation: o}}, g, y)
	target := leaf(n.m.Graph(), "target", 8, 2)
	n.cost = must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(n.m.OutputNodes()[0], target))))))
	if _, err := gorgonia.Grad(n.cost, n.m.Learnables()...); err != nil {
		t.Fatal(err)
	}
	in := numbers(1, 8*6)
	out := make([]float32, 8*2)
	for i := range out {
		for k := range 6 {
			out[i] += in[i/2*6+k] * float32(k+1+i%2) * 0.13
		}
	}
	if err := gorgonia.Let(n.m.InputNodes()[0], dense(in, 8, 6)); err != nil {
		t.Fatal(err)
	}
	if err := gorgonia.Let(target, dense(out, 8, 2)); err != nil {
		t.Fatal(err)
	}
	m := n.machine()
	solver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.1))
	var last []float32
	for i := range 300 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		if err := solver.Step(gorgonia.NodesToValueGrads(n.m.Learnables())); err != nil {
			t.Fatal(err)
		}
		m.Reset()
		n.justStep()
		l := n.m.plan.Layers[0]
		if i >= 200 {
			for k, c := range l.Oscillation.Code {
				if c != last[k] {
					changed++
				}
			}
		}
		last = slices.Clone(l.Oscillation.Code)
	}
	return changed, *measure.OscillationOf(n.m.plan.Layers[0].Oscillation)
}

// TestFlips is what it is all for: weights jump, and less so with each remedy.
func TestFlips(t *testing.T) {
	plain, st := flips(t, qconfig.Oscillation{Track: qconfig.Yes})
	if plain < 20 || st.Oscillating == 0 {
		t.Fatalf("%d changes, %+v: the problem does not oscillate", plain, st)
	}
	if damped, _ := flips(t, qconfig.Oscillation{Damping: 0.2, DampingSteps: 100}); damped > plain/2 {
		t.Errorf("%d changes with damping, %d without", damped, plain)
	}
	if frozen, st := flips(t, qconfig.Oscillation{FreezeThreshold: 0.05}); frozen > plain/2 || st.Frozen == 0 {
		t.Errorf("%d changes with freezing, %d without: %+v", frozen, plain, st)
	}
}

// TestOscillationState: a loaded training goes on bit for bit, history included.
func TestOscillationState(t *testing.T) {
	build := func() *net {
		g, _, y := mlp()
		n := prepare(t, fourBits(qconfig.Oscillation{Momentum: 0.3, Damping: 0.05, DampingSteps: 6, FreezeThreshold: 0.25}), g, y)
		n.m.Record(1)
		return n
	}
	a := build()
	m := a.machine()
	for i := range 4 {
		w := a.weights("fc1") // something must jump
		for k := range w {
			w[k] += 0.3 * float32(1-2*(i%2))
		}
		a.step(m, i)
	}
	var file bytes.Buffer
	if err := a.m.WriteState(&file); err != nil {
		t.Fatal(err)
	}
	b := build()
	if err := b.m.ReadState(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
		t.Fatal(err)
	}
	if st := a.row("fc1", "weight").Oscillation; st.Frozen == 0 {
		t.Errorf("nothing froze: %+v", st)
	}
	mb := b.machine()
	for i := 4; i < 7; i++ {
		a.step(m, i)
		b.step(mb, i)
	}
	sameBits(t, "training", b.m.plan.Memory(), a.m.plan.Memory())
	if !reflect.DeepEqual(a.m.history, b.m.history) || len(a.m.history.Steps) != 7 {
		t.Errorf("history %+v, want %+v", b.m.history, a.m.history)
	}
}

// Without settings there is nothing: no memory, no tensor in a state.
func TestOscillationOff(t *testing.T) {
	for name, cfg := range map[string]qconfig.Config{
		"default": {},
		"off":     {Global: &qconfig.Layer{Oscillation: qconfig.Oscillation{Track: qconfig.Yes}}, Names: map[string]*qconfig.Layer{"fc": {Oscillation: qconfig.Oscillation{Track: qconfig.No}}}},
		"float":   {Global: &qconfig.Layer{Weights: qconfig.Tensor{Off: true}, Oscillation: qconfig.Oscillation{Track: qconfig.Yes}}},
	} {
		g := gorgonia.NewGraph()
		n := prepare(t, cfg, g, fc("fc", leaf(g, "x", 4, 6), 3))
		if n.layer("fc").Oscillation != nil || n.row("fc", "weight").Oscillation != nil {
			t.Errorf("%s: followed", name)
		}
		for tensor := range n.m.plan.Memory() {
			if strings.HasPrefix(tensor, "oscillation") {
				t.Errorf("%s: the state has %s", name, tensor)
			}
		}
	}
}

// Weights that cannot be followed are named in the report, and training goes on.
func TestOscillationWhy(t *testing.T) {
	g := gorgonia.NewGraph()
	x, w := leaf(g, "x", 4, 6), param(g, "w", 6, 6)
	// Channels of the second product are rows of w: two sets of codes.
	shared := must(gorgonia.Mul(relu(must(gorgonia.Mul(x, w))), must(gorgonia.Transpose(w))))
	g2 := gorgonia.NewGraph()
	computed := must(gorgonia.Mul(leaf(g2, "x", 4, 6), must(gorgonia.Square(param(g2, "w", 6, 6)))))
	for want, y := range map[string]*gorgonia.Node{"several layers have codes of their own": shared, "computed from parameters": computed} {
		n := prepare(t, fourBits(qconfig.Oscillation{Damping: 0.1}), y.Graph(), y)
		n.step(n.machine(), 0)
		r, err := n.m.Report()
		if err != nil {
			t.Fatal(err)
		}
		if text := r.String(); !strings.Contains(text, "oscillation not tracked: ") || !strings.Contains(text, want) {
			t.Errorf("the report does not say %q:\n%v", want, text)
		}
	}
}

// A broken weight is an error that names the layer.
func TestOscillationNaN(t *testing.T) {
	n, w := oneFC(t, qconfig.Oscillation{Track: qconfig.Yes})
	w[5] = float32(math.NaN())
	if err := n.m.Step(); err == nil || !strings.Contains(err.Error(), "fc") || n.m.Steps() != 0 {
		t.Errorf("step %d: %v", n.m.Steps(), err)
	}
}
