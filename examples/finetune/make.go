package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/qconfig"
	"github.com/goqat/goqat/train"
)

// Batch sizes, and the peaks of the learning rates, with cosine decay.
const (
	batchSize = 64
	evalBatch = 360
	floatRate = 5e-3
	tuneRate  = 1e-3
)

// made is what -make prints.
type made struct {
	File       string  `json:"file"`
	Parameters int     `json:"parameters"`
	Accuracy   float64 `json:"accuracy"` // percent of the test digits
}

func (m made) text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s: %d parameters, %.2f %% of the test digits\n", m.File, m.Parameters, m.Accuracy)
	return err
}

// makeModel trains a small network in float32 and exports it as float ONNX.
func makeModel(ctx context.Context, o options) (made, error) {
	d, err := loadDigits()
	if err != nil {
		return made{}, err
	}
	net, err := models.Mobile(o.seed)
	if err != nil {
		return made{}, err
	}
	err = train.Fit(ctx, train.Float(net), d.train, train.Recipe{Epochs: o.epochs, Batch: batchSize, Seed: o.seed,
		Schedule: train.Cosine{Base: floatRate}, Title: "float"})
	if err != nil {
		return made{}, err
	}
	acc, err := d.percent(train.LogitsOf(net))
	if err != nil {
		return made{}, err
	}
	g, err := net.Build(1, false)
	if err != nil {
		return made{}, err
	}
	// A frozen network of which nothing is quantized is a float model.
	p, err := qat.Prepare(g.G, allFloat(), g.Logits)
	if err != nil {
		return made{}, err
	}
	fz, err := p.Freeze()
	if err != nil {
		return made{}, err
	}
	if err := os.MkdirAll(filepath.Dir(o.model), 0o755); err != nil {
		return made{}, err
	}
	return made{o.model, net.Size(), acc}, onnxout.WriteFile(o.model, fz, onnxout.Options{GraphName: "digits"})
}

// allFloat is the config that quantizes nothing.
func allFloat() qconfig.Config {
	off := qconfig.Tensor{Off: true}
	return qconfig.Config{Global: &qconfig.Layer{Weights: off, Activations: off}}
}
