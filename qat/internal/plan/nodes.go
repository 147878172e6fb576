package plan

// This file says how values and layers become nodes of a new graph.

import (
	"fmt"
	"slices"

	"github.com/chewxy/hm"
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// node returns the node of a value, made when first asked for.
func (e *Emitter) node(v *graph.Value) (*gorgonia.Node, error) {
	if n := e.Nodes[v]; n != nil {
		return n, nil
	}
	var n *gorgonia.Node
	var err error
	l := e.Plan.Maker[v]
	if v.Producer == nil {
		n, err = e.leaf(v)
	} else if l == nil {
		return nil, fmt.Errorf("value %q is hidden inside a fused layer", v.Name)
	} else {
		if n, err = e.layer(l); err != nil {
			err = &fakequant.LayerError{Layer: l.Name, Err: err}
		}
	}
	if err != nil {
		return nil, err
	}
	e.Raw[v] = n
	if graph.IsWhole(n.Dtype()) {
		if n, err = ops.Float32(n); err != nil {
			return nil, err
		}
	}
	e.onGrid[v] = e.keepsGrid(l)
	if grp := e.Plan.Families[v]; grp != nil && grp.Sites[v] != nil {
		if n, err = e.fakeQuantize(n, grp.Sites[v], v.BatchAxis == 0); err != nil {
			return nil, err
		}
		e.onGrid[v] = true
	}
	e.Nodes[v] = n
	return n, nil
}

// fakeQuantize adds the fake-quantizer of a site. In a training graph a learned one
// takes the logarithm of its scale, and its zero point, from learnable nodes.
func (e *Emitter) fakeQuantize(x *gorgonia.Node, site *fakequant.Site, batched bool) (*gorgonia.Node, error) {
	q := site.Quantizer()
	if !q.Learned() || !e.training {
		return fqop.At(x, site, e.mode)
	}
	params := e.learned[q]
	if params == nil {
		m := e.Plan.learned[q]
		params = append(params, e.vectorNode(q.Name()+".log_scale", m.logScale))
		if m.zeroPoint != nil {
			params = append(params, e.vectorNode(q.Name()+".zero_point", m.zeroPoint))
		}
		e.learned[q] = params
		e.Scales = append(e.Scales, params...)
	}
	return fqop.Learned(x, site, batched, params...)
}

// vectorNode makes a learnable node on the given memory.
func (e *Emitter) vectorNode(name string, data []float32) *gorgonia.Node {
	t := tensor.New(tensor.WithShape(len(data)), tensor.WithBacking(data))
	return gorgonia.NewVector(e.Graph, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(len(data)), gorgonia.WithValue(t))
}

// keepsGrid reports whether the layer's results lie on the grid of its inputs.
func (e *Emitter) keepsGrid(l *Layer) bool {
	if l == nil || !nn.TraitsOf(l.Op).Moves {
		return false
	}
	if nn.TraitsOf(l.Op).Identity && e.training {
		return false
	}
	for _, v := range l.In {
		if !e.onGrid[v] {
			return false
		}
	}
	return true
}

// leaf makes an input, a parameter or a constant. Parameters share the user's
// memory but not the tensor header, which stock ops transpose in place.
func (e *Emitter) leaf(v *graph.Value) (*gorgonia.Node, error) {
	old := v.Node
	if v.Random != nil && e.training {
		return e.random(v)
	}
	if v.Role == graph.Const {
		return e.constant(v), nil
	}
	of := old.Dtype()
	if graph.IsWhole(of) && !e.training {
		of = tensor.Float32
	}
	opts := []gorgonia.NodeConsOpt{gorgonia.WithName(v.Name), gorgonia.In(e.Graph), gorgonia.WithType(nodeType(old, of)), gorgonia.WithShape(e.shapes[v]...)}
	n := gorgonia.NewUniqueNode(opts...)
	val := old.Value()
	if of != old.Dtype() {
		return n, nil
	}
	if v.Role == graph.Input && (val == nil || !slices.Equal(e.shapes[v], v.Shape)) {
		return n, nil
	}
	if d, ok := val.(*tensor.Dense); ok {
		shared, err := sharedHeader(d)
		if err != nil {
			if v.Role == graph.Input {
				return n, nil // a batch of no use
			}
			return nil, fmt.Errorf("parameter %q: %w", v.Name, err)
		}
		val = shared
	}
	if err := gorgonia.Let(n, val); err != nil {
		return nil, fmt.Errorf("parameter %q: %w", v.Name, err)
	}
	return n, nil
}

// random makes an input that draws its own numbers.
func (e *Emitter) random(v *graph.Value) (*gorgonia.Node, error) {
	e.seed++
	n, err := ops.Draw(e.Graph, *v.Random, e.seed, e.shapes[v]...)
	if err == nil {
		e.Dropouts = append(e.Dropouts, ops.DropoutRuns(n))
	}
	return n, err
}

// constant makes a constant of the user's or of a layer; whole numbers are float32 in the
// network.
func (e *Emitter) constant(v *graph.Value) *gorgonia.Node {
	var val gorgonia.Value
	if v.Node != nil {
		val = v.Node.Value()
	}
	if v.Data != nil && (v.Node == nil || graph.IsWhole(v.Node.Dtype())) {
		val = tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(slices.Clone(v.Data)))
	}
	return gorgonia.NewConstant(val, gorgonia.WithName(v.Name), gorgonia.In(e.Graph))
}

// nodeType is the type of a node of n's shape with elements of a type.
func nodeType(n *gorgonia.Node, of tensor.Dtype) hm.Type {
	if n.Shape().Dims() == 0 {
		return of
	}
	return gorgonia.TensorType{Dims: n.Shape().Dims(), Of: of}
}

// sharedHeader returns a new tensor on the memory of d.
func sharedHeader(d *tensor.Dense) (*tensor.Dense, error) {
	if d.RequiresIterator() || d.DataOrder().IsColMajor() {
		return nil, fmt.Errorf("its tensor is a view or column-major: bind a contiguous row-major tensor")
	}
	if d.Dtype() != tensor.Float32 && !graph.IsWhole(d.Dtype()) {
		return nil, fmt.Errorf("its tensor is %v, want float32", d.Dtype())
	}
	return tensor.New(tensor.WithShape(d.Shape().Clone()...), tensor.WithBacking(d.Data())), nil
}

// operands returns the nodes of a layer's operands.
func (e *Emitter) operands(vs []*graph.Value) ([]*gorgonia.Node, error) {
	ns := make([]*gorgonia.Node, len(vs))
	for i, v := range vs {
		var err error
		if ns[i], err = e.node(v); err != nil {
			return nil, err
		}
	}
	return ns, nil
}

// layer emits one fused layer, up to but without its output's fake-quantizer.
func (e *Emitter) layer(l *Layer) (*gorgonia.Node, error) {
	var n *gorgonia.Node
	var err error
	switch {
	case l.Op == nil:
		n, err = e.opaque(l)
	case l.Weighted:
		n, err = e.product(l)
	default:
		n, err = e.plain(l)
	}
	if err != nil || l.Act == nil {
		return n, err
	}
	return ops.ApplyWith(*l.Act, ops.Options{Label: l.Name + " " + l.Act.Fn}, n)
}

// opaque applies a stock op that the reader does not know to the new operands.
func (e *Emitter) opaque(l *Layer) (*gorgonia.Node, error) {
	if e.Plan.Net.Batch > 0 && e.batch != e.Plan.Net.Batch {
		return nil, fmt.Errorf("the stock op is bound to batches of %d: run with that size", e.Plan.Net.Batch)
	}
	in, err := e.operands(l.In)
	if err != nil {
		return nil, err
	}
	return graph.ApplyStock(e.Graph, l.Source[0], in)
}

func (e *Emitter) plain(l *Layer) (*gorgonia.Node, error) {
	in, err := e.operands(l.In)
	if err != nil {
		return nil, err
	}
	opt := ops.Options{Label: l.Name}
	if l.Table {
		w, err := e.weights(l, in[0])
		if err != nil {
			return nil, err
		}
		e.Weights[l], in[0] = w, w.Quant
	}
	switch op := l.Op.(type) {
	case nn.BatchNorm:
		return e.batchNorm(l, in[0])
	case nn.Dropout:
		return e.dropout(in[0], op)
	}
	switch t := nn.TraitsOf(l.Op); {
	case t.Averages:
		opt.Forward = e.averageHook(l)
	case t.Weights != nil:
		opt.Forward = e.productHook(l)
	}
	return ops.ApplyWith(l.Op, opt, in...)
}

// dropout gives each layer random numbers of its own.
func (e *Emitter) dropout(x *gorgonia.Node, op nn.Dropout) (*gorgonia.Node, error) {
	e.seed++
	n, err := ops.Dropout(x, op.P, e.seed, e.training)
	if err == nil && e.training {
		e.Dropouts = append(e.Dropouts, ops.DropoutRuns(n))
	}
	return n, err
}

// vector returns the node of a per-channel parameter as [C], whatever its shape.
func (e *Emitter) vector(v *graph.Value) (*gorgonia.Node, error) {
	n, err := e.node(v)
	if err != nil || n.Shape().Dims() == 1 {
		return n, err
	}
	return ops.Apply(nn.Reshape{Shape: []int{n.Shape().TotalSize()}}, n)
}

// gammaBeta returns the scale and shift of a batch normalisation, ones and zeros
// where it has none.
func (e *Emitter) gammaBeta(bn *graph.Layer) (gamma, beta *gorgonia.Node, err error) {
	if gamma, err = e.vectorOr(bn, bn.BN.Gamma, "gamma", 1); err != nil {
		return nil, nil, err
	}
	beta, err = e.vectorOr(bn, bn.BN.Beta, "beta", 0)
	return gamma, beta, err
}

func (e *Emitter) vectorOr(bn *graph.Layer, v *graph.Value, what string, fill float32) (*gorgonia.Node, error) {
	if v != nil {
		return e.vector(v)
	}
	data := make([]float32, len(e.Plan.Statistics[bn].Mean))
	for i := range data {
		data[i] = fill
	}
	t := tensor.New(tensor.WithShape(len(data)), tensor.WithBacking(data))
	return gorgonia.NewConstant(t, gorgonia.WithName(bn.Name+"."+what), gorgonia.In(e.Graph)), nil
}

func (e *Emitter) batchNorm(l *Layer, x *gorgonia.Node) (*gorgonia.Node, error) {
	gamma, beta, err := e.gammaBeta(l.Source[0])
	if err != nil {
		return nil, err
	}
	return ops.BatchNorm(x, gamma, beta, e.Plan.Statistics[l.Source[0]], e.training)
}

// product emits a convolution or matrix product with weights: batch normalisation
// folded in, weights fake-quantized, bias added.
func (e *Emitter) product(l *Layer) (*gorgonia.Node, error) {
	x, err := e.node(l.In[0])
	if err != nil {
		return nil, err
	}
	w, err := e.node(l.In[1])
	if err != nil {
		return nil, err
	}
	var bias *gorgonia.Node
	if l.Bias != nil {
		if bias, err = e.vector(l.Bias); err != nil {
			return nil, err
		}
	}
	var f, gamma, beta *gorgonia.Node
	if l.BatchNorm != nil {
		if gamma, beta, err = e.gammaBeta(l.BatchNorm); err != nil {
			return nil, err
		}
		if w, f, err = e.foldWeights(l, w, gamma); err != nil {
			return nil, err
		}
		if !e.training {
			if bias, err = ops.FoldBias(f, beta, bias, e.Plan.Statistics[l.BatchNorm]); err != nil {
				return nil, err
			}
		}
	}
	nodes, err := e.weights(l, w)
	if err != nil {
		return nil, err
	}
	if nodes.Bias, err = e.tuneBias(l, bias); err != nil {
		return nil, err
	}
	bias = nodes.Bias
	in := []*gorgonia.Node{x, nodes.Quant}
	live := l.BatchNorm != nil && e.training
	if bias != nil && !live {
		in = append(in, bias)
	}
	diff := []bool{e.Plan.trained[l.In[0]], true, true}[:len(in)]
	y, err := ops.ApplyWith(l.Op, ops.Options{Label: l.Name, Diff: diff, Forward: e.productHook(l)}, in...)
	nodes.Out = y
	e.Weights[l] = nodes
	if err != nil || !live {
		return y, err
	}
	return ops.Unfold(y, f, gamma, beta, bias, e.Plan.Statistics[l.BatchNorm])
}

// weights emits what becomes of the float weights w of a layer. Layers that share them
// share the nodes, so that weights are quantized once a step.
func (e *Emitter) weights(l *Layer, w *gorgonia.Node) (WeightNodes, error) {
	if o := e.Weights[l.Owner()]; o.Float == w {
		return WeightNodes{Float: w, Tuned: o.Tuned, Quant: o.Quant}, nil
	}
	nodes := WeightNodes{Float: w}
	var err error
	if nodes.Tuned, err = e.tuneWeights(l, w); err != nil || l.weightSite == nil {
		nodes.Quant = nodes.Tuned
		return nodes, err
	}
	nodes.Quant, err = e.fakeQuantize(nodes.Tuned, e.weightSite(l), false)
	return nodes, err
}

// foldWeights scales the output channels of w by gamma/sigma.
func (e *Emitter) foldWeights(l *Layer, w, gamma *gorgonia.Node) (folded, f *gorgonia.Node, err error) {
	if f, err = ops.FoldScale(gamma, e.Plan.Statistics[l.BatchNorm], e.training); err != nil {
		return nil, nil, err
	}
	shape := []int{1, 1, 1, 1}[:w.Shape().Dims()]
	axis, _ := l.WeightAxes()
	shape[axis] = f.Shape()[0]
	wide, err := ops.Apply(nn.Reshape{Shape: shape}, f)
	if err != nil {
		return nil, nil, err
	}
	folded, err = ops.Apply(nn.Binary{Fn: "mul"}, w, wide)
	return folded, f, err
}
