package onnxin

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
)

// batchNorm makes a batch normalisation with running statistics of its own: exporters
// put equal initializers together, and training moves the statistics alone.
func batchNorm(n *node) error {
	if err := n.arity(5, 5); err != nil {
		return err
	}
	if n.int("spatial", 1) != 1 {
		return fmt.Errorf("%w: spatial = 0", ErrUnsupported)
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	gamma, err := n.param(1)
	if err != nil {
		return err
	}
	beta, err := n.param(2)
	if err != nil {
		return err
	}
	st := &ops.BNState{Momentum: 1 - n.float("momentum", 0.9), Eps: n.float("epsilon", 1e-5)}
	for i, to := range []*[]float32{&st.Mean, &st.Variance} {
		c, err := n.b.constant(n.operand(3 + i))
		if err != nil {
			return err
		}
		if !c.float || len(c.shape) != 1 {
			return fmt.Errorf("%w: statistics of shape %v, want floats [C]", ErrFormat, c.shape)
		}
		*to = slices.Clone(c.f)
	}
	if len(st.Mean) != len(st.Variance) {
		return fmt.Errorf("%w: %d means and %d variances", ErrFormat, len(st.Mean), len(st.Variance))
	}
	shape := x.Shape().Clone()
	if shape.Dims() == 3 || shape.Dims() > 4 { // channels and all that follows
		if x, err = n.apply(nn.Reshape{Shape: []int{shape[0], shape[1], 1, product(shape[2:])}}, x); err != nil {
			return err
		}
	}
	y, err := ops.BatchNorm(x, gamma, beta, st, n.b.opt.Training)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !shape.Eq(y.Shape()) {
		y, err = n.apply(nn.Reshape{Shape: shape}, y)
	}
	return n.set(0, y, err)
}

func dropout(n *node) error {
	if err := n.arity(1, 3); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	p, err := n.number(1, "ratio", 0.5)
	if err != nil {
		return err
	}
	if on, err := n.drops(); err != nil {
		return err
	} else if on && p > 0 && n.attrs["seed"] != nil {
		return fmt.Errorf("%w: it drops by a seed of its own: goqat draws other numbers, leave the seed out", ErrUnsupported)
	}
	n.b.seed++
	y, err := ops.Dropout(x, p, n.b.seed, n.b.opt.Training)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return n.set(0, y, err)
}

// drops reports whether a Dropout is written to drop: its third operand says so.
func (n *node) drops() (bool, error) {
	v := n.operand(2)
	if v == nil {
		return false, nil
	}
	if !v.known() {
		return true, nil
	}
	c, err := n.b.constant(v)
	if err != nil {
		return false, err
	}
	return c.size() == 1 && !c.float && c.i[0] != 0, nil
}

func lrn(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	y, err := n.apply(nn.LRN{Size: n.int("size", 0), Alpha: n.float("alpha", 1e-4), Beta: n.float("beta", 0.75), Bias: n.float("bias", 1)}, in...)
	return n.set(0, y, err)
}

// layerNorm reads LayerNormalization and RMSNormalization. Parameters that are not of the
// normalised axes' shape, which the format allows if they repeat, stand behind the layer.
func layerNorm(n *node) error {
	if err := n.arity(2, 3); err != nil {
		return err
	}
	x, err := n.data(0)
	if err != nil {
		return err
	}
	from, err := axis(n.int("axis", -1), x.Shape().Dims())
	if err != nil {
		return err
	}
	kind := nn.LayerNorm{Axis: from, Eps: n.float("epsilon", 1e-5), RMS: n.op == "RMSNormalization"}
	in := []*gorgonia.Node{x}
	fits := true
	for i := 1; i <= 2 && n.operand(i) != nil; i++ {
		p, err := n.param(i)
		if err != nil {
			return err
		}
		fits = fits && p.Shape().Eq(x.Shape()[from:])
		in = append(in, p)
	}
	if err := n.statistics(x, from, kind.Eps); err != nil {
		return err
	}
	if fits {
		y, err := n.apply(kind, in...)
		return n.set(0, y, err)
	}
	y, err := n.apply(kind, x)
	for i, p := range in[1:] {
		if err == nil {
			y, err = n.apply(nn.Binary{Fn: [...]string{"mul", "add"}[i]}, y, p)
		}
	}
	return n.set(0, y, err)
}

// statistics adds mean and inverse deviation of a layer normalisation where they are needed.
func (n *node) statistics(x *gorgonia.Node, from int, eps float64) error {
	need := func(i int) bool {
		return i < len(n.pb.Output) && n.b.needs(n.pb.Output[i])
	}
	if n.op != "LayerNormalization" || !need(1) && !need(2) {
		return nil
	}
	var over []int
	for a := from; a < x.Shape().Dims(); a++ {
		over = append(over, a)
	}
	c := &chain{n: n}
	mean := c.reduced(x, "mean", over, true)
	variance := c.reduced(c.unary("square", c.pair("sub", x, mean)), "mean", over, true)
	if c.err == nil {
		variance = c.unary("inv_sqrt", c.pair("add", variance, n.single(eps)))
	}
	for i, y := range []*gorgonia.Node{mean, variance} {
		if need(i + 1) {
			if err := n.setPart(i+1, y, c.err); err != nil {
				return err
			}
		}
	}
	return c.err
}

// groupNorm reads GroupNormalization and InstanceNormalization, whose groups are channels.
// Before opset 21 the former scales groups instead of channels, which is the same only where
// each group has one channel.
func groupNorm(n *node) error {
	if err := n.arity(3, 3); err != nil {
		return err
	}
	plain, err := n.addsNothing()
	if err != nil {
		return err
	}
	x, err := n.data(0)
	in := []*gorgonia.Node{x}
	if !plain && err == nil {
		in, err = n.all(3, 3)
	}
	if err != nil {
		return err
	}
	shape := in[0].Shape()
	if shape.Dims() < 2 {
		return fmt.Errorf("%w: input of shape %v, want [N,C,...]", ErrFormat, shape)
	}
	groups := n.int("num_groups", shape[1])
	if n.op == "GroupNormalization" && n.b.p.opset < 21 && groups != shape[1] {
		return fmt.Errorf("%w: a scale for each group (opset %d): convert the file to opset 21", ErrUnsupported, n.b.p.opset)
	}
	y, err := n.apply(nn.GroupNorm{Groups: groups, Eps: n.float("epsilon", 1e-5)}, in...)
	return n.set(0, y, err)
}

// addsNothing reports whether scale and bias of an InstanceNormalization are ones and zeros
// that are not there to be trained: as constants, or behind the Reshape that makes it a group
// normalisation, whose own scale and bias follow.
func (n *node) addsNothing() (bool, error) {
	if n.op != "InstanceNormalization" || n.in[1] == nil || n.in[2] == nil {
		return false, nil
	}
	x := n.in[0]
	behind := x != nil && x.n != nil && reshapes(x.n)
	for i, want := range []float32{1, 0} {
		v := n.in[1+i]
		if !v.known() || v.isParam() && !behind {
			return false, nil
		}
		c, err := n.b.constant(v)
		if err != nil {
			return false, err
		}
		if !c.float || slices.ContainsFunc(c.f, func(f float32) bool { return f != want }) {
			return false, nil
		}
	}
	return true, nil
}

// reshapes reports whether a node is a Reshape.
func reshapes(n *gorgonia.Node) bool {
	own, ok := n.Op().(interface{ NN() nn.Op })
	if !ok {
		return false
	}
	_, ok = own.NN().(nn.Reshape)
	return ok
}

// softmax runs along one axis; before operator set 13 over all from axis on.
func softmax(n *node) error {
	in, err := n.all(1, 1)
	if err != nil {
		return err
	}
	x, log := in[0], n.op == "LogSoftmax"
	shape := []int(x.Shape().Clone())
	def := -1
	if n.b.p.opset < 13 {
		def = 1
	}
	at := n.int("axis", def)
	if n.b.p.opset < 13 && at == len(shape) { // each element alone
		x, err = n.apply(nn.Reshape{Shape: append(slices.Clone(shape), 1)}, x)
		if err == nil {
			x, err = n.apply(nn.Softmax{Axis: at, Log: log}, x)
		}
		if err == nil {
			x, err = n.apply(nn.Reshape{Shape: shape}, x)
		}
		return n.set(0, x, err)
	}
	if at, err = axis(at, len(shape)); err != nil {
		return err
	}
	if n.b.p.opset >= 13 || product(shape[at+1:]) == 1 {
		y, err := n.apply(nn.Softmax{Axis: at, Log: log}, x)
		return n.set(0, y, err)
	}
	y, err := n.apply(nn.Reshape{Shape: []int{product(shape[:at]), product(shape[at:])}}, x)
	if err == nil {
		y, err = n.apply(nn.Softmax{Axis: 1, Log: log}, y)
	}
	if err == nil {
		y, err = n.apply(nn.Reshape{Shape: shape}, y)
	}
	return n.set(0, y, err)
}
