package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/testdata"
	"github.com/goqat/goqat/train"
)

// builders makes the networks from a seed.
var builders = map[string]func(seed uint64) (*models.Net, error){"mobile": models.Mobile, "cnn": models.CNN}

// quickFormats is how many rows -quick makes.
const quickFormats = 2

// Batch sizes, and the learning rates of digits recipes for Adam with cosine decay.
const (
	batchSize     = 64
	evalBatch     = 360
	calibrateRows = 256
	floatRate     = 5e-3
	tuneRate      = 1e-3
	warmupSteps   = 44
)

// result is what -json prints.
type result struct {
	Net     string  `json:"net"`
	Seeds   []int   `json:"seeds"`
	Seconds float64 `json:"seconds"`
	Rows    []*row  `json:"rows"`
}

// row is one format; accuracies are percent of the test digits, one per seed.
type row struct {
	Name           string    `json:"name"`
	WeightBits     int       `json:"weight_bits"`
	ActivationBits int       `json:"activation_bits"`
	Granularity    string    `json:"granularity"`
	Float          []float64 `json:"float"`
	PTQ            []float64 `json:"ptq"`
	QAT            []float64 `json:"qat"`
	Frozen         []float64 `json:"frozen"`
	Bytes          int       `json:"bytes"`
	FloatBytes     int       `json:"float_bytes"`
	CodesChecked   int       `json:"codes_checked"`
	CodesDiffering int       `json:"codes_differing"`
	File           string    `json:"file"` // of the first seed
}

// bench holds the data and the settings of a run.
type bench struct {
	o           options
	train, test train.Data
}

func newBench(o options) (*bench, error) {
	tr, te, err := testdata.Digits()
	if err != nil {
		return nil, err
	}
	data := func(d testdata.DigitSet) train.Data {
		return train.Data{X: d.Images, Y: d.Labels, Shape: []int{1, testdata.DigitSize, testdata.DigitSize}, Classes: testdata.DigitClasses}
	}
	return &bench{o: o, train: data(tr), test: data(te)}, nil
}

// experiment trains and quantizes for every seed.
func experiment(ctx context.Context, o options) (*result, error) {
	start := time.Now()
	b, err := newBench(o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	r := &result{Net: o.net}
	todo := formats()
	if o.config != "" {
		if todo, err = readFormats(o.config); err != nil {
			return nil, err
		}
	}
	if o.quick {
		todo = todo[:min(quickFormats, len(todo))]
	}
	for _, f := range todo {
		g := f.global()
		granularity := g.Weights.Granularity
		if granularity == "" {
			granularity = qconfig.PerChannel
		}
		r.Rows = append(r.Rows, &row{Name: f.name, WeightBits: bits(g.Weights), ActivationBits: bits(g.Activations), Granularity: string(granularity)})
	}
	for seed := range o.seeds {
		r.Seeds = append(r.Seeds, seed)
		net, acc, err := b.float(ctx, seed)
		if err != nil {
			return nil, fmt.Errorf("seed %d: %w", seed, err)
		}
		for i, f := range todo {
			r.Rows[i].Float = append(r.Rows[i].Float, acc)
			if err := b.format(ctx, f, net, seed, r.Rows[i]); err != nil {
				return nil, fmt.Errorf("seed %d: %s: %w", seed, f.name, err)
			}
		}
	}
	r.Seconds = math.Round(time.Since(start).Seconds()*10) / 10
	return r, nil
}

// float trains the network in float32 and returns it with its accuracy.
func (b *bench) float(ctx context.Context, seed int) (*models.Net, float64, error) {
	net, err := builders[b.o.net](uint64(seed))
	if err != nil {
		return nil, 0, err
	}
	err = train.Fit(ctx, train.Float(net), b.train, train.Recipe{Epochs: b.o.epochs, Batch: batchSize, Seed: uint64(seed),
		Schedule: train.Cosine{Base: floatRate, Warmup: warmupSteps}, Title: fmt.Sprintf("seed %d, float", seed),
		CheckpointFile: filepath.Join(b.o.out, "interrupted-float.safetensors")})
	if err != nil {
		return nil, 0, err
	}
	acc, err := b.percent(train.LogitsOf(net))
	return net, acc, err
}

func (b *bench) percent(p train.Logits) (float64, error) {
	acc, err := train.Accuracy(p, b.test, evalBatch)
	return math.Round(acc*10000) / 100, err
}

// format quantizes the trained network one way, before and after fine-tuning.
func (b *bench) format(ctx context.Context, f format, net *models.Net, seed int, out *row) error {
	ptq, err := b.postTraining(f, net)
	if err != nil {
		return fmt.Errorf("post-training: %w", err)
	}
	out.PTQ = append(out.PTQ, ptq)
	p, err := b.fineTune(ctx, f, net, seed)
	if err != nil {
		return fmt.Errorf("fine-tuning: %w", err)
	}
	acc, err := b.percent(func(x []float32, _ int) ([]float32, error) { return first(p.Predict(x)) })
	if err != nil {
		return err
	}
	out.QAT = append(out.QAT, acc)
	fz, err := p.Freeze()
	if err != nil {
		return err
	}
	v, err := p.Verify(fz, b.test.X)
	if err != nil {
		return err
	}
	out.CodesChecked += v.Checked
	out.CodesDiffering += v.Differing
	if acc, err = b.percent(runner(fz)); err != nil {
		return err
	}
	out.Frozen = append(out.Frozen, acc)
	out.Bytes, out.FloatBytes = fz.Size()
	if len(out.Frozen) > 1 {
		return nil
	}
	out.File = filepath.Join(b.o.out, f.slug()+".safetensors")
	if err := fz.WriteFile(out.File); err != nil {
		return err
	}
	if err := b.o.export(out.File, fz); err != nil {
		return err
	}
	return b.report(p, f, out)
}

// postTraining calibrates on the training digits, without training.
func (b *bench) postTraining(f format, net *models.Net) (float64, error) {
	p, err := b.prepare(net, f.with(qconfig.Milestones{}, false))
	if err != nil {
		return 0, err
	}
	if err := b.calibrate(p); err != nil {
		return 0, err
	}
	fz, err := p.Freeze()
	if err != nil {
		return 0, err
	}
	return b.percent(runner(fz))
}

// fineTune trains a copy of the network with quantization in the loop. In the last
// third, ranges and batch normalisation stand still, so that the weights settle on
// the network that will ship.
func (b *bench) fineTune(ctx context.Context, f format, net *models.Net, seed int) (*qat.Model, error) {
	epochs := max(1, int(float64(b.o.epochs/2)*f.epochs))
	freeze := epochs * 2 / 3 * (b.train.Len() / batchSize)
	p, err := b.prepare(net.Clone(), f.with(qconfig.MilestonesAt(0, 0, max(freeze, 1), max(freeze, 1)), true))
	if err != nil {
		return nil, err
	}
	if err := b.calibrate(p); err != nil {
		return nil, err
	}
	p.Record(1)
	err = train.Fit(ctx, p, b.train, train.Recipe{Epochs: epochs, Seed: uint64(seed) + 100,
		Schedule: train.Cosine{Base: f.rate}, Title: fmt.Sprintf("seed %d, %s", seed, f.name),
		CheckpointFile: filepath.Join(b.o.out, "interrupted-"+f.slug()+".safetensors")})
	return p, err
}

func (b *bench) prepare(net *models.Net, cfg qconfig.Config) (*qat.Model, error) {
	g, err := net.Build(batchSize, true)
	if err != nil {
		return nil, err
	}
	p, err := qat.Prepare(g.G, cfg, g.Logits)
	return p, err
}

func (b *bench) calibrate(p *qat.Model) error {
	for lo := 0; lo < b.train.Len(); lo += calibrateRows {
		if err := p.Calibrate(b.train.Slice(lo, min(lo+calibrateRows, b.train.Len())).X); err != nil {
			return err
		}
	}
	return nil
}

// runner evaluates a frozen network.
func runner(fz *frozen.Network) train.Logits {
	return func(x []float32, _ int) ([]float32, error) { return first(fz.Run(x)) }
}

func first(outs [][]float32, err error) ([]float32, error) {
	if err != nil {
		return nil, err
	}
	return outs[0], nil
}
