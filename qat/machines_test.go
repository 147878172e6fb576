package qat

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// machineNets are small networks with what could tell two machines apart: shared
// quantizers, live statistics, several outputs, stock ops.
var machineNets = map[string]func() (*gorgonia.ExprGraph, []*gorgonia.Node){
	"mlp": func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g, _, y := mlp()
		return g, []*gorgonia.Node{y}
	},
	"conv, pool, linear": func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		h := maxPool(relu(conv("c1", leaf(g, "x", 2, 1, 8, 8), 3, 3)))
		return g, []*gorgonia.Node{relu(conv("c2", h, 2, 3))}
	},
	"concat of branches that grow apart": func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 4, 6)
		cat := must(gorgonia.Concat(1, relu(fc("a", x, 3)), fc("b", x, 2)))
		return g, []*gorgonia.Node{fc("c", cat, 4)}
	},
	"batch normalisation": func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		h := relu(batchNorm("bn1", conv("c1", leaf(g, "x", 3, 2, 5, 5), 4, 3)))
		return g, []*gorgonia.Node{relu(batchNorm("bn2", conv("c2", h, 3, 3)))}
	},
	"residual with two outputs": func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		h := relu(fc("a", leaf(g, "x", 4, 6), 6))
		s := relu(must(gorgonia.Add(fc("b", h, 6), h)))
		return g, []*gorgonia.Node{fc("head1", s, 2), must(gorgonia.Sigmoid(fc("head2", s, 1)))}
	},
	"opaque stock op": func() (*gorgonia.ExprGraph, []*gorgonia.Node) {
		g := gorgonia.NewGraph()
		h := must(gorgonia.Sparsemax(fc("a", leaf(g, "x", 2, 6), 5)))
		return g, []*gorgonia.Node{relu(fc("b", h, 3))}
	},
}

// history is what a training run leaves: losses, the last gradients, the state.
type history struct {
	losses map[string][]float32
	grads  map[string][]float32
	end    snapshot
}

// machineSteps lets the moving averages, the statistics and the weights move apart,
// if anything differs.
const machineSteps = 6

func trainWith(t *testing.T, cfg qconfig.Config, rate float64, build func() (*gorgonia.ExprGraph, []*gorgonia.Node), make func(*net) gorgonia.VM) history {
	t.Helper()
	g, outputs := build()
	n := prepare(t, cfg, g, outputs...)
	vm := make(n)
	defer vm.Close()
	h := history{losses: map[string][]float32{}}
	for i := range machineSteps {
		n.feed(i)
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		h.losses["loss"] = append(h.losses["loss"], floats(t, n.cost.Value())...)
		h.grads = gradients(t, n.m.Learnables())
		solver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(rate))
		if err := solver.Step(gorgonia.NodesToValueGrads(n.m.Learnables())); err != nil {
			t.Fatal(err)
		}
		vm.Reset()
		if err := n.m.Step(); err != nil {
			t.Fatal(err)
		}
	}
	h.end = n.snapshot()
	return h
}

// TestTapeMachine: Gorgonia's machine and goqat's give the same bits in every loss
// and gradient and leave the same weights, statistics and quantizers.
func TestTapeMachine(t *testing.T) {
	for name, build := range machineNets {
		t.Run(name, func(t *testing.T) {
			own := trainWith(t, qconfig.Config{}, 0.01, build, (*net).machine)
			tape := trainWith(t, qconfig.Config{}, 0.01, build, func(n *net) gorgonia.VM { return gorgonia.NewTapeMachine(n.m.Graph()) })
			sameBits(t, "loss", own.losses, tape.losses)
			sameBits(t, "gradient", own.grads, tape.grads)
			sameSnapshot(t, own.end, tape.end)
		})
	}
}

// TestTapeMachineSettings repeats it for other observers, formats and schedules: goqat's
// machine fuses the fake-quantizers with what comes before them, and the observers see
// ranges or values, as they need it.
func TestTapeMachineSettings(t *testing.T) {
	const rate = 1e-4 // no setting makes the networks diverge
	phases := qconfig.MilestonesAt(1, 2, 3, 4)
	for name, cfg := range map[string]qconfig.Config{
		"min max, affine":   {Global: &qconfig.Layer{Activations: qconfig.Tensor{Observer: "min_max", Scheme: qconfig.Affine, Unsigned: qconfig.Yes}}},
		"ema, phases":       {Global: &qconfig.Layer{Activations: qconfig.Tensor{Observer: "ema_min_max"}}, Milestones: phases},
		"histogram, phases": {Global: &qconfig.Layer{Activations: qconfig.Tensor{Observer: "histogram"}}, Milestones: phases},
		"percentile":        {Global: &qconfig.Layer{Activations: qconfig.Tensor{Observer: "percentile", Bits: 4}}},
		"learned":           {Global: &qconfig.Layer{Activations: qconfig.Tensor{Estimator: qconfig.LSQ, Scheme: qconfig.Affine}, Weights: qconfig.Tensor{Estimator: qconfig.LSQ, Bits: 4}}},
		"weights only":      {Global: &qconfig.Layer{Activations: qconfig.Tensor{Off: true}}},
	} {
		for shape, build := range machineNets {
			t.Run(name+"/"+shape, func(t *testing.T) {
				own := trainWith(t, cfg, rate, build, (*net).machine)
				tape := trainWith(t, cfg, rate, build, func(n *net) gorgonia.VM { return gorgonia.NewTapeMachine(n.m.Graph()) })
				sameBits(t, "loss", own.losses, tape.losses)
				sameBits(t, "gradient", own.grads, tape.grads)
				sameSnapshot(t, own.end, tape.end)
			})
		}
	}
}

func sameSnapshot(t *testing.T, got, want snapshot) {
	t.Helper()
	sameBits(t, "parameter", got.params, want.params)
	sameBits(t, "statistic", got.stats, want.stats)
	sameStates(t, got.states, want.states)
}

func sameStates(t *testing.T, got, want []fakequant.State) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d quantizers, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			g, _ := json.Marshal(got[i])
			w, _ := json.Marshal(want[i])
			t.Errorf("quantizer state\n%s\nwant\n%s", g, w)
		}
	}
}

// TestLispMachine: forward and backward of a prepared network under Gorgonia's
// other machine. It differentiates while it runs, so no Grad is called before.
func TestLispMachine(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	n.feed(0)
	if err := n.machine().RunAll(); err != nil {
		t.Fatal(err)
	}
	want := gradients(t, n.m.Learnables())
	wantLoss := floats(t, n.cost.Value())

	g, _, y = mlp()
	n = onlyPrepare(t, qconfig.Config{}, g, y)
	n.cost = squares(n.m.OutputNodes())
	n.feed(0)
	lisp := gorgonia.NewLispMachine(n.m.Graph())
	defer lisp.Close()
	if err := lisp.RunAll(); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "loss", map[string][]float32{"": floats(t, n.cost.Value())}, map[string][]float32{"": wantLoss})
	sameBits(t, "gradient", gradients(t, n.m.Learnables()), want)
}
