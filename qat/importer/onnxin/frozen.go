package onnxin

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozenop"
)

// ReadFrozen reads a quantized model that package qat/export/onnxout wrote, in one piece.
// The network has the codes, scales and names of the one that was written and computes
// the same bits, with these exceptions: int32 biases stay rounded; a matrix may come
// back transposed; functions that ONNX has no operator for come back as the several
// layers that the file has; formats of activations come back as symmetric where the zero
// point allows it. Models of other programs are read as far as they have the same form.
// Errors wrap [ErrFormat] or [ErrUnsupported] and name the node or tensor.
func ReadFrozen(r io.Reader) (*frozen.Network, error) {
	p, err := readAll(r)
	if err != nil {
		return nil, fmt.Errorf("onnxin: %w", err)
	}
	return buildFrozen(p, noFiles{})
}

// ReadFrozenFile is [ReadFrozen] for a file, with external data beside it.
func ReadFrozenFile(path string) (*frozen.Network, error) {
	p, files, err := openModel(path)
	if err != nil {
		return nil, fmt.Errorf("onnxin: %w", err)
	}
	defer files.Close()
	return buildFrozen(p, files)
}

func buildFrozen(p *parsed, files fileSource) (net *frozen.Network, err error) {
	defer func() {
		if r := recover(); r != nil {
			net, err = nil, fmt.Errorf("onnxin: %w: building the network: %v", ErrFormat, r)
		}
	}()
	t := &thawer{builder: newBuilder(p, files, Options{}), net: &frozen.Network{}, tensors: map[string]int{}, quiet: map[*node]bool{}, swapped: map[string]bool{}, lasts: map[*node]*node{}}
	if err := t.thaw(); err != nil {
		return nil, fmt.Errorf("onnxin: %w", err)
	}
	if err := t.net.Validate(); err != nil {
		return nil, fmt.Errorf("onnxin: %w: %w", ErrFormat, err)
	}
	return t.net, nil
}

func (t *thawer) thaw() error {
	if err := t.initializers(); err != nil {
		return err
	}
	nodes, err := t.liveNodes()
	if err != nil {
		return err
	}
	for _, in := range t.p.Graph.Input {
		if t.values[in.GetName()] != nil {
			continue
		}
		if err := t.input(in); err != nil {
			return fmt.Errorf("input %q: %w", in.GetName(), err)
		}
	}
	for _, n := range nodes {
		if t.quiet[n] {
			continue
		}
		for _, name := range n.pb.Input {
			v := t.values[name]
			if v == nil && name != "" {
				v = &value{name: name}
			}
			n.in = append(n.in, v)
		}
		if err := t.step(n); err != nil {
			t.fail(n, err)
			break // what follows depends on it, mostly
		}
	}
	if err := t.failure(); err != nil {
		return err
	}
	for _, o := range t.p.Graph.Output {
		i, err := t.tensor(o.GetName())
		if err != nil {
			return fmt.Errorf("output %q: %w", o.GetName(), err)
		}
		t.net.Outputs = append(t.net.Outputs, i)
	}
	for _, m := range t.p.MetadataProps {
		if t.net.Notes == nil {
			t.net.Notes = map[string]string{}
		}
		t.net.Notes[m.GetKey()] = m.GetValue()
	}
	return nil
}

func (t *thawer) step(n *node) error {
	if !isStandard(n.pb.GetDomain()) {
		return fmt.Errorf("%w: operator of domain %q", ErrUnsupported, n.pb.GetDomain())
	}
	if len(n.pb.Output) != 1 {
		return fmt.Errorf("%w: %d outputs", ErrUnsupported, len(n.pb.Output))
	}
	switch n.op {
	case "DequantizeLinear":
		return t.constantCodes(n)
	case "Identity":
		if err := n.arity(1, 1); err != nil {
			return err
		}
		return t.sameAs(n, n.pb.Input[0])
	case "Cast": // whole numbers in front of a Gather
		if err := n.arity(1, 1); err != nil {
			return err
		}
		return t.sameAs(n, n.pb.Input[0])
	case "Clip":
		if t.isGuard(n) {
			return t.sameAs(n, n.pb.Input[0])
		}
	case "Transpose":
		if u := t.onlyUser(n.pb.Output[0]); u != nil && u.op == "MatMul" && strings.Contains(n.label, "/transpose_") {
			return nil // the product looks through it
		}
	}
	if is, err := t.isSwap(n); is || err != nil {
		return err
	}
	op, in, err := t.layerOf(n)
	if err == nil {
		err = n.err
	}
	if err != nil {
		return err
	}
	return t.layer(n, op, in)
}

// isGuard reports whether a Clip only keeps runtimes from fusing: it is named so.
func (t *thawer) isGuard(n *node) bool { return strings.Contains(n.label, "/guard") }

// isSwap passes on weights whose channels the exporter swaps for a transposed convolution.
func (t *thawer) isSwap(n *node) (bool, error) {
	if _, part, _ := strings.Cut(n.label, "/swap"); part != "" && part != "_groups" && part != "_join" || !strings.Contains(n.label, "/swap") || n.op != "Transpose" && n.op != "Reshape" || len(n.pb.Input) == 0 {
		return false, nil
	}
	if i, err := t.tensor(n.pb.Input[0]); err != nil || t.net.Tensors[i].Const == nil {
		return false, err
	}
	t.swapped[n.pb.Output[0]] = true
	return true, t.sameAs(n, n.pb.Input[0])
}

// sameAs makes the node's result another name of a tensor.
func (t *thawer) sameAs(n *node, name string) error {
	i, err := t.tensor(name)
	if err == nil {
		t.tensors[n.pb.Output[0]] = i
	}
	return err
}

func (t *thawer) input(in *onnxpb.ValueInfoProto) error {
	tt := in.GetType().GetTensorType()
	if tt == nil || tt.Shape == nil {
		return fmt.Errorf("%w: no shape", ErrFormat)
	}
	x := frozen.Tensor{Name: in.GetName()}
	if err := checkRank(len(tt.Shape.Dim)); err != nil {
		return err
	}
	var shapes [2][]int
	for _, d := range tt.Shape.Dim {
		v := int(d.GetDimValue())
		if v <= 0 {
			v = -1
		}
		x.Shape = append(x.Shape, v)
		for k, b := range batches {
			at := v
			if v < 0 {
				at = b
			}
			shapes[k] = append(shapes[k], at)
		}
	}
	r, err := t.rounding(in.GetName())
	if err != nil {
		return err
	}
	x.Quant = r.quant
	i := t.add(x, shapes)
	t.tensors[in.GetName()] = i
	r.bind(t, i)
	t.net.Inputs = append(t.net.Inputs, i)
	return nil
}

// layer adds a layer with the activation and the rounding that follow it.
func (t *thawer) layer(n *node, op nn.Op, in []string) error {
	fop, err := frozenop.Of(op)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	l := frozen.Layer{Name: n.label, Op: fop}
	for _, name := range in {
		i, err := t.tensor(name)
		if err != nil {
			return err
		}
		l.Inputs = append(l.Inputs, i)
	}
	var shapes [2][]int
	for k := range batches {
		var args [][]int
		for _, i := range l.Inputs {
			args = append(args, t.shapes[k][i])
		}
		s, err := nn.OutShape(op, args)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if err := checkRank(len(s)); err != nil {
			return err
		}
		shapes[k] = s
	}
	end := t.end(n)
	act, end, err := t.activation(n, end)
	if err != nil {
		return err
	}
	l.Act = (*frozen.Unary)(act)
	r, err := t.rounding(end)
	if moved := t.movedGrid(op, l.Inputs); err == nil && act == nil && r.quant == nil && moved != nil {
		r, err = t.movedCodes(end, moved)
	}
	if err != nil {
		return err
	}
	x := frozen.Tensor{Name: r.name, Shape: slices.Clone(shapes[0]), Quant: r.quant}
	for i, d := range shapes[1] {
		if len(shapes[0]) == len(shapes[1]) && d != shapes[0][i] {
			x.Shape[i] = -1
		}
	}
	l.Output = t.add(x, shapes)
	r.bind(t, l.Output)
	t.net.Layers = append(t.net.Layers, l)
	return nil
}

// movedGrid is the one grid of codes that a layer only moves; nil where it moves none.
func (t *thawer) movedGrid(op nn.Op, in []int) *frozen.Quant {
	if !nn.TraitsOf(op).Moves {
		return nil
	}
	var q *frozen.Quant
	for _, i := range in {
		x := &t.net.Tensors[i]
		if x.Const != nil || x.Quant == nil || q != nil && !sameGrid(q, x.Quant) {
			return nil
		}
		q = x.Quant
	}
	return q
}

// activation takes in the activation behind a layer, which the exporter names after it.
func (t *thawer) activation(n *node, end string) (*nn.Unary, string, error) {
	u := t.onlyUser(end)
	for _, s := range t.users[end] { // a silu reads it twice
		if m := t.gatedBy(s); m != nil && len(t.users[end]) == 2 && slices.Contains(t.users[end], m) && !t.wanted[end] {
			u = s
		}
	}
	if u == nil || len(u.pb.Input) == 0 || u.pb.Input[0] != end || !strings.Contains(end, "_before_") || !strings.HasPrefix(u.label, n.label+"/") {
		return nil, end, nil
	}
	for _, name := range u.pb.Input {
		u.in = append(u.in, t.values[name])
	}
	op, _, err := t.layerOf(u)
	if err != nil {
		return nil, "", fmt.Errorf("activation %s: %w", u.label, err)
	}
	act, ok := op.(nn.Unary)
	if !ok || len(u.pb.Output) != 1 {
		return nil, "", fmt.Errorf("%w: %s is no activation", ErrUnsupported, u.label)
	}
	t.quiet[u] = true
	return &act, t.end(u), nil
}
