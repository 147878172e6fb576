package graph

import (
	"fmt"
	"reflect"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// applyCopy applies a copy of old's op to in, nodes of g. Ops that keep memory
// between runs are made anew through Gorgonia's constructors; the others are copied.
func applyCopy(g *gorgonia.ExprGraph, old *gorgonia.Node, in []*gorgonia.Node) (*gorgonia.Node, error) {
	op := old.Op()
	if own, ok := op.(interface {
		Again(in ...*gorgonia.Node) (*gorgonia.Node, error)
	}); ok {
		return own.Again(in...)
	}
	if len(in) == 0 {
		return gorgonia.NewUniqueNode(gorgonia.WithType(old.Type()), gorgonia.WithOp(op), gorgonia.In(g),
			gorgonia.WithShape(old.Shape()...)), nil
	}
	switch opName(op) {
	case "maxPoolOp", "avgPoolOp":
		return copyPool(op, in[0])
	case "dropoutOp":
		return copyDropout(op, in[0])
	case "BatchNormOp":
		fresh, err := copyBatchNorm(op, in[0])
		if err != nil {
			return nil, err
		}
		return gorgonia.ApplyOp(fresh, in...)
	}
	return gorgonia.ApplyOp(shallowCopy(op), in...)
}

// shallowCopy copies an op that is a pointer; others are immutable values.
func shallowCopy(op gorgonia.Op) gorgonia.Op {
	v := reflect.ValueOf(op)
	if v.Kind() != reflect.Pointer {
		return op
	}
	c := reflect.New(v.Elem().Type())
	c.Elem().Set(v.Elem())
	return c.Interface().(gorgonia.Op)
}

// copyPool makes a pooling op with a mask of its own: two nodes on one mask would
// both get the gradient of the one that ran last.
func copyPool(op gorgonia.Op, x *gorgonia.Node) (*gorgonia.Node, error) {
	f := fieldsOf(op)
	kernel := tensor.Shape{f.int("h"), f.int("w")}
	stride := []int{f.int("strideH"), f.int("strideW")}
	pad := []int{f.int("padNorth"), f.int("padWest")}
	if f.bool("explicitPadding") {
		pad = []int{f.int("padNorth"), f.int("padSouth"), f.int("padWest"), f.int("padEast")}
	}
	if f.err != nil {
		return nil, f.err
	}
	if opName(op) == "avgPoolOp" {
		return gorgonia.AveragePool2D(x, kernel, pad, stride)
	}
	return gorgonia.MaxPool2D(x, kernel, pad, stride)
}

func copyDropout(op gorgonia.Op, x *gorgonia.Node) (*gorgonia.Node, error) {
	f := fieldsOf(op)
	p, training := f.float("probability"), f.bool("isTraining")
	if f.err != nil {
		return nil, f.err
	}
	n, err := gorgonia.Dropout(x, p)
	if err != nil || training {
		return n, err
	}
	mode, ok := n.Op().(gorgonia.TrainModeOp)
	if !ok {
		return nil, fmt.Errorf("%T has no training mode", n.Op())
	}
	return n, mode.SetTraining(false)
}

// copyBatchNorm makes an op with statistics and scratch memory of its own, by way of
// a throw-away graph: the constructor would add gamma and beta as well.
func copyBatchNorm(op gorgonia.Op, x *gorgonia.Node) (gorgonia.Op, error) {
	old, ok := op.(*gorgonia.BatchNormOp)
	f := fieldsOf(op)
	momentum, eps, training := f.float("momentum"), f.float("epsilon"), f.bool("training")
	if !ok || f.err != nil {
		return nil, fmt.Errorf("unknown batch normalisation %T: %w", op, f.err)
	}
	g := gorgonia.NewGraph()
	like := func(name string) *gorgonia.Node {
		return gorgonia.NewTensor(g, x.Dtype(), x.Dims(), gorgonia.WithShape(x.Shape()...), gorgonia.WithName(name))
	}
	_, _, _, fresh, err := gorgonia.BatchNorm(like("x"), like("gamma"), like("beta"), momentum, eps)
	if err != nil {
		return nil, err
	}
	if !training {
		if err := fresh.SetTraining(false); err != nil {
			return nil, err
		}
	}
	return fresh, fresh.SetStats(old.Stats())
}
