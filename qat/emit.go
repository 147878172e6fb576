package qat

import (
	"fmt"

	"github.com/chewxy/hm"
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// emitter writes a plan as a new Gorgonia graph.
type emitter struct {
	p        *plan
	g        *gorgonia.ExprGraph
	mode     fqop.Mode
	training bool
	seed     uint64
	batch    int
	shapes   map[*graph.Value][]int

	nodes    map[*graph.Value]*gorgonia.Node // as other layers see it
	raw      map[*graph.Value]*gorgonia.Node // before its fake-quantizer
	onGrid   map[*graph.Value]bool           // training dropout takes values off it
	weights  map[*layer]weightNodes
	learned  map[*fakequant.Quantizer]gorgonia.Nodes // scale and perhaps zero point
	dropouts []*uint64                               // run counters, in network order
	scales   gorgonia.Nodes                          // the same, in the order made
}

// weightNodes are what a weighted layer computes from its parameters.
type weightNodes struct {
	float *gorgonia.Node // with the batch normalisation folded in
	tuned *gorgonia.Node // what post-training made of float; the same node without that
	quant *gorgonia.Node // after the fake-quantizer; the same node as tuned without one
	out   *gorgonia.Node // the product, before the activation
	bias  *gorgonia.Node // nil for none, and in a training graph with folding
}

// emit builds the graph for one batch size, in training or evaluation form.
func (p *plan) emit(batch int, mode fqop.Mode, training bool, seed uint64) (e *emitter, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, err = nil, fmt.Errorf("building the graph: %v", r)
		}
	}()
	e = &emitter{p: p, g: gorgonia.NewGraph(), mode: mode, training: training, seed: seed, batch: batch,
		nodes: map[*graph.Value]*gorgonia.Node{}, raw: map[*graph.Value]*gorgonia.Node{},
		onGrid: map[*graph.Value]bool{}, weights: map[*layer]weightNodes{}, learned: map[*fakequant.Quantizer]gorgonia.Nodes{}}
	if e.shapes, err = p.shapes(batch); err != nil {
		return nil, err
	}
	for _, v := range p.net.Inputs {
		if _, err := e.node(v); err != nil {
			return nil, err
		}
	}
	for _, l := range p.layers {
		if p.static[l.out] {
			continue
		}
		if _, err := e.node(l.out); err != nil {
			return nil, err
		}
	}
	for _, v := range p.net.Outputs {
		if _, err := e.node(v); err != nil {
			return nil, err
		}
	}
	if training {
		err = e.carry()
	}
	return e, err
}

// shapes returns the shape of every value at a batch size. A network without an
// open batch axis has only the shapes that it was built with; its batch is 0.
func (p *plan) shapes(batch int) (map[*graph.Value][]int, error) {
	if p.net.Batch > 0 {
		shapes, err := p.net.Shapes(batch)
		if err != nil {
			return nil, fmt.Errorf("batch size %d: %w", batch, err)
		}
		return shapes, nil
	}
	shapes := make(map[*graph.Value][]int, len(p.net.Values))
	for _, v := range p.net.Values {
		shapes[v] = v.Shape
	}
	return shapes, nil
}

// node returns the node of a value, made when first asked for.
func (e *emitter) node(v *graph.Value) (*gorgonia.Node, error) {
	if n := e.nodes[v]; n != nil {
		return n, nil
	}
	var n *gorgonia.Node
	var err error
	l := e.p.by[v]
	if v.Producer == nil {
		n, err = e.leaf(v)
	} else if l == nil {
		return nil, fmt.Errorf("value %q is hidden inside a fused layer", v.Name)
	} else {
		if n, err = e.layer(l); err != nil {
			err = &fakequant.LayerError{Layer: l.name, Err: err}
		}
	}
	if err != nil {
		return nil, err
	}
	e.raw[v] = n
	e.onGrid[v] = e.keepsGrid(l)
	if grp := e.p.groups[v]; grp != nil && grp.sites[v] != nil {
		if n, err = e.fakeQuantize(n, grp.sites[v], v.BatchAxis == 0); err != nil {
			return nil, err
		}
		e.onGrid[v] = true
	}
	e.nodes[v] = n
	return n, nil
}

// fakeQuantize adds the fake-quantizer of a site. In a training graph a learned one
// takes its scale and zero point from learnable nodes.
func (e *emitter) fakeQuantize(x *gorgonia.Node, site *fakequant.Site, batched bool) (*gorgonia.Node, error) {
	q := site.Quantizer()
	if !q.Learned() || !e.training {
		return fqop.At(x, site, e.mode)
	}
	params := e.learned[q]
	if params == nil {
		m := e.p.learnt[q]
		params = append(params, e.vectorNode(q.Name()+".scale", m.scale))
		if m.zeroPoint != nil {
			params = append(params, e.vectorNode(q.Name()+".zero_point", m.zeroPoint))
		}
		e.learned[q] = params
		e.scales = append(e.scales, params...)
	}
	return fqop.Learned(x, site, batched, params...)
}

// vectorNode makes a learnable node on the given memory.
func (e *emitter) vectorNode(name string, data []float32) *gorgonia.Node {
	t := tensor.New(tensor.WithShape(len(data)), tensor.WithBacking(data))
	return gorgonia.NewVector(e.g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(len(data)), gorgonia.WithValue(t))
}

// keepsGrid reports whether the layer's results lie on the grid of its inputs.
func (e *emitter) keepsGrid(l *layer) bool {
	if l == nil || !passesOn(l.op) {
		return false
	}
	if _, drop := l.op.(nn.Dropout); drop && e.training {
		return false
	}
	for _, v := range l.in {
		if !e.onGrid[v] {
			return false
		}
	}
	return true
}

// leaf makes an input, a parameter or a constant. Parameters share the user's
// memory but not the tensor header, which stock ops transpose in place.
func (e *emitter) leaf(v *graph.Value) (*gorgonia.Node, error) {
	old := v.Node
	if v.Role == graph.Const {
		return gorgonia.NewConstant(old.Value(), gorgonia.WithName(v.Name), gorgonia.In(e.g)), nil
	}
	opts := []gorgonia.NodeConsOpt{gorgonia.WithName(v.Name), gorgonia.In(e.g), gorgonia.WithType(nodeType(old)), gorgonia.WithShape(e.shapes[v]...)}
	n := gorgonia.NewUniqueNode(opts...)
	if v.Role == graph.Input {
		return n, nil
	}
	val := old.Value()
	if d, ok := val.(*tensor.Dense); ok {
		shared, err := sharedHeader(d)
		if err != nil {
			return nil, fmt.Errorf("parameter %q: %w", v.Name, err)
		}
		val = shared
	}
	if err := gorgonia.Let(n, val); err != nil {
		return nil, fmt.Errorf("parameter %q: %w", v.Name, err)
	}
	return n, nil
}

func nodeType(n *gorgonia.Node) hm.Type {
	if n.Shape().Dims() == 0 {
		return n.Dtype()
	}
	return gorgonia.TensorType{Dims: n.Shape().Dims(), Of: n.Dtype()}
}

// sharedHeader returns a new tensor on the memory of d.
func sharedHeader(d *tensor.Dense) (*tensor.Dense, error) {
	if d.RequiresIterator() || d.DataOrder().IsColMajor() {
		return nil, fmt.Errorf("its tensor is a view or column-major: bind a contiguous row-major tensor")
	}
	if d.Dtype() != tensor.Float32 {
		return nil, fmt.Errorf("its tensor is %v, want float32", d.Dtype())
	}
	return tensor.New(tensor.WithShape(d.Shape().Clone()...), tensor.WithBacking(d.Float32s())), nil
}

// operands returns the nodes of a layer's operands.
func (e *emitter) operands(vs []*graph.Value) ([]*gorgonia.Node, error) {
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
func (e *emitter) layer(l *layer) (*gorgonia.Node, error) {
	var n *gorgonia.Node
	var err error
	switch {
	case l.op == nil:
		n, err = e.opaque(l)
	case l.weighted:
		n, err = e.product(l)
	default:
		n, err = e.plain(l)
	}
	if err != nil || l.act == nil {
		return n, err
	}
	return ops.ApplyWith(*l.act, ops.Options{Label: l.name + " " + l.act.Fn}, n)
}

// opaque applies a stock op that the reader does not know to the new operands.
func (e *emitter) opaque(l *layer) (*gorgonia.Node, error) {
	if e.p.net.Batch > 0 && e.batch != e.p.net.Batch {
		return nil, fmt.Errorf("the stock op is bound to batches of %d: run with that size", e.p.net.Batch)
	}
	in, err := e.operands(l.in)
	if err != nil {
		return nil, err
	}
	return graph.ApplyStock(e.g, l.src[0], in)
}

func (e *emitter) plain(l *layer) (*gorgonia.Node, error) {
	in, err := e.operands(l.in)
	if err != nil {
		return nil, err
	}
	opt := ops.Options{Label: l.name}
	switch op := l.op.(type) {
	case nn.BatchNorm:
		return e.batchNorm(l, in[0])
	case nn.Dropout:
		return e.dropout(in[0], op)
	case nn.Pool:
		if op.Average {
			opt.Forward = e.averageHook(l)
		}
	case nn.GlobalAvgPool:
		opt.Forward = e.averageHook(l)
	case nn.MatMul, nn.Conv:
		opt.Forward = e.productHook(l)
	}
	return ops.ApplyWith(l.op, opt, in...)
}

// dropout gives each layer random numbers of its own.
func (e *emitter) dropout(x *gorgonia.Node, op nn.Dropout) (*gorgonia.Node, error) {
	e.seed++
	n, err := ops.Dropout(x, op.P, e.seed, e.training)
	if err == nil && e.training {
		e.dropouts = append(e.dropouts, ops.DropoutRuns(n))
	}
	return n, err
}

// vector returns the node of a per-channel parameter as [C], whatever its shape.
func (e *emitter) vector(v *graph.Value) (*gorgonia.Node, error) {
	n, err := e.node(v)
	if err != nil || n.Shape().Dims() == 1 {
		return n, err
	}
	return ops.Apply(nn.Reshape{Shape: []int{n.Shape().TotalSize()}}, n)
}

// gammaBeta returns the scale and shift of a batch normalisation, ones and zeros
// where it has none.
func (e *emitter) gammaBeta(bn *graph.Layer) (gamma, beta *gorgonia.Node, err error) {
	if gamma, err = e.vectorOr(bn, bn.BN.Gamma, "gamma", 1); err != nil {
		return nil, nil, err
	}
	beta, err = e.vectorOr(bn, bn.BN.Beta, "beta", 0)
	return gamma, beta, err
}

func (e *emitter) vectorOr(bn *graph.Layer, v *graph.Value, what string, fill float32) (*gorgonia.Node, error) {
	if v != nil {
		return e.vector(v)
	}
	data := make([]float32, len(e.p.bn[bn].Mean))
	for i := range data {
		data[i] = fill
	}
	t := tensor.New(tensor.WithShape(len(data)), tensor.WithBacking(data))
	return gorgonia.NewConstant(t, gorgonia.WithName(bn.Name+"."+what), gorgonia.In(e.g)), nil
}

func (e *emitter) batchNorm(l *layer, x *gorgonia.Node) (*gorgonia.Node, error) {
	gamma, beta, err := e.gammaBeta(l.src[0])
	if err != nil {
		return nil, err
	}
	return ops.BatchNorm(x, gamma, beta, e.p.bn[l.src[0]], e.training)
}

// product emits a convolution or matrix product with weights: batch normalisation
// folded in, weights fake-quantized, bias added.
func (e *emitter) product(l *layer) (*gorgonia.Node, error) {
	x, err := e.node(l.in[0])
	if err != nil {
		return nil, err
	}
	w, err := e.node(l.in[1])
	if err != nil {
		return nil, err
	}
	var bias *gorgonia.Node
	if l.bias != nil {
		if bias, err = e.vector(l.bias); err != nil {
			return nil, err
		}
	}
	var f, gamma, beta *gorgonia.Node
	if l.bn != nil {
		if gamma, beta, err = e.gammaBeta(l.bn); err != nil {
			return nil, err
		}
		if w, f, err = e.foldWeights(l, w, gamma); err != nil {
			return nil, err
		}
		if !e.training {
			if bias, err = ops.FoldBias(f, beta, bias, e.p.bn[l.bn]); err != nil {
				return nil, err
			}
		}
	}
	nodes := weightNodes{float: w}
	if w, bias, err = e.tune(l, w, bias); err != nil {
		return nil, err
	}
	nodes.tuned, nodes.quant, nodes.bias = w, w, bias
	if l.wsite != nil {
		if nodes.quant, err = e.fakeQuantize(w, e.weightSite(l), false); err != nil {
			return nil, err
		}
	}
	in := []*gorgonia.Node{x, nodes.quant}
	live := l.bn != nil && e.training
	if bias != nil && !live {
		in = append(in, bias)
	}
	diff := []bool{e.p.learned[l.in[0]], true, true}[:len(in)]
	y, err := ops.ApplyWith(l.op, ops.Options{Label: l.name, Diff: diff, Forward: e.productHook(l)}, in...)
	nodes.out = y
	e.weights[l] = nodes
	if err != nil || !live {
		return y, err
	}
	return ops.Unfold(y, f, gamma, beta, bias, e.p.bn[l.bn])
}

// foldWeights scales the output channels of w by gamma/sigma.
func (e *emitter) foldWeights(l *layer, w, gamma *gorgonia.Node) (folded, f *gorgonia.Node, err error) {
	if f, err = ops.FoldScale(gamma, e.p.bn[l.bn], e.training); err != nil {
		return nil, nil, err
	}
	shape := []int{1, 1, 1, 1}[:w.Shape().Dims()]
	axis, _ := weightAxes(l.op)
	shape[axis] = f.Shape()[0]
	wide, err := ops.Apply(nn.Reshape{Shape: shape}, f)
	if err != nil {
		return nil, nil, err
	}
	folded, err = ops.Apply(nn.Binary{Fn: "mul"}, w, wide)
	return folded, f, err
}
