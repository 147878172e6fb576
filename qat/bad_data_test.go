package qat

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// trained is the mlp after one step.
func trained(t *testing.T) *net {
	t.Helper()
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	n.step(n.machine(), 0)
	return n
}

// withAt returns n numbers with element i replaced.
func withAt(n, i int, v float64) []float32 {
	x := numbers(1, n)
	x[i] = float32(v)
	return x
}

var (
	notANumber = math.NaN()
	infinity   = math.Inf(1)
)

// badData are calls with data that does not fit a trained network: what is called,
// and the words of the message.
var badData = []struct {
	name  string
	call  func(n *net) error
	words []string
}{
	{"Predict without inputs", predict(), []string{"predict", "0 inputs", `give one slice for each of ["x"]`}},
	{"Predict with two inputs", predict(numbers(1, 24), numbers(1, 24)), []string{"2 inputs, the network has 1"}},
	{"Predict of nil", predict(nil), []string{`input "x" has 0 elements`, "positive multiple of 6"}},
	{"Predict of an empty batch", predict([]float32{}), []string{`input "x" has 0 elements`, "positive multiple of 6"}},
	{"Predict of half a row", predict(numbers(1, 9)), []string{`input "x" has 9 elements`, "positive multiple of 6"}},
	{"Calibrate without inputs", calibrate(), []string{"calibrate", "0 inputs"}},
	{"Calibrate of an empty batch", calibrate([]float32{}), []string{"calibrate", `input "x" has 0 elements`}},
	{"Calibrate of half a row", calibrate(numbers(1, 9)), []string{`input "x" has 9 elements`}},
	{"Calibrate with NaN", calibrate(withAt(24, 3, notANumber)), []string{"calibrate", `layer "x"`, "NaN"}},
	{"Calibrate with an infinity that becomes NaN", calibrate(append(numbers(1, 22), float32(infinity), float32(-infinity))), []string{"NaN"}},
	{"Calibrate with nothing finite", calibrate([]float32{float32(infinity), float32(-infinity), float32(infinity), float32(infinity), float32(infinity), float32(infinity)}),
		[]string{`layer "x"`, "no finite value"}},
	{"Report with half a row", func(n *net) error { _, err := n.m.Report(numbers(1, 9)); return err }, []string{"report", `input "x" has 9 elements`}},
	{"Report with two inputs", func(n *net) error { _, err := n.m.Report(numbers(1, 6), numbers(1, 6)); return err }, []string{"report", "2 inputs"}},
	{"Verify of nothing", func(n *net) error { _, err := n.m.Verify(nil, numbers(1, 24)); return err }, []string{"verify", "nil", "give the result of Freeze"}},
	{"Verify of an empty network", func(n *net) error { _, err := n.m.Verify(&frozen.Network{}, numbers(1, 24)); return err }, []string{"verify", "0 outputs", "another network"}},
	{"Verify without inputs", func(n *net) error { _, err := n.m.Verify(n.freeze()); return err }, []string{"verify", "0 inputs"}},
	{"Verify of a network with other layers", verifyOther("fc", "head", 5), []string{`"fc1.weight"`, "another network"}},
	{"Verify of a network with other shapes", verifyOther("fc1", "fc2", 4), []string{`"fc1.weight"`, "24 codes", "30 in training", "another network"}},
	{"train step with NaN", train(dense(withAt(24, 3, notANumber), 4, 6)), []string{`layer "x"`, "NaN"}},
	{"train step with nothing finite", train(constant(float32(infinity), 4, 6)), []string{`layer "x"`, "no finite value"}},
	{"train step on another shape", func(n *net) error {
		return gorgonia.Let(n.m.InputNodes()[0], dense(numbers(1, 30), 5, 6))
	}, []string{"(4, 6)", "(5, 6)"}},
	{"train step on a value of another shape", func(n *net) error {
		if err := gorgonia.UnsafeLet(n.m.InputNodes()[0], dense(numbers(1, 30), 5, 6)); err != nil {
			return err
		}
		return n.machine().RunAll()
	}, []string{"x", "(5, 6)", "(4, 6)"}},
	{"train step on another type", func(n *net) error {
		return gorgonia.Let(n.m.InputNodes()[0], tensor.New(tensor.WithShape(4, 6), tensor.WithBacking(make([]float64, 24))))
	}, []string{"float64", "float32"}},
	{"machine for a node of the old graph", func(n *net) error {
		_, _, y := mlp()
		_, err := n.m.Machine(n.cost, y)
		return err
	}, []string{"machine", "output 1", "use Node"}},
	{"machine for nil", func(n *net) error { _, err := n.m.Machine(nil); return err }, []string{"machine", "output 0", "use Node"}},
}

func predict(in ...[]float32) func(*net) error {
	return func(n *net) error { _, err := n.m.Predict(in...); return err }
}

func calibrate(in ...[]float32) func(*net) error {
	return func(n *net) error { return n.m.Calibrate(in...) }
}

func constant(v float32, shape ...int) *tensor.Dense {
	x := make([]float32, size(shape))
	for i := range x {
		x[i] = v
	}
	return dense(x, shape...)
}

func train(x *tensor.Dense) func(*net) error {
	return func(n *net) error {
		if err := gorgonia.Let(n.m.InputNodes()[0], x); err != nil {
			return err
		}
		return n.machine().RunAll()
	}
}

// verifyOther compares with the frozen twin of another mlp.
func verifyOther(name1, name2 string, hidden int) func(*net) error {
	return func(n *net) error {
		g := gorgonia.NewGraph()
		m := prepare(n.t, qconfig.Config{}, g, fc(name2, relu(fc(name1, leaf(g, "x", 4, 6), hidden)), 3))
		m.step(m.machine(), 0)
		_, err := n.m.Verify(m.freeze(), numbers(1, 24))
		return err
	}
}

// TestBadData: every call fails with a message that says where and what to do, and
// leaves weights, statistics and ranges as they were, fit for the next step.
func TestBadData(t *testing.T) {
	for _, c := range badData {
		t.Run(c.name, func(t *testing.T) {
			n := trained(t)
			before, nodes := n.snapshot(), len(n.m.Graph().AllNodes())
			wantError(t, c.call(n), c.words...)
			sameSnapshot(t, n.snapshot(), before)
			if got := len(n.m.Graph().AllNodes()); got != nodes {
				t.Errorf("%d nodes in the prepared graph, there were %d", got, nodes)
			}
			n.step(n.machine(), 1)
			n.verify(n.freeze(), n.batch(2, 4))
		})
	}
}

// TestBadParameters: what training has ruined does not ship, and the message names
// it.
func TestBadParameters(t *testing.T) {
	for _, c := range []struct {
		name  string
		cfg   qconfig.Config
		param int // of fc1.weight, fc1.bias, fc2.weight, fc2.bias
		word  string
	}{
		{"quantized weight", qconfig.Config{}, 0, `"fc1.weight"`},
		{"second weight", qconfig.Config{}, 2, `"fc2.weight"`},
		{"bias", qconfig.Config{}, 3, `"fc2.bias"`},
		{"float weight", off(), 0, `"fc1.weight"`},
		{"per block", qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Granularity: qconfig.PerBlock, BlockSize: 2}}}, 0, `"fc1.weight"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, _, y := mlp()
			n := prepare(t, c.cfg, g, y)
			n.step(n.machine(), 0)
			w := n.m.Learnables()[c.param].Value().(*tensor.Dense).Float32s()
			good := w[2]
			w[2] = float32(notANumber)
			before := n.states()
			_, err := n.m.Freeze()
			wantError(t, err, "qat: freeze: ", c.word, "NaN")
			if !errors.Is(err, fakequant.ErrData) {
				t.Errorf("%v does not wrap ErrData", err)
			}
			sameStates(t, n.states(), before)
			w[2] = good
			n.verify(n.freeze(), n.batch(1, 4))
		})
	}
}

// TestNaNAtWork: a NaN that nobody observes becomes the lowest code, in training's
// evaluation form as in the frozen network.
func TestNaNAtWork(t *testing.T) {
	n := trained(t)
	x := withAt(24, 3, notANumber)
	y, err := n.m.Predict(x)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range y[0] {
		if v != v {
			t.Errorf("output %d is NaN", i)
		}
	}
	n.verify(n.freeze(), [][]float32{x})
}

// TestUnboundInput: a run without data names the input.
func TestUnboundInput(t *testing.T) {
	g, _, y := mlp()
	n := prepare(t, qconfig.Config{}, g, y)
	wantError(t, n.machine().RunAll(), `"x"`, "no value")
}

// TestTwoInputs: batches must agree, and a failed batch harms no range, not even
// that of the input before the bad one.
func TestTwoInputs(t *testing.T) {
	build := func() *net {
		g := gorgonia.NewGraph()
		sum := must(gorgonia.Add(fc("a", leaf(g, "x", 4, 6), 3), fc("b", leaf(g, "z", 4, 2), 3)))
		n := prepare(t, qconfig.Config{}, g, sum)
		n.step(n.machine(), 0)
		return n
	}
	for _, c := range []struct {
		name  string
		in    [][]float32
		words []string
	}{
		{"one missing", [][]float32{numbers(1, 24)}, []string{"1 inputs, the network has 2", `["x" "z"]`}},
		{"different batches", [][]float32{numbers(1, 24), numbers(2, 6)}, []string{`input "z" holds a batch of 3`, "one of 4", "the same batch"}},
		{"second with NaN", [][]float32{numbers(5, 24), withAt(8, 1, notANumber)}, []string{`layer "z"`, "NaN"}},
	} {
		n := build()
		before := n.snapshot()
		wantError(t, n.m.Calibrate(c.in...), c.words...)
		if !strings.Contains(c.name, "NaN") {
			_, err := n.m.Predict(c.in...)
			wantError(t, err, c.words...)
		}
		sameSnapshot(t, n.snapshot(), before)
	}
}

// TestFixedBatch: a network that is bound to its batch says so by the input's size.
func TestFixedBatch(t *testing.T) {
	m := zooNet(t, "vector_matrix")
	n := prepare(t, qconfig.Config{}, m.Graph, m.Outputs...)
	n.step(n.machine(), 0)
	_, err := n.m.Predict(numbers(1, 12))
	wantError(t, err, `input "x" has 12 elements, want 8`, "[8]")
	// An op that the reader does not know keeps evaluation at the traced batch.
	m = zooNet(t, "sparsemax")
	n = prepare(t, qconfig.Config{}, m.Graph, m.Outputs...)
	n.step(n.machine(), 0)
	if _, err = n.m.Predict(n.batch(1, 2)...); err != nil {
		t.Errorf("batch as built: %v", err)
	}
	_, err = n.m.Predict(n.batch(1, 3)...)
	wantError(t, err, `layer "opaque_0"`, "bound to batches of 2", "run with that size")
}

// TestOnlyDropout: nothing of such a network would ship.
func TestOnlyDropout(t *testing.T) {
	g := gorgonia.NewGraph()
	n := onlyPrepare(t, qconfig.Config{}, g, must(gorgonia.Dropout(leaf(g, "x", 2, 3), 0.5)))
	_, err := n.m.Freeze()
	wantError(t, err, "qat: freeze: ", "dropout only")
}
