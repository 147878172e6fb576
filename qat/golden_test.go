package qat_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"github.com/goqat/goqat/testdata"
	"github.com/goqat/goqat/train"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Tolerances of train_run, from the golden files' README: on the loss, on a
// gradient relative to 1 + |expected|, and on a final parameter. The final
// statistics and ranges, for which it names none, are held to the parameters'
// tolerance relative to 1 + |expected|: they are averages of what the parameters
// make. A scale is a range over 254 or 255 steps, a zero point a rounded quotient
// of two, which the tolerance may push over an edge: one step.
const (
	runLossTol  = 1e-4
	runGradTol  = 1e-4
	runParamTol = 1e-3
	runScaleTol = 2 * runParamTol / 254
	runZeroTol  = 1
)

// trainRun is a case of train_run.
type trainRun struct {
	Name, Net      string
	Channels       []int
	Qmin           int     `json:"weight_qmin"`
	Qmax           int     `json:"weight_qmax"`
	WeightConstant float64 `json:"weight_averaging_constant"`
	Constant       float64 `json:"activation_averaging_constant"`
	Batch          int
	LR, Momentum   float64
	Pixels, Labels testdata.Tensor
	Initial, Final map[string]testdata.Tensor
	Loss           testdata.Tensor
	Grad           map[string]testdata.Tensor `json:"step0_grad"`
	FinalBN        map[string]testdata.Tensor `json:"final_bn"`
	Params         map[string]struct {
		Scale, Min, Max testdata.Tensor
		ZeroPoint       testdata.Tensor `json:"zero_point"`
	} `json:"final_qparams"`
}

// net builds the float network that the README draws, with the initial weights.
func (c trainRun) net(t *testing.T) *models.Net {
	t.Helper()
	conv := func(i int) models.Layer {
		name := fmt.Sprint("conv", i+1)
		l := models.Conv2D{Name: name, Out: c.Channels[i], Kernel: 3, Stride: 2, Pad: 1, NoBias: c.Net == "bn"}
		if c.Net == "bn" {
			return models.Sequential(l, models.BatchNorm{Name: name + ".bn"}, models.ReLU{})
		}
		return models.Sequential(l, models.ReLU{})
	}
	layers := []models.Layer{conv(0), conv(1)}
	if c.Net == "bn" {
		layers = append(layers, models.Flatten{}, models.Linear{Name: "fc", Out: 10})
	} else {
		layers = append(layers, models.Conv2D{Name: "fc", Out: 10, Kernel: 2}, models.Flatten{})
	}
	n, err := models.New([]int{1, 8, 8}, models.Sequential(layers...), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Params()) != len(c.Initial) {
		t.Fatalf("the network has %d parameters, the file %d", len(n.Params()), len(c.Initial))
	}
	for _, p := range n.Params() {
		if copy(p.Data, c.Initial[p.Name].F32) != len(p.Data) {
			t.Fatalf("the file has no parameter %s of %d elements", p.Name, len(p.Data))
		}
	}
	return n
}

// config is the README's: uint8 affine activations, symmetric narrow weights.
func (c trainRun) config(t *testing.T) qconfig.Config {
	t.Helper()
	if c.Qmin != -127 || c.Qmax != 127 {
		t.Fatalf("weights in %d..%d: the test knows int8_narrow", c.Qmin, c.Qmax)
	}
	weights := qconfig.Tensor{Scheme: qconfig.Symmetric, Granularity: qconfig.PerChannel, NarrowRange: qconfig.Yes}
	if c.WeightConstant != 1 {
		weights.Observer, weights.AveragingConstant = "moving_average_min_max", c.WeightConstant
	}
	return qconfig.Config{QuantizeOutputs: true, Global: &qconfig.Layer{
		Weights: weights,
		Activations: qconfig.Tensor{Scheme: qconfig.Affine, Unsigned: qconfig.Yes,
			Observer: "moving_average_min_max", AveragingConstant: c.Constant},
	}}
}

// batches returns the two batches: normalised images and labels.
func (c trainRun) batches(t *testing.T) (x [2][]float32, labels [2][]int) {
	t.Helper()
	all, err := c.Labels.Ints()
	if err != nil {
		t.Fatal(err)
	}
	n := len(c.Pixels.F32) / 2
	for i := range 2 {
		for _, p := range c.Pixels.F32[i*n : (i+1)*n] {
			x[i] = append(x[i], (p-testdata.DigitMean)/testdata.DigitStd)
		}
		labels[i] = all[i*c.Batch : (i+1)*c.Batch]
	}
	return x, labels
}

func within(t *testing.T, what string, got []float32, want []float32, abs, rel float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d elements, want %d", what, len(got), len(want))
		return
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i])-float64(w)) <= abs+rel*math.Abs(float64(w))) {
			t.Errorf("%s: element %d is %v, want %v", what, i, got[i], w)
			return
		}
	}
}

// TestGoldenTrainRun: ten steps of PyTorch's quantization-aware training, through
// Prepare, on both of our machines' paths.
func TestGoldenTrainRun(t *testing.T) {
	cases, err := testdata.Golden[trainRun]("train_run")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, tape := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TapeMachine %v", c.Name, tape), func(t *testing.T) { c.run(t, tape) })
		}
	}
}

func (c trainRun) run(t *testing.T, tape bool) {
	net := c.net(t)
	g, err := net.Build(c.Batch, true)
	if err != nil {
		t.Fatal(err)
	}
	p, err := qat.Prepare(g.G, c.config(t), g.Logits)
	if err != nil {
		t.Fatal(err)
	}
	loss, labels, err := train.CrossEntropy(p.OutputNodes()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := train.Gradients(loss, p.Learnables()); err != nil {
		t.Fatal(err)
	}
	solver, err := train.NewSGD(train.SGDConfig{LearnRate: c.LR, Momentum: c.Momentum})
	if err != nil {
		t.Fatal(err)
	}
	m := c.machine(t, loss, tape)
	x, y := c.batches(t)
	var report report.Report
	for step := range len(c.Loss.F32) {
		let(t, p.InputNodes()[0], tensor.New(tensor.WithShape(c.Batch, 1, 8, 8), tensor.WithBacking(x[step%2])))
		let(t, labels, tensor.New(tensor.WithBacking(y[step%2])))
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		within(t, fmt.Sprintf("loss of step %d", step), []float32{loss.Value().Data().(float32)}, c.Loss.F32[step:step+1], runLossTol, 0)
		if step == 0 {
			c.checkGradients(t, p.Learnables())
		}
		if report, err = p.Report(); err != nil { // before the update: PyTorch's are of this step too
			t.Fatal(err)
		}
		if err := solver.Step(gorgonia.NodesToValueGrads(p.Learnables())); err != nil {
			t.Fatal(err)
		}
		m.Reset()
	}
	for _, p := range net.Params() {
		within(t, "final "+p.Name, p.Data, c.Final[p.Name].F32, runParamTol, 0)
	}
	c.checkStatistics(t, net)
	c.checkParams(t, report)
}

func (c trainRun) machine(t *testing.T, loss *gorgonia.Node, tape bool) gorgonia.VM {
	t.Helper()
	if tape {
		return gorgonia.NewTapeMachine(loss.Graph())
	}
	m, err := vm.New(loss.Graph(), loss)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func let(t *testing.T, n *gorgonia.Node, v *tensor.Dense) {
	t.Helper()
	if err := gorgonia.Let(n, v); err != nil {
		t.Fatal(err)
	}
}

func (c trainRun) checkGradients(t *testing.T, learnables gorgonia.Nodes) {
	t.Helper()
	if len(learnables) != len(c.Grad) {
		t.Errorf("%d learnables, want %d", len(learnables), len(c.Grad))
	}
	for _, n := range learnables {
		v, err := n.Grad()
		if err != nil {
			t.Fatal(err)
		}
		within(t, "gradient of "+n.Name(), v.Data().([]float32), c.Grad[n.Name()].F32, runGradTol, runGradTol)
	}
}

// checkStatistics reads the running statistics as a user would, from the weights
// file.
func (c trainRun) checkStatistics(t *testing.T, net *models.Net) {
	t.Helper()
	var file bytes.Buffer
	if err := net.Write(&file); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Read(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range c.FinalBN {
		got, err := f.Float32s(name)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "final "+name, got, want.F32, runParamTol, runParamTol)
	}
}

// checkParams compares the report with the file's fake-quantizers: the weights by
// layer name, the activations in network order.
func (c trainRun) checkParams(t *testing.T, r report.Report) {
	t.Helper()
	order := []string{"quant.", "conv1.", "conv2.", "fc."}
	if c.Net == "plain" {
		order = []string{"activation_post_process_0", "activation_post_process_1", "activation_post_process_2", "activation_post_process_3"}
	}
	seen := map[string]bool{}
	for _, row := range r.Rows {
		var name string
		switch {
		case row.Tensor == "weight":
			name = row.Layer + ".weight_fake_quant"
		case row.Spec == "float32" || row.SharedWith != "":
			continue
		case len(order) == 0:
			t.Errorf("one quantized activation too many: %s", row.Layer)
			continue
		default:
			if name, order = order[0], order[1:]; strings.HasSuffix(name, ".") {
				name += "activation_post_process"
			}
		}
		want, ok := c.Params[name]
		if !ok {
			t.Errorf("PyTorch has no %s", name)
			continue
		}
		seen[name] = true
		within(t, "scale of "+name, row.Scales, want.Scale.F32, runScaleTol, 0)
		zeros := make([]float32, len(row.ZeroPoints))
		for i, z := range row.ZeroPoints {
			zeros[i] = float32(z)
		}
		within(t, "zero point of "+name, zeros, want.ZeroPoint.F32, runZeroTol, 0)
		if row.Tensor == "activation" {
			within(t, "range of "+name, []float32{float32(row.Min), float32(row.Max)},
				[]float32{want.Min.F32[0], want.Max.F32[0]}, runParamTol, runParamTol)
		}
	}
	if len(seen) != len(c.Params) {
		t.Errorf("quantized tensors %v, want the %d of the file", seen, len(c.Params))
	}
}
