package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/models"
	"gorgonia.org/gorgonia"
)

// blobs returns n rows in two dimensions of three classes, each around a corner of
// a triangle and well apart from the others.
func blobs(n int) Data {
	corners := [3][2]float32{{2, 0}, {-1, 2}, {-1, -2}}
	d := Data{Shape: []int{2}, Classes: 3}
	for i := range n {
		c := corners[i%3]
		d.X = append(d.X, c[0]+float32(i%5-2)/8, c[1]+float32(i%7-3)/8)
		d.Y = append(d.Y, i%3)
	}
	return d
}

func small(seed uint64) *models.Net { return must(models.MLP(seed, 2, 16, 3)) }

// weights joins all parameters of a network.
func weights(n *models.Net) (out []float32) {
	for _, p := range n.Params() {
		out = append(out, p.Data...)
	}
	return out
}

func TestFloatLearns(t *testing.T) {
	for name, opt := range map[string]Optimizer{
		"adam": must(NewAdam(AdamConfig{LearnRate: 1})), // the schedule overrides it
		"sgd":  must(NewSGD(SGDConfig{LearnRate: 1, Momentum: 0.9})),
	} {
		net, data := small(1), blobs(90)
		var epochs []Epoch
		err := Fit(context.Background(), Float(net), data, Recipe{Epochs: 20, Batch: 16, Seed: 2, Solver: opt, Schedule: Cosine{Base: 0.02},
			OnEpoch: func(e Epoch) error { epochs = append(epochs, e); return nil }, Quiet: true})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Evaluate(LogitsOf(net), data, 64)
		if err != nil || s.Accuracy != 1 || s.Rows != 90 || s.Loss > epochs[0].Loss/2 {
			t.Errorf("%s: %+v, %v; first epoch %+v: want all rows right", name, s, err, epochs[0])
		}
		last := epochs[len(epochs)-1]
		if len(epochs) != 20 || last.Number != 19 || last.Steps != 100 || last.LearnRate != (Cosine{Base: 0.02}).LR(99, 100) {
			t.Errorf("%s: %d epochs, last %+v", name, len(epochs), last)
		}
	}
}

// withBN has what a repeat could go wrong with: statistics, dropout, convolutions.
func withBN(seed uint64) *models.Net {
	return must(models.New([]int{1, 8, 8}, models.Sequential(
		models.Conv2D{Out: 8, Kernel: 3, Pad: 1, NoBias: true}, models.BatchNorm{}, models.ReLU{}, models.MaxPool{Kernel: 2},
		models.Conv2D{Depthwise: true, Kernel: 3}, models.Flatten{}, models.Dropout{P: 0.2}, models.Linear{Out: 3},
	), seed))
}

func images(n int) Data {
	d := Data{Shape: []int{1, 8, 8}, Classes: 3}
	for i := range n {
		for k := range 64 {
			d.X = append(d.X, float32((i*k*7+i+k)%11-5)/4)
		}
		d.Y = append(d.Y, i%3)
	}
	return d
}

func TestRepeatsForAnyGOMAXPROCS(t *testing.T) {
	run := func(procs int, seed uint64) []float32 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		net := withBN(seed)
		if err := Fit(context.Background(), Float(net), images(50), Recipe{Epochs: 3, Batch: 16, Seed: seed, Schedule: Constant(0.01), Quiet: true}); err != nil {
			t.Fatal(err)
		}
		logits := must(LogitsOf(net)(images(4).X, 4)) // with the running statistics
		return append(weights(net), logits...)
	}
	want := run(1, 3)
	for _, procs := range []int{1, 2, 4} {
		if !slices.Equal(run(procs, 3), want) {
			t.Errorf("GOMAXPROCS=%d: another result than with 1", procs)
		}
	}
	if slices.Equal(run(2, 4), want) {
		t.Error("another seed gives the same result")
	}
}

func TestCancelAndResume(t *testing.T) {
	cfg := func() Recipe {
		return Recipe{Epochs: 4, Batch: 16, Seed: 5, Solver: must(NewAdam(AdamConfig{LearnRate: 1})), Schedule: Cosine{Base: 0.05}, Quiet: true}
	}
	whole := small(1)
	if err := Fit(context.Background(), Float(whole), blobs(50), cfg()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	net, c := small(1), cfg()
	made := -1
	c.OnEpoch = func(e Epoch) error {
		if e.Number == 1 {
			cancel()
		}
		return nil
	}
	c.Checkpoint = func(steps int) error { made = steps; return errors.New("disk full") }
	err := Fit(ctx, Float(net), blobs(50), c)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "disk full") || made != 6 {
		t.Fatalf("cancelled after two epochs of 3 steps: checkpoint at %d, error %v", made, err)
	}
	again := cfg()
	again.Start = made
	if err := again.Solver.Restore(c.Solver.State()); err != nil {
		t.Fatal(err)
	}
	if err := Fit(context.Background(), Float(net), blobs(50), again); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(weights(net), weights(whole)) {
		t.Error("interrupted and resumed, the weights are not those of an uninterrupted run")
	}
}

func TestCancelledBeforeTheFirstStep(t *testing.T) {
	why := errors.New("no time")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	net := small(1)
	before := slices.Clone(weights(net))
	err := Fit(ctx, Float(net), blobs(50), Recipe{Epochs: 1, Schedule: Constant(0.1), Quiet: true})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || !slices.Equal(weights(net), before) {
		t.Errorf("error %v; want nothing done, the cause and context.Canceled", err)
	}
}

func TestHooksAndFailures(t *testing.T) {
	boom := errors.New("boom")
	ctx, ok := context.Background(), Recipe{Epochs: 1, Batch: 8, Schedule: Constant(0.1), Quiet: true}
	with := func(f func(c *Recipe)) Recipe { c := ok; f(&c); return c }
	hot := small(1)
	for _, p := range hot.Params() {
		for i := range p.Data {
			p.Data[i] = 1e38
		}
	}
	for _, c := range []struct {
		name string
		net  *models.Net
		data Data
		cfg  Recipe
		is   error
	}{
		{"hook", small(1), blobs(24), with(func(c *Recipe) { c.OnEpoch = func(Epoch) error { return boom } }), boom},
		{"no epochs", small(1), blobs(24), with(func(c *Recipe) { c.Epochs = 0 }), ErrConfig},
		{"no rate", small(1), blobs(24), with(func(c *Recipe) { c.Schedule = nil }), ErrConfig},
		{"batch", small(1), blobs(24), with(func(c *Recipe) { c.Batch = 25 }), ErrConfig},
		{"start", small(1), blobs(24), with(func(c *Recipe) { c.Start = 4 }), ErrConfig},
		{"no data", small(1), Data{Shape: []int{2}, Classes: 3}, with(func(c *Recipe) { c.Batch = 0 }), ErrData},
		{"classes", must(models.MLP(1, 2, 4)), blobs(24), ok, ErrConfig},
		{"row size", must(models.MLP(1, 3, 3)), blobs(24), ok, ErrConfig},
		{"overflow", hot, blobs(24), ok, ErrNotFinite},
	} {
		before := slices.Clone(weights(c.net))
		if err := Fit(ctx, Float(c.net), c.data, c.cfg); !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %v", c.name, err, c.is)
		}
		if moved := !slices.Equal(before, weights(c.net)); moved != (c.is == boom) {
			t.Errorf("%s: weights moved: %v", c.name, moved)
		}
	}
}

// A Loop without models: any graph will do, and AfterStep runs after each update.
func TestLoopOnAnyGraph(t *testing.T) {
	net := small(1)
	g := must(net.Build(8, true))
	loss, labels, err := CrossEntropy(g.Logits)
	if err != nil {
		t.Fatal(err)
	}
	must(0, Gradients(loss, g.Params))
	steps := 0
	l := Loop{Machine: must(vm.New(g.G, loss)), X: g.X, Labels: labels, Loss: loss, Params: g.Params,
		Solver: must(NewSGD(SGDConfig{LearnRate: 0.1})), Batches: must(NewBatches(blobs(24), 8, 1)), Epochs: 2, Quiet: true,
		AfterStep: func() error { steps++; return nil }}
	if err := l.Run(context.Background()); err != nil || steps != 6 {
		t.Errorf("%d steps, %v; want 6", steps, err)
	}
	boom := errors.New("boom")
	l.AfterStep = func() error { return boom }
	if err := l.Run(context.Background()); !errors.Is(err, boom) || !strings.Contains(err.Error(), "step 0") {
		t.Errorf("error %v, want boom at step 0", err)
	}
	l.Params = nil
	if err := l.Run(context.Background()); !errors.Is(err, ErrConfig) {
		t.Errorf("without parameters: %v", err)
	}
	if err := (&Loop{}).Run(context.Background()); !errors.Is(err, ErrConfig) {
		t.Errorf("empty Loop: %v", err)
	}
}

// The same step on Gorgonia's own machine gives the same weights.
func TestTapeMachineAgrees(t *testing.T) {
	train := func(machine func(g *models.Graph, loss *gorgonia.Node) gorgonia.VM) []float32 {
		net := withBN(1)
		g := must(net.Build(16, true))
		loss, labels, err := CrossEntropy(g.Logits)
		if err != nil {
			t.Fatal(err)
		}
		must(0, Gradients(loss, g.Params))
		l := Loop{Machine: machine(g, loss), X: g.X, Labels: labels, Loss: loss, Params: g.Params,
			Solver: must(NewSGD(SGDConfig{LearnRate: 0.1, Momentum: 0.9})), Batches: must(NewBatches(images(40), 16, 1)), Epochs: 2, Quiet: true}
		if err := l.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		return weights(net)
	}
	ours := train(func(g *models.Graph, loss *gorgonia.Node) gorgonia.VM { return must(vm.New(g.G, loss)) })
	stock := train(func(g *models.Graph, _ *gorgonia.Node) gorgonia.VM { return gorgonia.NewTapeMachine(g.G) })
	if !slices.Equal(ours, stock) {
		t.Error("TapeMachine trains to other weights than our machine")
	}
}

func TestEvaluate(t *testing.T) {
	d := Data{X: []float32{0, 1, 2, 3, 4}, Y: []int{0, 1, 1, 0, 1}, Shape: []int{1}, Classes: 2}
	var sizes []int
	p := func(x []float32, n int) ([]float32, error) { // logits (0, x-2): class 1 from above 2
		sizes = append(sizes, n)
		out := make([]float32, 0, 2*n)
		for _, v := range x {
			out = append(out, 0, v-2)
		}
		return out, nil
	}
	s, err := Evaluate(p, d, 2)
	// Row 2 has equal logits: class 0 is the answer, and its label is 1.
	if err != nil || s.Correct != 2 || s.Accuracy != 0.4 || fmt.Sprint(sizes) != "[2 2 1]" {
		t.Errorf("%+v, %v, batches %v", s, err, sizes)
	}
	want := 0.0
	for _, x := range []float64{-2, 1, 0, 1, -2} { // logit of the other class minus the label's
		want += math.Log1p(math.Exp(x)) / 5
	}
	if math.Abs(s.Loss-want) > 0x1p-30 { // the exponentials' error, below 2^-31 each
		t.Errorf("loss %v, want %v", s.Loss, want)
	}
	if a, err := Accuracy(p, d, 5); a != 0.4 || err != nil {
		t.Errorf("accuracy %v, %v", a, err)
	}
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		p     Logits
		batch int
		is    error
	}{
		"batch": {p, 0, ErrConfig},
		"fails": {func([]float32, int) ([]float32, error) { return nil, boom }, 2, boom},
		"short": {func([]float32, int) ([]float32, error) { return []float32{1}, nil }, 2, ErrData},
		"nan": {func(_ []float32, n int) ([]float32, error) {
			out := make([]float32, 2*n)
			out[1] = float32(math.NaN())
			return out, nil
		}, 2, ErrNotFinite},
	} {
		if _, err := Evaluate(c.p, d, c.batch); !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %v", name, err, c.is)
		}
	}
}
