package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/goqat/goqat/qat/qconfig"
	"go.yaml.in/yaml/v3"
)

// format is one way to quantize the network: a name and a config without schedule.
type format struct {
	name string
	cfg  qconfig.Config
	// rate is the peak learning rate of fine-tuning, and epochs its length as a
	// multiple of the default.
	rate, epochs float64
}

// formats are the rows of the table without -config.
func formats() []format {
	row := func(name string, bits int, g qconfig.GranularitySetting, block int) format {
		w := qconfig.Tensor{Bits: bits, Granularity: g, BlockSize: block}
		return format{name, qconfig.Config{Global: &qconfig.Layer{Weights: w}}, tuneRate, 1}
	}
	return []format{
		row("W8A8 per channel", 8, qconfig.PerChannel, 0),
		row("W4A8 per channel", 4, qconfig.PerChannel, 0),
		row("W4A8 per tensor", 4, qconfig.PerTensor, 0),
		row("W4A8 per block of 16", 4, qconfig.PerBlock, 16),
		row("W3A8 per channel", 3, qconfig.PerChannel, 0),
	}
}

// readFormats reads the rows of a -config file.
func readFormats(path string) ([]format, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Formats []struct {
			Name      string
			LearnRate float64 `yaml:"learn_rate"`
			Epochs    float64 // as a multiple of the default number
			Config    yaml.Node
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(file.Formats) == 0 {
		return nil, fmt.Errorf("%s: no formats: want a list under \"formats\"", path)
	}
	var fs []format
	for _, f := range file.Formats {
		part, err := yaml.Marshal(&f.Config)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		cfg, err := qconfig.ReadYAML(bytes.NewReader(part))
		if err != nil {
			return nil, fmt.Errorf("%s: format %q, from line %d: %w", path, f.Name, f.Config.Line, err)
		}
		if cfg.Milestones.Set {
			return nil, fmt.Errorf("%s: format %q: leave milestones out: the example sets them from -epochs", path, f.Name)
		}
		if f.Name == "" {
			return nil, fmt.Errorf("%s: line %d: a format has no name", path, f.Config.Line)
		}
		fs = append(fs, format{f.Name, cfg, positive(f.LearnRate, tuneRate), positive(f.Epochs, 1)})
	}
	return fs, nil
}

// positive is v, or the default where v is not set.
func positive(v, def float64) float64 {
	if v > 0 {
		return v
	}
	return def
}

// global returns the settings of layers that no rule names, as far as they are set.
func (f format) global() qconfig.Layer {
	if f.cfg.Global == nil {
		return qconfig.Layer{}
	}
	return *f.cfg.Global
}

// with returns the config with a schedule. For post-training quantization nothing is
// learned, and activations get the full range seen, as long as the file names no
// observer.
func (f format) with(s qconfig.Milestones, training bool) qconfig.Config {
	cfg, g := f.cfg, f.global()
	cfg.Milestones = s
	if !training {
		for _, t := range []*qconfig.Tensor{&g.Weights, &g.Activations} {
			t.Estimator, t.ScaleInit = "", ""
		}
		if g.Activations.Observer == "" && !g.Activations.Off {
			g.Activations.Observer = "min_max"
		}
	}
	cfg.Global = &g
	return cfg
}

// bits returns a tensor's width; 32 for float.
func bits(t qconfig.Tensor) int {
	switch {
	case t.Off:
		return 32
	case t.Bits == 0:
		return 8
	}
	return t.Bits
}

// slug is the row's file name.
func (f format) slug() string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.ToLower(f.name))
}
