package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/importer/onnxin"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/testdata"
	"github.com/goqat/goqat/train"
)

// result is what -json prints; accuracies are percent of the test digits.
type result struct {
	Model      string `json:"model"`
	Producer   string `json:"producer,omitempty"`
	Parameters int    `json:"parameters"` // learned values
	// Float is the model as it came, PTQ quantized without training, QAT after training
	// with quantization in the loop, Frozen as integers.
	Float  float64 `json:"float"`
	PTQ    float64 `json:"ptq"`
	QAT    float64 `json:"qat"`
	Frozen float64 `json:"frozen"`
	// Codes are compared between training and the frozen network on the test digits.
	CodesChecked   int      `json:"codes_checked"`
	CodesDiffering int      `json:"codes_differing"`
	Bytes          int      `json:"bytes"`
	FloatBytes     int      `json:"float_bytes"`
	Files          files    `json:"files"`
	ORT            *runtime `json:"onnxruntime"` // null where it is not installed
	Seconds        float64  `json:"seconds"`
}

// job is a run of the example.
type job struct {
	o     options
	data  digits
	model *onnxin.Model
	r     *result
}

// finetune is the whole way from a float model to files for three runtimes.
func finetune(ctx context.Context, o options) (*result, error) {
	start := time.Now()
	data, err := loadDigits()
	if err != nil {
		return nil, err
	}
	cfg, err := o.qatConfig()
	if err != nil {
		return nil, err
	}
	j := &job{o: o, data: data, r: &result{Model: o.model}}
	if err := j.load(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	if j.r.Float, err = j.floatAccuracy(); err != nil {
		return nil, fmt.Errorf("float: %w", err)
	}
	fz, err := j.quantize(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := j.export(fz); err != nil {
		return nil, err
	}
	j.r.Seconds = math.Round(time.Since(start).Seconds()*10) / 10
	return j.r, nil
}

// qatConfig is the config file or what -bits says, with a schedule: observers and batch
// normalisation stand still in the last third, so that the weights settle on the network
// that will ship.
func (o options) qatConfig() (qconfig.Config, error) {
	cfg := qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: o.bits}}}
	if o.config != "" {
		var err error
		if cfg, err = qconfig.ReadFile(o.config); err != nil {
			return cfg, err
		}
	}
	if !cfg.Milestones.Set {
		still := max(1, o.epochs*2/3*(testdata.NumTrain/batchSize))
		cfg.Milestones = qconfig.MilestonesAt(0, 0, still, still)
	}
	return cfg, cfg.Validate()
}

// load imports the model and checks that it is one for the digits.
func (j *job) load() error {
	m, err := onnxin.ReadFile(j.o.model, onnxin.Options{Batch: batchSize})
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: make a model with -make, or name one with -model", err)
	}
	if err != nil {
		return err
	}
	if len(m.Inputs) != 1 || len(m.Outputs) != 1 {
		return fmt.Errorf("%s: %d inputs and %d outputs, want one of each", j.o.model, len(m.Inputs), len(m.Outputs))
	}
	in, out := []int(m.Inputs[0].Shape()), []int(m.Outputs[0].Shape())
	want := []int{batchSize, 1, testdata.DigitSize, testdata.DigitSize}
	if !slices.Equal(in, want) {
		return fmt.Errorf("%s: input of shape %v, want %v, the first dimension open in the file", j.o.model, in, want)
	}
	if !slices.Equal(out, []int{batchSize, testdata.DigitClasses}) {
		return fmt.Errorf("%s: output of shape %v, want [%d %d]: logits of the ten digits", j.o.model, out, batchSize, testdata.DigitClasses)
	}
	j.model, j.r.Producer = m, m.Producer
	for _, p := range m.Params {
		j.r.Parameters += p.Shape().TotalSize()
	}
	return nil
}

func (j *job) prepare(cfg qconfig.Config) (*qat.Model, error) {
	p, err := qat.Prepare(j.model.Graph, cfg, j.model.Outputs...)
	return p, err
}

// floatAccuracy is that of the model as it came.
func (j *job) floatAccuracy() (float64, error) {
	p, err := j.prepare(allFloat())
	if err != nil {
		return 0, err
	}
	return j.data.percent(predictor(p.Predict))
}

// quantize calibrates, trains and freezes, and measures at each stage.
func (j *job) quantize(ctx context.Context, cfg qconfig.Config) (*frozen.Network, error) {
	p, err := j.prepare(cfg)
	if err != nil {
		return nil, err
	}
	for lo := 0; lo < j.data.train.Len(); lo += evalBatch {
		if err := p.Calibrate(j.data.train.Slice(lo, min(lo+evalBatch, j.data.train.Len())).X); err != nil {
			return nil, fmt.Errorf("calibrate: %w", err)
		}
	}
	fz, err := p.Freeze()
	if err != nil {
		return nil, err
	}
	if j.r.PTQ, err = j.data.percent(predictor(fz.Run)); err != nil {
		return nil, err
	}
	err = train.Fit(ctx, p, j.data.train, train.Recipe{Epochs: j.o.epochs, Seed: j.o.seed,
		Schedule: train.Cosine{Base: tuneRate}, Title: "quantized"})
	if err != nil {
		return nil, err
	}
	if j.r.QAT, err = j.data.percent(predictor(p.Predict)); err != nil {
		return nil, err
	}
	if fz, err = p.Freeze(); err != nil {
		return nil, err
	}
	v, err := p.Verify(fz, j.data.test.X)
	if err != nil {
		return nil, err
	}
	j.r.CodesChecked, j.r.CodesDiffering = v.Checked, v.Differing
	j.r.Bytes, j.r.FloatBytes = fz.Size()
	j.r.Frozen, err = j.data.percent(predictor(fz.Run))
	return fz, err
}
