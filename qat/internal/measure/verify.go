package measure

// This file says whether the frozen network gives the codes of the training graph.

import (
	"errors"
	"fmt"
	"math"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/report"
	"gorgonia.org/gorgonia"
)

// Verify runs both on the same batch and compares them.
func Verify(p *plan.Plan, fz *frozen.Network, inputs [][]float32) (report.Verification, error) {
	inputs, err := p.Fill(inputs)
	if err != nil {
		return report.Verification{}, err
	}
	batch, err := p.BatchOf(inputs)
	if err != nil {
		return report.Verification{}, err
	}
	if fz == nil {
		return report.Verification{}, errors.New("the frozen network is nil: give the result of Freeze")
	}
	if len(fz.Outputs) != len(p.Net.Outputs) {
		return report.Verification{}, fmt.Errorf("the frozen network has %d outputs, the prepared one %d: it was made of another network", len(fz.Outputs), len(p.Net.Outputs))
	}
	ev, err := p.NewEvaluator(batch, fqop.Quantized, func(e *plan.Emitter) []*gorgonia.Node { return everything(e) })
	if err != nil {
		return report.Verification{}, err
	}
	if err := ev.Run(inputs); err != nil {
		return report.Verification{}, err
	}
	trace, err := fz.Trace(inputs...)
	if err != nil {
		return report.Verification{}, err
	}
	c := &comparison{p: p, e: ev.Emitter, fz: fz, trace: trace}
	if err := c.run(); err != nil {
		return report.Verification{}, err
	}
	return c.res, nil
}

// everything lists the nodes that Verify compares.
func everything(e *plan.Emitter) []*gorgonia.Node {
	var ns []*gorgonia.Node
	for _, v := range e.Plan.Net.Values {
		if n := e.Nodes[v]; n != nil && e.Plan.Families[v] != nil {
			ns = append(ns, n)
		}
	}
	for _, l := range e.Plan.Layers {
		if w, ok := e.Weights[l]; ok && l.WeightQuantizer != nil && l.Shares == nil {
			ns = append(ns, w.Quant)
		}
	}
	return ns
}

type comparison struct {
	p     *plan.Plan
	e     *plan.Emitter
	fz    *frozen.Network
	trace *frozen.Trace
	res   report.Verification
}

func (c *comparison) run() error {
	for _, v := range c.p.Net.Inputs {
		if err := c.activation(v); err != nil {
			return err
		}
	}
	for _, l := range c.p.Layers {
		if c.p.Static[l.Out] {
			continue
		}
		if err := c.weights(l); err != nil {
			return err
		}
		if err := c.activation(l.Out); err != nil {
			return err
		}
	}
	return c.outputs()
}

// weights compares the codes of a layer's weights.
func (c *comparison) weights(l *plan.Layer) error {
	if l.WeightQuantizer == nil || l.Shares != nil {
		return nil
	}
	t := c.tensor(l.Name + ".weight")
	if t == nil {
		return fmt.Errorf("tensor %q is not in the frozen network: it was made of another network", l.Name+".weight")
	}
	got, err := t.Codes()
	if err != nil {
		return err
	}
	n := c.e.Weights[l].Quant
	p, ok := l.EvalQuantizer().Used()
	if !ok {
		return fmt.Errorf("quantizer %q did not run", l.WeightQuantizer.Name())
	}
	return c.codes(t.Name, n, l.WeightQuantizer.Spec(), p, got)
}

func (c *comparison) tensor(name string) *frozen.Tensor {
	for i := range c.fz.Tensors {
		if c.fz.Tensors[i].Name == name {
			return &c.fz.Tensors[i]
		}
	}
	return nil
}

// activation compares the codes of an input or a result, where it has any.
func (c *comparison) activation(v *graph.Value) error {
	g := c.p.Families[v]
	if g == nil || c.dropped(v) {
		return nil
	}
	got, ok := c.trace.Codes(v.Name)
	if !ok {
		return fmt.Errorf("tensor %q has no codes in the frozen network: it was made of another network, or with another config", v.Name)
	}
	p, err := g.Quantizer.Params()
	if err != nil {
		return err
	}
	return c.codes(v.Name, c.e.Nodes[v], g.Quantizer.Spec(), p, got)
}

// dropped: Freeze leaves dropout out.
func (c *comparison) dropped(v *graph.Value) bool {
	l := c.p.Maker[v]
	return l != nil && l.Kind == "dropout"
}

// codes compares a fake-quantized node with frozen codes.
func (c *comparison) codes(name string, n *gorgonia.Node, s fakequant.Spec, p fakequant.Params, got []int32) error {
	x, err := plan.Floats(n)
	if err != nil {
		return err
	}
	l, err := s.Layout(n.Shape())
	if err != nil {
		return err
	}
	want := make([]int32, len(x))
	if err := fakequant.Quantize(want, x, l, s, p); err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("tensor %q has %d codes in the frozen network, %d in training: it was made of another network", name, len(got), len(want))
	}
	c.res.Checked += len(want)
	for i, w := range want {
		if w != got[i] {
			c.res.Differing++
			c.first(name, i, float64(w), float64(got[i]))
		}
	}
	return nil
}

// outputs compares the outputs that stay float, bit for bit.
func (c *comparison) outputs() error {
	for i, v := range c.p.Net.Outputs {
		if c.p.Families[v] != nil || c.p.Static[v] {
			continue
		}
		want, err := plan.Floats(c.e.Nodes[v])
		if err != nil {
			return err
		}
		// A dropout at the end has the tensor of its input.
		name := c.fz.Tensors[c.fz.Outputs[i]].Name
		got, ok := c.trace.Values(name)
		if !ok || len(got) != len(want) {
			return fmt.Errorf("output %q: %d elements in the frozen network, %d in training", v.Name, len(got), len(want))
		}
		c.res.Floats += len(want)
		for i, w := range want {
			if math.Float32bits(w) != math.Float32bits(got[i]) {
				c.res.FloatsOff++
				c.first(v.Name, i, float64(w), float64(got[i]))
			}
		}
	}
	return nil
}

func (c *comparison) first(name string, i int, trained, frozen float64) {
	if c.res.First == nil {
		c.res.First = &report.Mismatch{Tensor: name, Element: i, Trained: trained, Frozen: frozen}
	}
}
