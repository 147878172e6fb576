package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/qat/report"
	"github.com/goqat/goqat/qat/report/page"
	"github.com/goqat/goqat/testdata"
	"github.com/goqat/goqat/train"
)

// The float training is that of examples/digits.
const (
	epochs      = 40
	quickEpochs = 4
	quickRows   = 2
	batchSize   = 64
	floatRate   = 5e-3
	warmupSteps = 44
	sampleRows  = 256 // rows of a calibration batch
	quickSample = 256 // rows of all of them with -quick
)

// format is one way to quantize.
type format struct {
	name        string
	bits        int
	granularity qconfig.GranularitySetting
}

var formats = []format{
	{"W8A8 per tensor", 8, qconfig.PerTensor},
	{"W4A8 per tensor", 4, qconfig.PerTensor},
	{"W4A8 per channel", 4, qconfig.PerChannel},
	{"W3A8 per channel", 3, qconfig.PerChannel},
}

// inspected is the format whose layers are measured and of which some are raised.
var inspected = format{"W4A8 per channel", 4, qconfig.PerChannel}

// config has min_max for activations: a few batches are no moving average.
func (f format) config() qconfig.Config {
	return qconfig.Config{Global: &qconfig.Layer{
		Weights:     qconfig.Tensor{Bits: f.bits, Granularity: f.granularity},
		Activations: qconfig.Tensor{Observer: "min_max"},
	}}
}

// result is what -json prints. Accuracies are percent of the test digits.
type result struct {
	Seeds       []int              `json:"seeds"`
	Float       []float64          `json:"float"`
	Rows        []*row             `json:"rows"`
	Inspected   string             `json:"inspected"`
	Sensitivity report.Sensitivity `json:"sensitivity"`
	Mixed       report.Mixed       `json:"mixed"`
	MixedScore  float64            `json:"mixed_accuracy"`
	Out         string             `json:"out"`
}

// row is one format, one accuracy per seed.
type row struct {
	Name    string    `json:"name"`
	Plain   []float64 `json:"plain"`   // calibrated and rounded to nearest
	Helpers []float64 `json:"helpers"` // with PostTraining
}

// bench holds the data; sample is what the ranges and the rounding are found on.
type bench struct{ train, sample, test train.Data }

func analyze(ctx context.Context, o options) (*result, error) {
	tr, te, err := testdata.Digits()
	if err != nil {
		return nil, err
	}
	data := func(d testdata.DigitSet) train.Data {
		return train.Data{X: d.Images, Y: d.Labels, Shape: []int{1, testdata.DigitSize, testdata.DigitSize}, Classes: testdata.DigitClasses}
	}
	b := bench{data(tr), data(tr), data(te)}
	if o.quick {
		b.sample = b.train.Slice(0, quickSample)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	todo := formats
	if o.quick {
		todo = todo[:quickRows]
	}
	r := &result{Inspected: inspected.name, Out: o.out}
	for _, f := range todo {
		r.Rows = append(r.Rows, &row{Name: f.name})
	}
	for seed := range o.seeds {
		net, err := b.float(ctx, o, seed)
		if err != nil {
			return nil, fmt.Errorf("seed %d: %w", seed, err)
		}
		if err := b.seed(ctx, r, seed, net, todo); err != nil {
			return nil, fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return r, nil
}

// seed fills in one seed; the layers of the first one are measured.
func (b bench) seed(ctx context.Context, r *result, seed int, net *models.Net, todo []format) error {
	acc, err := b.percent(train.LogitsOf(net))
	if err != nil {
		return err
	}
	r.Seeds, r.Float = append(r.Seeds, seed), append(r.Float, acc)
	for i, f := range todo {
		plain, _, err := b.quantize(net, f.config(), false)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		helped, _, err := b.quantize(net, f.config(), true)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		r.Rows[i].Plain, r.Rows[i].Helpers = append(r.Rows[i].Plain, plain), append(r.Rows[i].Helpers, helped)
	}
	if seed > 0 {
		return nil
	}
	return b.inspect(ctx, r, net)
}

// float trains the network in float32.
func (b bench) float(ctx context.Context, o options, seed int) (*models.Net, error) {
	net, err := models.Mobile(uint64(seed))
	if err != nil {
		return nil, err
	}
	n := epochs
	if o.quick {
		n = quickEpochs
	}
	return net, train.Fit(ctx, train.Float(net), b.train, train.Recipe{Epochs: n, Batch: batchSize, Seed: uint64(seed),
		Schedule: train.Cosine{Base: floatRate, Warmup: warmupSteps}, Title: fmt.Sprintf("seed %d, float", seed)})
}

// batches are the training digits, without their labels.
func (b bench) batches(yield func([][]float32) bool) {
	for lo := 0; lo < b.sample.Len(); lo += sampleRows {
		if !yield([][]float32{b.sample.Slice(lo, min(lo+sampleRows, b.sample.Len())).X}) {
			return
		}
	}
}

// quantize returns the frozen network's accuracy. It works on a copy of net, whose
// weights the helpers equalize.
func (b bench) quantize(net *models.Net, cfg qconfig.Config, helpers bool) (float64, *qat.Model, error) {
	g, err := net.Clone().Build(batchSize, false)
	if err != nil {
		return 0, nil, err
	}
	m, err := qat.Prepare(g.G, cfg, g.Logits)
	if err != nil {
		return 0, nil, err
	}
	if helpers {
		_, err = m.PostTraining(b.batches, ptq.Options{})
	} else {
		for x := range b.batches {
			if err = m.Calibrate(x...); err != nil {
				break
			}
		}
	}
	if err != nil {
		return 0, nil, err
	}
	fz, err := m.Freeze()
	if err != nil {
		return 0, nil, err
	}
	acc, err := b.percent(func(x []float32, _ int) ([]float32, error) { return first(fz.Run(x)) })
	return acc, m, err
}

// inspect measures the layers of one format, raises some to 8 bits and quantizes again.
func (b bench) inspect(ctx context.Context, r *result, net *models.Net) error {
	score, m, err := b.quantize(net, inspected.config(), true)
	if err != nil {
		return err
	}
	// Scored on training digits: the test digits are for the table.
	sample := b.sample.Slice(0, sampleRows)
	if r.Sensitivity, err = m.Sensitivity(ctx, func(p report.Forward) (float64, error) {
		s, err := train.Evaluate(func(x []float32, _ int) ([]float32, error) { return first(p(x)) }, sample, sampleRows)
		return -s.Loss, err // accuracy is 1 on these; the loss tells more
	}); err != nil {
		return err
	}
	rep, err := m.Report(sample.X)
	if err != nil {
		return err
	}
	all, err := m.Mixed(r.Sensitivity, rep.FloatBytes)
	if err != nil {
		return err
	}
	budget := (all.LowBytes + all.HighBytes) / 2
	if r.Mixed, err = m.Mixed(r.Sensitivity, budget); err != nil {
		return err
	}
	if r.MixedScore, m, err = b.quantize(net, r.Mixed.Config, true); err != nil {
		return err
	}
	return save(r, rep, m, score)
}

// save writes the tables, the config and the network of the suggestion.
func save(r *result, rep report.Report, m *qat.Model, score float64) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"report.json", rep.WriteJSON},
		{"sensitivity.json", r.Sensitivity.WriteJSON},
		{"mixed.json", r.Mixed.WriteJSON},
		{"mixed.yaml", func(w io.Writer) error {
			text, err := r.Mixed.Config.YAML()
			if err == nil {
				_, err = w.Write(text)
			}
			return err
		}},
		{"report.html", func(w io.Writer) error {
			return page.Write(w, rep, page.Options{
				Subtitle: "Mobile network on 8×8 digits, " + inspected.name,
				Accuracy: []page.Accuracy{
					{Name: "float32", Accuracy: r.Float[0] / 100},
					{Name: inspected.name, Accuracy: score / 100, Note: "with the post-training helpers"},
					{Name: "mixed precision", Accuracy: r.MixedScore / 100, Note: "the suggestion in mixed.yaml"},
				},
			})
		}},
	} {
		if err := writeFile(filepath.Join(r.Out, f.name), f.write); err != nil {
			return err
		}
	}
	fz, err := m.Freeze()
	if err != nil {
		return err
	}
	return fz.WriteFile(filepath.Join(r.Out, "mixed.safetensors"))
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}

func (b bench) percent(p train.Logits) (float64, error) {
	acc, err := train.Accuracy(p, b.test, b.test.Len())
	return math.Round(acc*10000) / 100, err
}

func first(outs [][]float32, err error) ([]float32, error) {
	if err != nil {
		return nil, err
	}
	return outs[0], nil
}
