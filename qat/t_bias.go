package qat

import (
	"errors"
	"math"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"gorgonia.org/gorgonia"
)

// correctBiases changes nothing on an error.
func (p *plan) correctBiases(data Batches) ([]BiasCorrection, error) {
	undo := p.rememberTuned()
	out, err := p.correctBias(data)
	clear(p.evals)
	if err != nil {
		undo()
		return nil, err
	}
	return out, nil
}

func (p *plan) correctBias(data Batches) ([]BiasCorrection, error) {
	layers := p.tunable()
	float, err := p.floatMeans(layers, data)
	if err != nil {
		return nil, err
	}
	var out []BiasCorrection
	for i, l := range layers {
		quantized, err := p.quantizedMean(l, data)
		if err != nil {
			return nil, &fakequant.LayerError{Layer: l.name, Err: err}
		}
		d, c := float[i].less(quantized)
		c.Layer = l.name
		l.addBias(d)
		out = append(out, c)
	}
	return out, nil
}

// rememberTuned returns what puts the helpers' findings back.
func (p *plan) rememberTuned() (undo func()) {
	before := make([]*tuned, len(p.layers))
	for i, l := range p.layers {
		if l.tuned != nil {
			t := *l.tuned
			t.bias = append([]float32(nil), t.bias...)
			before[i] = &t
		}
	}
	return func() {
		for i, l := range p.layers {
			l.tuned = before[i]
		}
	}
}

// means gathers means per channel (axis 1).
type means struct {
	sum     []float64
	count   int // elements of each channel
	squares float64
}

func (m *means) add(x tapped) error {
	if err := checkFinite(x.data); err != nil {
		return err
	}
	channels := planes(x.shape)
	if m.sum == nil {
		m.sum = make([]float64, x.shape[1])
	}
	for i, v := range x.data {
		m.sum[channels[i%len(channels)]] += float64(v)
		m.squares += float64(v) * float64(v)
	}
	m.count += len(x.data) / x.shape[1]
	return nil
}

// less returns the difference of means of each channel.
func (m *means) less(o *means) ([]float32, BiasCorrection) {
	var c BiasCorrection
	d := make([]float32, len(m.sum))
	total := 0.0
	for i := range d {
		v := m.sum[i]/float64(m.count) - o.sum[i]/float64(o.count)
		d[i] = float32(v)
		total += max(v, -v)
		c.Largest = max(c.Largest, v, -v)
	}
	if m.squares > 0 {
		c.Before = total / float64(len(d)) / math.Sqrt(m.squares/float64(m.count*len(d)))
	}
	return d, c
}

// floatMeans measures the results of all layers in the float network, in one pass.
func (p *plan) floatMeans(layers []*layer, data Batches) ([]*means, error) {
	pr := p.newProbe(fqop.Eval, func(e *emitter) []*gorgonia.Node {
		var ns []*gorgonia.Node
		for _, l := range layers {
			ns = append(ns, e.weights[l].out)
		}
		return ns
	})
	ms := make([]*means, len(layers))
	for i := range ms {
		ms[i] = &means{}
	}
	err := p.inFloat(func() error {
		return eachBatch(data, func(inputs [][]float32) error {
			xs, err := pr.run(inputs)
			if err != nil {
				return err
			}
			for i, x := range xs {
				if err := ms[i].add(x); err != nil {
					return &fakequant.LayerError{Layer: layers[i].name, Err: errors.Join(errNotFinite, err)}
				}
			}
			return nil
		})
	})
	return ms, err
}

// errNotFinite explains a NaN or an infinity in the float network.
var errNotFinite = errors.New("the float network gives a result that is not finite: check the data and the weights")

// quantizedMean measures the result of one layer in the quantized network.
func (p *plan) quantizedMean(l *layer, data Batches) (*means, error) {
	pr := p.newProbe(fqop.Quantized, func(e *emitter) []*gorgonia.Node { return []*gorgonia.Node{e.weights[l].out} })
	m := &means{}
	err := eachBatch(data, func(inputs [][]float32) error {
		xs, err := pr.run(inputs)
		if err != nil {
			return err
		}
		return m.add(xs[0])
	})
	return m, err
}
