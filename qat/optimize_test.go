package qat

import (
	"testing"

	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// optimize rewrites a network of the zoo with its cost as the last output and adds
// the gradients.
func optimize(t *testing.T, m *zoo.Model) (o *Model, nodes, learnables gorgonia.Nodes) {
	t.Helper()
	o, err := Optimize(m.Graph, append(append([]*gorgonia.Node{}, m.Outputs...), m.Cost)...)
	if err != nil {
		t.Fatal(err)
	}
	nodes = o.OutputNodes()
	for _, w := range m.Learnables {
		learnables = append(learnables, nodeOf(t, o, w))
	}
	if _, err := gorgonia.Grad(nodes[len(nodes)-1], learnables...); err != nil {
		t.Fatal(err)
	}
	at := map[*gorgonia.Node]*gorgonia.Node{}
	for _, x := range m.Inputs {
		at[x] = nodeOf(t, o, x)
	}
	if err := m.Feed(at); err != nil {
		t.Fatal(err)
	}
	return o, nodes, learnables
}

func runOptimized(t *testing.T, vm gorgonia.VM, nodes, learnables gorgonia.Nodes) map[string][]float32 {
	t.Helper()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	got := gradients(t, learnables)
	for i, y := range nodes {
		got[outputName(i)] = floats(t, y.Value())
	}
	return got
}

// TestOptimizeEqualsStock: outputs, cost and gradients are those of the stock graph,
// up to the order of sums (see offTol).
func TestOptimizeEqualsStock(t *testing.T) {
	for _, c := range zoo.Nets() {
		if c.Wrong != "" || c.Random {
			continue // Gorgonia's own results are no reference
		}
		t.Run(c.Name, func(t *testing.T) {
			want := stockResults(t, c)
			o, nodes, learnables := optimize(t, c.Build())
			vm, err := o.Machine(nodes...)
			if err != nil {
				t.Fatal(err)
			}
			closeTo(t, runOptimized(t, vm, nodes, learnables), want)
		})
	}
}

// TestOptimizeMachines: every network of the zoo, the wrong and the random ones too,
// gives the same bits on both machines.
func TestOptimizeMachines(t *testing.T) {
	for _, c := range zoo.Nets() {
		t.Run(c.Name, func(t *testing.T) {
			o, nodes, learnables := optimize(t, c.Build())
			vm, err := o.Machine(nodes...)
			if err != nil {
				t.Fatal(err)
			}
			want := runOptimized(t, vm, nodes, learnables)
			o, nodes, learnables = optimize(t, c.Build())
			sameBits(t, "result", runOptimized(t, gorgonia.NewTapeMachine(o.Graph()), nodes, learnables), want)
		})
	}
}

// TestOptimizePredict: evaluation takes any batch size, and the statistics of batch
// normalisations are those that training left.
func TestOptimizePredict(t *testing.T) {
	g := gorgonia.NewGraph()
	y := relu(batchNorm("bn", conv("c", leaf(g, "x", 3, 2, 5, 5), 4, 3)))
	o, err := Optimize(g, y)
	if err != nil {
		t.Fatal(err)
	}
	x := numbers(1, 3*2*5*5)
	let := func() {
		if err := gorgonia.Let(o.InputNodes()[0], dense(x, 3, 2, 5, 5)); err != nil {
			t.Fatal(err)
		}
	}
	let()
	vm, err := o.Machine(o.OutputNodes()...)
	if err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err != nil { // moves the statistics
		t.Fatal(err)
	}
	o.FreezeStatistics(true)
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	frozen := floats(t, nodeOf(t, o, y).Value())
	got, err := o.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "evaluation", map[string][]float32{"": got[0]}, map[string][]float32{"": frozen})
	one, err := o.Predict(x[:50])
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "one row", map[string][]float32{"": one[0]}, map[string][]float32{"": frozen[:100]})
}

// TestOptimizeErrors: what cannot be read is refused by name.
func TestOptimizeErrors(t *testing.T) {
	g, x, y := mlp()
	_, err := Optimize(g, x)
	wantError(t, err, "leaf")
	_, err = Optimize(nil, y)
	wantError(t, err, "graph is nil")
	_, err = Prepare(g, qconfig.Config{Float: true, Roles: qconfig.Roles{Inputs: []string{"z"}}}, y)
	wantError(t, err, "roles.inputs[0]", "z")
	if _, err = Prepare(g, qconfig.Config{Float: true, Roles: qconfig.Roles{Inputs: []string{"x"}}}, y); err != nil {
		t.Error(err)
	}
	d := gorgonia.NewGraph()
	a := gorgonia.NewMatrix(d, tensor.Float64, gorgonia.WithShape(2, 2), gorgonia.WithName("a"))
	_, err = Optimize(d, must(gorgonia.Tanh(a)))
	wantError(t, err, "float64")
}
