package tune

// This file says how the mean error of a layer is moved into its bias.

import (
	"errors"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/ptq"
	"gorgonia.org/gorgonia"
)

// CorrectBias changes nothing on an error.
func CorrectBias(p *plan.Plan, data ptq.Data) ([]ptq.BiasCorrection, error) {
	undo := p.RememberTuned()
	out, err := correctEach(p, data)
	clear(p.Evals)
	if err != nil {
		undo()
		return nil, err
	}
	return out, nil
}

func correctEach(p *plan.Plan, data ptq.Data) ([]ptq.BiasCorrection, error) {
	layers := p.Tunable()
	float, err := FloatMeans(p, layers, data)
	if err != nil {
		return nil, err
	}
	var out []ptq.BiasCorrection
	at := map[*plan.Layer]int{}
	for i, l := range layers {
		at[l] = i
	}
	done := map[*plan.Layer]bool{}
	for _, l := range layers {
		owner := l.Owner() // of what all its users are corrected by; it may be a table
		if done[owner] {
			continue
		}
		done[owner] = true
		users := slices.DeleteFunc(p.Users(owner), func(u *plan.Layer) bool {
			_, ok := at[u]
			return !ok
		})
		var mean []float64 // of the corrections that each would want
		for _, u := range users {
			quantized, err := QuantizedMean(p, u, data)
			if err != nil {
				return nil, &fakequant.LayerError{Layer: u.Name, Err: err}
			}
			d, c := float[at[u]].Less(quantized)
			c.Layer = u.Name
			out = append(out, c)
			if mean == nil {
				mean = make([]float64, len(d))
			}
			for i, v := range d {
				mean[i] += float64(v) / float64(len(users))
			}
		}
		d := make([]float32, len(mean))
		for i, v := range mean {
			d[i] = float32(v)
		}
		for _, u := range users {
			u.AddBias(d)
		}
	}
	return out, nil
}

// means gathers means per channel (axis 1).
type means struct {
	Sum     []float64
	Count   int // elements of each channel
	squares float64
}

func (m *means) add(x plan.Tapped) error {
	if err := plan.CheckFinite(x.Data); err != nil {
		return err
	}
	channels := Planes(x.Shape)
	if m.Sum == nil {
		m.Sum = make([]float64, x.Shape[1])
	}
	for i, v := range x.Data {
		m.Sum[channels[i%len(channels)]] += float64(v)
		m.squares += float64(v) * float64(v)
	}
	m.Count += len(x.Data) / x.Shape[1]
	return nil
}

// Less returns the difference of means of each channel.
func (m *means) Less(o *means) ([]float32, ptq.BiasCorrection) {
	var c ptq.BiasCorrection
	d := make([]float32, len(m.Sum))
	total := 0.0
	for i := range d {
		v := m.Sum[i]/float64(m.Count) - o.Sum[i]/float64(o.Count)
		d[i] = float32(v)
		total += max(v, -v)
		c.Largest = max(c.Largest, v, -v)
	}
	if m.squares > 0 {
		c.Before = total / float64(len(d)) / math.Sqrt(m.squares/float64(m.Count*len(d)))
	}
	return d, c
}

// FloatMeans measures the results of all layers in the float network, in one pass.
func FloatMeans(p *plan.Plan, layers []*plan.Layer, data ptq.Data) ([]*means, error) {
	pr := p.NewProbe(fqop.Eval, func(e *plan.Emitter) []*gorgonia.Node {
		var ns []*gorgonia.Node
		for _, l := range layers {
			ns = append(ns, e.Weights[l].Out)
		}
		return ns
	})
	ms := make([]*means, len(layers))
	for i := range ms {
		ms[i] = &means{}
	}
	err := p.InFloat(func() error {
		return plan.EachBatch(data, func(inputs [][]float32) error {
			xs, err := pr.Run(inputs)
			if err != nil {
				return err
			}
			for i, x := range xs {
				if err := ms[i].add(x); err != nil {
					return &fakequant.LayerError{Layer: layers[i].Name, Err: errors.Join(errNotFinite, err)}
				}
			}
			return nil
		})
	})
	return ms, err
}

// errNotFinite explains a NaN or an infinity in the float network.
var errNotFinite = errors.New("the float network gives a result that is not finite: check the data and the weights")

// QuantizedMean measures the result of one layer in the quantized network.
func QuantizedMean(p *plan.Plan, l *plan.Layer, data ptq.Data) (*means, error) {
	pr := p.NewProbe(fqop.Quantized, func(e *plan.Emitter) []*gorgonia.Node { return []*gorgonia.Node{e.Weights[l].Out} })
	m := &means{}
	err := plan.EachBatch(data, func(inputs [][]float32) error {
		xs, err := pr.Run(inputs)
		if err != nil {
			return err
		}
		return m.add(xs[0])
	})
	return m, err
}
