package plan

// This file says how a trained network becomes integers.

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozenop"
	"gorgonia.org/gorgonia"
)

// freezer builds a frozen network from a plan.
type freezer struct {
	p     *Plan
	e     *Emitter
	net   *frozen.Network
	index map[*graph.Value]int // tensor of each activation and float constant

	weights map[*gorgonia.Node]int // tensor of weights that stay float
	owned   map[*Layer]owned       // tensors of the layers that own weights
}

// owned are the tensors of a layer that others may share.
type owned struct {
	weights int
	bias    int // -1 for none
}

func (p *Plan) Freeze() (*frozen.Network, error) {
	for _, l := range p.Layers {
		if err := l.freezable(); err != nil && !p.Static[l.Out] {
			return nil, err
		}
	}
	batch := p.Net.Batch
	if batch > 0 {
		batch = 1
	}
	e, err := p.Emit(batch, fqop.Quantized, false, 1)
	if err != nil {
		return nil, err
	}
	f := &freezer{p: p, e: e, net: &frozen.Network{}, index: map[*graph.Value]int{},
		weights: map[*gorgonia.Node]int{}, owned: map[*Layer]owned{}}
	if err := f.computeConstants(); err != nil {
		return nil, err
	}
	for _, v := range p.Net.Inputs {
		i, err := f.activation(v)
		if err != nil {
			return nil, err
		}
		if d, ok := Uniform(v.Default()); ok {
			f.net.Tensors[i].Default = &d
		}
		f.net.Inputs = append(f.net.Inputs, i)
		if err := f.splitRows(v, i); err != nil {
			return nil, err
		}
	}
	for _, l := range p.Layers {
		if p.Static[l.Out] {
			continue
		}
		if err := f.layer(l); err != nil {
			return nil, err
		}
	}
	for _, v := range p.Net.Outputs {
		i, err := f.tensorOf(v)
		if err != nil {
			return nil, err
		}
		f.net.Outputs = append(f.net.Outputs, i)
	}
	if len(f.net.Layers) == 0 {
		return nil, errors.New("nothing is left to compute: the network is made of dropout only, which does nothing once frozen")
	}
	if err := f.net.Validate(); err != nil {
		return nil, err
	}
	return f.net, nil
}

// freezable reports what no frozen network can run.
func (l *Layer) freezable() error {
	if l.Op == nil {
		return l.errorf("the frozen network cannot run it: %s; rewrite it with ops that goqat knows, or end the network before it", l.Why)
	}
	if nn.TraitsOf(l.Op).Identity {
		return nil // it is gone then
	}
	if _, err := frozenop.Of(l.Op); err != nil {
		return &fakequant.LayerError{Layer: l.Name, Err: err}
	}
	return nil
}

// Unfrozen lists the layers that keep the network from being frozen, with the reasons.
func (p *Plan) Unfrozen() map[*Layer]error {
	out := map[*Layer]error{}
	for _, l := range p.Layers {
		if err := l.freezable(); err != nil && !p.Static[l.Out] {
			out[l] = err
		}
	}
	return out
}

// computeConstants runs the part of the evaluation graph that depends on no input,
// so that what ships is computed by what was trained.
func (f *freezer) computeConstants() error {
	var want []*gorgonia.Node
	for v, n := range f.e.Nodes {
		if f.p.Static[v] && n.Op() != nil {
			want = append(want, n)
		}
	}
	for _, w := range f.e.Weights {
		want = append(want, w.Float, w.Tuned)
		if w.Bias != nil {
			want = append(want, w.Bias)
		}
	}
	if len(want) == 0 {
		return nil
	}
	m, err := vm.New(f.e.Graph, want...)
	if err != nil {
		return err
	}
	return m.RunAll()
}

// shape returns the shape of a value with -1 on the open batch axis.
func (f *freezer) shape(v *graph.Value) []int {
	s := append([]int{}, v.Shape...)
	if f.p.Net.Batch > 0 && v.BatchAxis >= 0 {
		s[v.BatchAxis] = -1
	}
	return s
}

// activation adds the tensor of an input or a result.
func (f *freezer) activation(v *graph.Value) (int, error) {
	t := frozen.Tensor{Name: v.Name, Shape: f.shape(v)}
	if g := f.p.Families[v]; g != nil {
		p, err := g.Quantizer.Params()
		if err != nil {
			return 0, err
		}
		t.Quant = &frozen.Quant{Spec: g.Quantizer.Spec(), Params: p}
	}
	f.index[v] = f.add(t)
	return f.index[v], nil
}

// splitRows makes the rows of an input that belong to one element of the batch an axis of
// their own, so that any batch is a whole number: [batch·steps] becomes [batch, steps], and a
// reshape behind it.
func (f *freezer) splitRows(v *graph.Value, i int) error {
	t := &f.net.Tensors[i]
	axis := slices.Index(t.Shape, -1)
	if axis < 0 || v.Shape[axis] == f.p.Net.Batch {
		return nil
	}
	flat := frozen.Tensor{Name: v.Name + ".rows", Shape: slices.Clone(t.Shape), Quant: t.Quant}
	t.Shape = slices.Insert(slices.Clone(t.Shape), axis+1, v.Shape[axis]/f.p.Net.Batch)
	op, err := frozenop.Of(nn.Reshape{Shape: flat.Shape})
	if err != nil {
		return err
	}
	f.index[v] = f.add(flat)
	f.net.Layers = append(f.net.Layers, frozen.Layer{Name: flat.Name, Op: op, Inputs: []int{i}, Output: f.index[v]})
	return nil
}

func (f *freezer) add(t frozen.Tensor) int {
	f.net.Tensors = append(f.net.Tensors, t)
	return len(f.net.Tensors) - 1
}

// tensorOf returns the tensor of an operand, adding constants when first seen.
func (f *freezer) tensorOf(v *graph.Value) (int, error) {
	if i, ok := f.index[v]; ok {
		return i, nil
	}
	if !f.p.Static[v] {
		return 0, fmt.Errorf("value %q is used before it is made", v.Name)
	}
	data, err := Floats(f.e.Nodes[v])
	if err != nil {
		return 0, err
	}
	i, err := f.constant(f.constantName(v), v.Shape, data)
	f.index[v] = i
	return i, err
}

// constantName is the value's name, unless a layer ships its own tensor under it:
// a weight that some other layer also reads as it is, in float.
func (f *freezer) constantName(v *graph.Value) string {
	for _, l := range f.p.Layers {
		if (l.Weighted || l.Table && l.WeightQuantizer != nil) && (v.Name == l.Name+".weight" || v.Name == l.Name+".bias") {
			return v.Name + " (float)"
		}
	}
	return v.Name
}

func (f *freezer) constant(name string, shape []int, data []float32) (int, error) {
	if err := noNaN(name, data); err != nil {
		return 0, err
	}
	t, err := frozen.NewConst(name, shape, data, nil)
	if err != nil {
		return 0, err
	}
	return f.add(t), nil
}

// noNaN refuses parameters that training has ruined. Infinities pass: masks have
// them.
func noNaN(name string, data []float32) error {
	for i, v := range data {
		if v != v {
			return fmt.Errorf("%w: %q holds NaN at %d: the training diverged; go back to the last good weights and lower the learning rate", fakequant.ErrData, name, i)
		}
	}
	return nil
}

// layer adds one layer. One that does nothing once trained is left out: its input is its
// result.
func (f *freezer) layer(l *Layer) error {
	if nn.TraitsOf(l.Op).Identity {
		i, err := f.tensorOf(l.In[0])
		f.index[l.Out] = i
		return err
	}
	op, err := frozenop.Of(l.Op)
	if err != nil {
		return &fakequant.LayerError{Layer: l.Name, Err: err}
	}
	fl := frozen.Layer{Name: l.Name, Op: op, Act: (*frozen.Unary)(l.Act)}
	switch {
	case l.Table && l.WeightQuantizer != nil:
		fl.Inputs, err = f.table(l)
	case l.Weighted:
		fl.Inputs, err = f.product(l)
	case l.Kind == "batch_norm":
		fl.Inputs, err = f.batchNorm(l)
	default:
		fl.Inputs, err = f.operands(l.In)
	}
	if err != nil {
		return &fakequant.LayerError{Layer: l.Name, Err: err}
	}
	if fl.Output, err = f.activation(l.Out); err != nil {
		return err
	}
	f.net.Layers = append(f.net.Layers, fl)
	return nil
}

func (f *freezer) operands(vs []*graph.Value) ([]int, error) {
	var in []int
	for _, v := range vs {
		i, err := f.tensorOf(v)
		if err != nil {
			return nil, err
		}
		in = append(in, i)
	}
	return in, nil
}

// product returns the inputs of a weighted layer: x, weights and perhaps a bias. Layers
// that share weights share the tensor, and that of the bias if it is the same.
func (f *freezer) product(l *Layer) ([]int, error) {
	x, err := f.tensorOf(l.In[0])
	if err != nil {
		return nil, err
	}
	own := owned{bias: -1}
	if own.weights, err = f.weightsOf(l); err != nil {
		return nil, err
	}
	in := []int{x, own.weights}
	if bias := f.e.Weights[l].Bias; bias != nil {
		if own.bias, err = f.biasOf(l, bias); err != nil {
			return nil, err
		}
		in = append(in, own.bias)
	}
	if l.Shares == nil {
		f.owned[l] = own
	}
	return in, nil
}

// table returns the inputs of a layer that looks up rows of quantized weights.
func (f *freezer) table(l *Layer) ([]int, error) {
	w, err := f.weightsOf(l)
	if err != nil {
		return nil, err
	}
	if l.Shares == nil {
		f.owned[l] = owned{weights: w, bias: -1}
	}
	indices, err := f.tensorOf(l.In[1])
	return []int{w, indices}, err
}

// weightsOf returns the tensor of a layer's weights, added when first needed.
func (f *freezer) weightsOf(l *Layer) (int, error) {
	if l.Shares != nil {
		return f.owned[l.Shares].weights, nil
	}
	w := f.e.Weights[l]
	if i, ok := f.weights[w.Tuned]; ok && l.WeightQuantizer == nil {
		return i, nil
	}
	data, err := Floats(w.Tuned)
	if err != nil {
		return 0, err
	}
	if err := noNaN(l.Name+".weight", data); err != nil {
		return 0, err
	}
	var quant *frozen.Quant
	if l.WeightQuantizer != nil {
		p, err := f.p.WeightParams(l, data, w.Float.Shape())
		if err != nil {
			return 0, err
		}
		quant = &frozen.Quant{Spec: l.WeightQuantizer.Spec(), Params: p}
	}
	t, err := frozen.NewConst(l.Name+".weight", w.Float.Shape(), data, quant)
	if err != nil {
		return 0, err
	}
	i := f.add(t)
	if quant == nil {
		f.weights[w.Tuned] = i
	}
	return i, nil
}

// biasOf returns the tensor of a layer's bias.
func (f *freezer) biasOf(l *Layer, bias *gorgonia.Node) (int, error) {
	data, err := Floats(bias)
	if err != nil {
		return 0, err
	}
	if l.Shares != nil {
		if i := f.owned[l.Shares].bias; i >= 0 && sameBits(f.net.Tensors[i].Const.Values, data) {
			return i, nil
		}
	}
	return f.constant(l.Name+".bias", bias.Shape(), data)
}

// sameBits compares floats as they are stored.
func sameBits(x, y []float32) bool {
	return slices.EqualFunc(x, y, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
}

// WeightParams returns what the weights are quantized with.
func (p *Plan) WeightParams(l *Layer, data []float32, shape []int) (fakequant.Params, error) {
	layout, err := l.WeightQuantizer.Spec().Layout(shape)
	if err != nil {
		return fakequant.Params{}, err
	}
	return l.EvalQuantizer().ParamsOf(data, layout)
}

func (f *freezer) batchNorm(l *Layer) ([]int, error) {
	x, err := f.tensorOf(l.In[0])
	if err != nil {
		return nil, err
	}
	in := []int{x}
	st := f.p.Statistics[l.Source[0]]
	bn := l.Source[0].BN
	for _, part := range []struct {
		name string
		v    *graph.Value
		fill float32
	}{{"gamma", bn.Gamma, 1}, {"beta", bn.Beta, 0}} {
		data := make([]float32, len(st.Mean))
		for i := range data {
			data[i] = part.fill
		}
		if part.v != nil {
			if data, err = Floats(f.e.Nodes[part.v]); err != nil {
				return nil, err
			}
		}
		i, err := f.constant(l.Name+"."+part.name, []int{len(data)}, data)
		if err != nil {
			return nil, err
		}
		in = append(in, i)
	}
	mean, err := f.constant(l.Name+".mean", []int{len(st.Mean)}, st.Mean)
	if err != nil {
		return nil, err
	}
	variance, err := f.constant(l.Name+".variance", []int{len(st.Variance)}, st.Variance)
	return append(in, mean, variance), err
}
