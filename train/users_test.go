package train

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// skewed are rows of six numbers and targets with a long tail, as prices have.
func skewed(r *rand.Rand, n int) (x, y []float32) {
	for range n {
		s := 0.0
		for range 6 {
			v := r.NormFloat64()
			x = append(x, float32(v))
			s += 0.4 * v
		}
		y = append(y, float32(math.Exp(s)))
	}
	return x, y
}

// regress trains a network on the squared error by hand, and returns what it computes.
func regress(t *testing.T, net *models.Net, cfg qconfig.Config, r *rand.Rand, steps int) *qat.Model {
	t.Helper()
	return regressBy(t, must(NewAdam(AdamConfig{LearnRate: 1e-3})), net, cfg, r, steps)
}

func regressBy(t *testing.T, solver gorgonia.Solver, net *models.Net, cfg qconfig.Config, r *rand.Rand, steps int) *qat.Model {
	t.Helper()
	g := must(net.Build(64, true))
	m := must(qat.Prepare(g.G, cfg, g.Logits))
	x, out := g.X, g.Logits
	if err := m.Map(&x, &out); err != nil {
		t.Fatal(err)
	}
	want := gorgonia.NewMatrix(m.Graph(), tensor.Float32, gorgonia.WithShape(64, 1), gorgonia.WithName("target"))
	cost := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(out, want))))))
	if err := Gradients(cost, m.Learnables()); err != nil {
		t.Fatal(err)
	}
	vm := must(m.Machine(cost))
	for range steps {
		bx, by := skewed(r, 64)
		err := errors.Join(gorgonia.Let(x, tensor.New(tensor.WithShape(64, 6), tensor.WithBacking(bx))),
			gorgonia.Let(want, tensor.New(tensor.WithShape(64, 1), tensor.WithBacking(by))),
			vm.RunAll(), solver.Step(gorgonia.NodesToValueGrads(m.Learnables())), m.Step())
		if err != nil {
			t.Fatal(err)
		}
		vm.Reset()
	}
	return m
}

func rootMeanSquareError(y, want []float32) float64 {
	s := 0.0
	for i := range y {
		s += float64(y[i]-want[i]) * float64(y[i]-want[i])
	}
	return math.Sqrt(s / float64(len(y)))
}

// TestRegression: targets with a long tail are not clipped: the default config is within 5 %
// of the float network's error. (With outputs in 8 bits it is three times that.)
func TestRegression(t *testing.T) {
	const limit = 1.05
	r := rand.New(rand.NewPCG(4, 4))
	x, y := skewed(r, 2000)
	net := must(models.New([]int{6}, models.Sequential(models.Linear{Out: 64}, models.ReLU{}, models.Linear{Out: 64}, models.ReLU{}, models.Linear{Out: 1}), 1))
	regress(t, net, qconfig.Config{Float: true}, r, 6000)
	float := rootMeanSquareError(must(LogitsOf(net)(x, 2000)), y)
	m := regress(t, net, qconfig.Config{}, r, 1500)
	fz := must(m.Freeze())
	quantized := rootMeanSquareError(must(fz.Run(x))[0], y)
	if !(quantized <= limit*float) {
		t.Errorf("error %.3f quantized, %.3f float: want at most %v times that", quantized, float, limit)
	}
	if v := must(m.Verify(fz, x)); !v.OK() || v.Floats != len(y) {
		t.Errorf("%+v", v)
	}
}

// TestLearnedByGorgonia: Gorgonia's own Adam, as it comes, trains learned scales at 0.001 and
// at 0.01 to what it reaches with those of the observer, or better.
func TestLearnedByGorgonia(t *testing.T) {
	const limit = 1.05 // what a run scatters by
	for _, rate := range []float64{0.001, 0.01} {
		r := rand.New(rand.NewPCG(4, 4))
		x, y := skewed(r, 2000)
		net := must(models.New([]int{6}, models.Sequential(models.Linear{Out: 64}, models.ReLU{}, models.Linear{Out: 1}), 1))
		regress(t, net, qconfig.Config{Float: true}, r, 1000)
		errorOf := func(e qconfig.Estimator) float64 {
			cfg := qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 3, Estimator: e}, Activations: qconfig.Tensor{Estimator: e}}}
			solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(rate))
			m := regressBy(t, solver, net.Clone(), cfg, rand.New(rand.NewPCG(5, 5)), 600)
			return rootMeanSquareError(must(must(m.Freeze()).Run(x))[0], y)
		}
		if ste, lsq := errorOf(qconfig.STE), errorOf(qconfig.LSQ); !(lsq <= limit*ste) {
			t.Errorf("rate %v: error %.3f with learned scales, %.3f with observed ones", rate, lsq, ste)
		} else {
			t.Logf("rate %v: error %.3f with learned scales, %.3f with observed ones", rate, lsq, ste)
		}
	}
}

// table are rows of eight columns, one of which is a hundred times as wide as the others.
func table(n int, seed uint64) Data {
	r := rand.New(rand.NewPCG(seed, 9))
	d := Data{Shape: []int{8}, Classes: 3}
	for range n {
		x := make([]float32, 8)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		x[6] *= 100
		s := float64(x[0]*x[1]) + math.Sin(float64(x[2])*2) + 0.01*float64(x[6])
		y := 0
		if s > 0.7 {
			y = 2
		} else if s > -0.3 {
			y = 1
		}
		d.X, d.Y = append(d.X, x...), append(d.Y, y)
	}
	return d
}

// TestTabular: where one scale for all columns is too little, the report names the column
// and the cure; with it 4-bit weights are within 2 points of the float network.
func TestTabular(t *testing.T) {
	const points = 0.02
	training, test := table(4000, 1), table(1000, 3)
	net := must(models.MLP(1, 8, 64, 64, 3))
	if err := Fit(context.Background(), Float(net), training, Recipe{Epochs: 20, Schedule: Cosine{Base: 3e-3}, Quiet: true}); err != nil {
		t.Fatal(err)
	}
	float := must(Accuracy(LogitsOf(net), test, 64))
	for _, cured := range []bool{false, true} {
		cfg := qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}}}
		if cured {
			cfg.Inputs = map[string]*qconfig.Tensor{"x": nil}
		}
		g := must(net.Clone().Build(64, true))
		m := must(qat.Prepare(g.G, cfg, g.Logits))
		if err := Fit(context.Background(), m, training, Recipe{Epochs: 6, Schedule: Cosine{Base: 1e-3}, Quiet: true}); err != nil {
			t.Fatal(err)
		}
		accuracy := must(Accuracy(func(x []float32, n int) ([]float32, error) {
			y, err := m.Predict(x)
			if err != nil {
				return nil, err
			}
			return y[0], nil
		}, test, 64))
		close := accuracy >= float-points
		advice := strings.Join(must(m.Report(training.X[:64*8])).Advice, "\n")
		named := strings.Contains(advice, "input x: column 6 spreads") && strings.Contains(advice, "inputs: {x: null}")
		if cured && !close || !close && !named {
			t.Errorf("cured: %v: accuracy %.3f, float %.3f, advice %q", cured, accuracy, float, advice)
		}
	}
}
