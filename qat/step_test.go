package qat

import (
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// twoLayers is x·a, rectified, times b.
func twoLayers(t *testing.T, cfg qconfig.Config) *Model {
	t.Helper()
	g := gorgonia.NewGraph()
	weight := func(name string) *gorgonia.Node {
		w := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, -0.5, 0.25, 1}))
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(2, 2), gorgonia.WithName(name), gorgonia.WithValue(w))
	}
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(4, 2), gorgonia.WithName("x"))
	h := gorgonia.Must(gorgonia.Rectify(gorgonia.Must(gorgonia.Mul(x, weight("a")))))
	y := gorgonia.Must(gorgonia.Mul(h, weight("b")))
	m, err := Prepare(g, cfg, y)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// phases returns the phase of each quantizer by name.
func phases(q *Model) map[string]fakequant.Phase {
	m := map[string]fakequant.Phase{}
	for _, f := range q.plan.Quantizers() {
		m[f.Name()] = f.Phase()
	}
	return m
}

func check(t *testing.T, q *Model, when string, want map[string]fakequant.Phase) {
	t.Helper()
	got := phases(q)
	for name, p := range want {
		if have, ok := got[name]; !ok || have != p {
			t.Errorf("%s: %s is %v, want %v (of %v)", when, name, have, p, got)
		}
	}
}

func TestLayerSchedule(t *testing.T) {
	own := &qconfig.Layer{Milestones: qconfig.MilestonesAt(2, 3, qconfig.Never, qconfig.Never)}
	q := twoLayers(t, qconfig.Config{Milestones: qconfig.MilestonesAt(0, 1, qconfig.Never, qconfig.Never), Names: map[string]*qconfig.Layer{"b": own}})
	check(t, q, "prepared", map[string]fakequant.Phase{"a.weight": fakequant.Off, "b.weight": fakequant.Off})
	steps := []struct{ a, b fakequant.Phase }{
		{fakequant.Observing, fakequant.Off},
		{fakequant.ObservingAndQuantizing, fakequant.Off},
		{fakequant.ObservingAndQuantizing, fakequant.Observing},
		{fakequant.ObservingAndQuantizing, fakequant.ObservingAndQuantizing},
	}
	for i, want := range steps {
		if err := q.Step(); err != nil {
			t.Fatal(err)
		}
		check(t, q, "step "+string(rune('1'+i)), map[string]fakequant.Phase{"a.weight": want.a, "b.weight": want.b, "x": want.a})
	}
}

func TestEpochSchedule(t *testing.T) {
	s := qconfig.MilestonesAt(0, 1, qconfig.Never, qconfig.Never)
	s.Epochs = true
	q := twoLayers(t, qconfig.Config{Milestones: s})
	for range 5 {
		if err := q.Step(); err != nil {
			t.Fatal(err)
		}
	}
	check(t, q, "steps only", map[string]fakequant.Phase{"a.weight": fakequant.Off})
	for _, want := range []fakequant.Phase{fakequant.Observing, fakequant.ObservingAndQuantizing} {
		q.Epoch()
		check(t, q, "epoch", map[string]fakequant.Phase{"a.weight": want, "x": want})
	}
	if q.Epochs() != 2 || q.Steps() != 5 {
		t.Errorf("%d epochs and %d steps, want 2 and 5", q.Epochs(), q.Steps())
	}
}

func TestSetObserving(t *testing.T) {
	q := twoLayers(t, qconfig.Config{})
	if err := q.SetObserving(false, "a"); err != nil {
		t.Fatal(err)
	}
	check(t, q, "a frozen", map[string]fakequant.Phase{"a.weight": fakequant.Quantizing,
		"b.weight": fakequant.ObservingAndQuantizing, "x": fakequant.ObservingAndQuantizing})
	if err := q.Step(); err != nil {
		t.Fatal(err)
	}
	check(t, q, "a step later", map[string]fakequant.Phase{"a.weight": fakequant.Quantizing})
	if err := q.SetObserving(false); err != nil {
		t.Fatal(err)
	}
	check(t, q, "all frozen", map[string]fakequant.Phase{"x": fakequant.Quantizing, "b.weight": fakequant.Quantizing})
	if err := q.SetObserving(true, "a"); err != nil {
		t.Fatal(err)
	}
	check(t, q, "a thawed", map[string]fakequant.Phase{"a.weight": fakequant.ObservingAndQuantizing, "b.weight": fakequant.Quantizing})
	if err := q.SetObserving(false, "aa"); err == nil || !strings.Contains(err.Error(), `did you mean "a"?`) {
		t.Errorf("unknown name: %v", err)
	}
}

// TestMilestonesCure: what the error about unset milestones prints works as it stands.
func TestMilestonesCure(t *testing.T) {
	err := qconfig.Config{Milestones: qconfig.Milestones{Quantize: 2}}.Validate()
	wantError(t, err, "use qconfig.MilestonesAt(0, 2, qconfig.Never, qconfig.Never)")
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{Milestones: qconfig.MilestonesAt(0, 2, qconfig.Never, qconfig.Never)}, g, y)
	m := n.machine()
	for i := range 4 {
		n.step(m, i)
	}
	n.verify(n.freeze(), n.batch(0, 4))
}

// TestPrepareLoss: a loss as the output is refused, with the node to give in its place.
func TestPrepareLoss(t *testing.T) {
	g, _, y := mlp()
	label := leaf(g, "label", 4, 3)
	cost := must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(y, label))))))
	_, err := Prepare(g, qconfig.Config{}, cost)
	wantError(t, err, "is a single number", `layer "fc2`, "shape [4 3]", "carried over")
	m, err := Prepare(g, qconfig.Config{}, y)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Node(cost); err != nil || len(m.Inputs()) != 1 {
		t.Errorf("inputs %q, cost: %v", m.Inputs(), err)
	}
}
