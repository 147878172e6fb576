package qat

import (
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// TestUserMemory: parameters keep their names and the user's memory, and the
// user's graph stays as it was.
func TestUserMemory(t *testing.T) {
	g, x, y := mlp()
	var users gorgonia.Nodes
	for _, n := range g.AllNodes() {
		if n.IsVar() && n != x {
			users = append(users, n)
		}
	}
	nodes := slices.Clone(g.AllNodes())
	n := prepare(t, qconfig.Config{}, g, y)
	learnables := n.m.Learnables()
	if len(learnables) != len(users) {
		t.Fatalf("%d learnables, want %d", len(learnables), len(users))
	}
	before := map[string][]float32{}
	for i, u := range users {
		if learnables[i].Name() != u.Name() || n.node(u) != learnables[i] {
			t.Errorf("parameter %q became %q", u.Name(), learnables[i].Name())
		}
		if learnables[i].Value() == u.Value() {
			t.Errorf("parameter %q shares its tensor header, which stock ops transpose in place", u.Name())
		}
		before[u.Name()] = floats(t, u.Value())
	}
	n.step(n.machine(), 0)
	for _, u := range users {
		if slices.Equal(floats(t, u.Value()), before[u.Name()]) {
			t.Errorf("the solver's step did not reach the user's %q", u.Name())
		}
	}
	if !slices.Equal(g.AllNodes(), nodes) {
		t.Error("the user's graph has other nodes than before")
	}
	if n.node(y) == nil || n.node(y).Graph() != n.m.Graph() || n.node(y) != n.m.OutputNodes()[0] {
		t.Error("Node does not map the output")
	}
	if n.node(x) != n.m.InputNodes()[0] || n.m.Inputs()[0] != "x" {
		t.Error("Node does not map the input")
	}
	for _, foreign := range []*gorgonia.Node{leaf(gorgonia.NewGraph(), "x", 1), nil} {
		if _, err := n.m.Node(foreign); err == nil {
			t.Error("Node of a foreign node is no error")
		}
	}
}

// TestSharedWeight: one matrix in a product and in a sum ships twice, under names
// of its own.
func TestSharedWeight(t *testing.T) {
	g := gorgonia.NewGraph()
	x, w := leaf(g, "x", 6, 6), param(g, "fc.weight", 6, 6)
	y := must(gorgonia.BroadcastAdd(must(gorgonia.Mul(x, w)), w, nil, nil))
	n := prepare(t, qconfig.Config{}, g, must(gorgonia.Tanh(y)))
	n.step(n.machine(), 0)
	n.verify(n.freeze(), n.batch(1, n.m.Batch()))
}

// TestStockStatistics: running statistics of Gorgonia's op are taken over, by copy.
func TestStockStatistics(t *testing.T) {
	g := gorgonia.NewGraph()
	x := leaf(g, "x", 4, 3)
	h := must(gorgonia.Mul(x, param(g, "fc.weight", 3, 2)))
	y, _, _, op, err := gorgonia.BatchNorm(h, param(g, "gamma", 1, 2), param(g, "beta", 1, 2), 0.1, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	mean, variance := op.Stats()
	copy(mean.Data().([]float32), []float32{0.5, -2})
	copy(variance.Data().([]float32), []float32{3, 0.25})
	n := prepare(t, qconfig.Config{}, g, y)
	s := n.snapshot().stats
	if len(s) != 2 {
		t.Fatalf("statistics %v, want one mean and one variance", s)
	}
	for name, v := range s {
		want := []float32{0.5, -2}
		if strings.HasSuffix(name, "variance") {
			want = []float32{3, 0.25}
		}
		if !slices.Equal(v, want) {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	n.step(n.machine(), 0)
	if got := mean.Data().([]float32); !slices.Equal(got, []float32{0.5, -2}) {
		t.Errorf("training changed the user's running mean to %v", got)
	}
}
