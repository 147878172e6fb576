package onnxin

// What are the inputs and the outputs of the graph?

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/onnxpb"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// outputNames are those that the options ask for, or the file's.
func (b *builder) outputNames() []string {
	if b.opt.Outputs != nil {
		return b.opt.Outputs
	}
	names := make([]string, len(b.p.Graph.Output))
	for i, o := range b.p.Graph.Output {
		names[i] = o.GetName()
	}
	return names
}

// inputs adds the inputs that something reads.
func (b *builder) inputs() error {
	batches := map[string]bool{} // names of open dimensions that are the batch
	seen := map[string]bool{}
	for _, in := range b.p.Graph.Input {
		name := in.GetName()
		if seen[name] {
			return fmt.Errorf("%w: two inputs are named %q", ErrFormat, name)
		}
		seen[name] = true
		if b.values[name] != nil || len(b.users[name]) == 0 && !b.wanted[name] {
			continue // an initializer's declaration, or not needed
		}
		v, err := b.input(in, batches)
		if err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
		b.values[name] = v
		if v.n != nil {
			b.m.Inputs = append(b.m.Inputs, v.n)
		}
	}
	for name := range b.opt.Shapes {
		if !seen[name] {
			return fmt.Errorf("options: shapes: the model has no input named %q", name)
		}
	}
	for name := range b.opt.Constants {
		if !seen[name] {
			return fmt.Errorf("options: constants: the model has no input named %q", name)
		}
	}
	return nil
}

func (b *builder) input(in *onnxpb.ValueInfoProto, batches map[string]bool) (*value, error) {
	if in.GetName() == "" {
		return nil, fmt.Errorf("%w: it has no name", ErrFormat)
	}
	tt := in.GetType().GetTensorType()
	if tt == nil {
		return nil, fmt.Errorf("%w: it is not a tensor", ErrUnsupported)
	}
	dt := dataType(tt.GetElemType())
	if bits[dt] == 0 {
		return nil, fmt.Errorf("%w: elements of type %v", ErrUnsupported, dt)
	}
	shape := b.opt.Shapes[in.GetName()]
	if shape == nil {
		if tt.Shape == nil {
			return nil, fmt.Errorf("%w: the file gives no shape: name one in Options.Shapes", ErrUnsupported)
		}
		var err error
		if shape, err = b.dims(tt.Shape.Dim, batches); err != nil {
			return nil, err
		}
		if b.widen && len(shape) > 1 {
			shape[0]++
		}
	}
	if err := checkRank(len(shape)); err != nil {
		return nil, err
	}
	if _, err := nn.OutShape(nn.Unary{Fn: "neg"}, [][]int{shape}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if fixed, ok := b.opt.Constants[in.GetName()]; ok {
		c, err := b.fixed(fixed, shape, isFloatType(dt))
		return &value{name: in.GetName(), c: c}, err
	}
	n := gorgonia.NewTensor(b.m.Graph, tensor.Float32, len(shape), gorgonia.WithName(in.GetName()), graph.Mark(graph.Input), gorgonia.WithShape(shape...))
	return &value{name: in.GetName(), n: n, whole: !isFloatType(dt)}, nil
}

// dims resolves open dimensions: the first one, and those of the same name, are the
// batch. Old exporters write 0 or -1 for open.
func (b *builder) dims(dims []*onnxpb.TensorShapeProto_Dimension, batches map[string]bool) ([]int, error) {
	shape := make([]int, len(dims))
	for i, d := range dims {
		param := d.GetDimParam()
		switch v := d.GetDimValue(); {
		case v > 0:
			shape[i] = int(v)
		case i == 0 || param != "" && batches[param]:
			shape[i] = b.opt.Batch
			if param != "" {
				batches[param] = true
			}
		default:
			return nil, fmt.Errorf("%w: dimension %d (%q) is open: give the shape in Options.Shapes", ErrUnsupported, i, param)
		}
	}
	return shape, nil
}

// fixed makes a constant of an input; one number is for all elements.
func (b *builder) fixed(v []float64, shape []int, float bool) (*constant, error) {
	n := product(shape)
	if len(v) != 1 && len(v) != n {
		return nil, fmt.Errorf("options: constants: %d numbers for shape %v, want 1 or %d", len(v), shape, n)
	}
	if err := b.spend(n); err != nil {
		return nil, err
	}
	c := &constant{shape: slices.Clone(shape), float: float}
	c.alloc(n)
	for i := range n {
		x := v[min(i, len(v)-1)]
		switch {
		case float:
			c.f[i] = float32(x)
		case x != math.Trunc(x) || math.Abs(x) > 1<<53:
			return nil, fmt.Errorf("options: constants: %v for an input of whole numbers", x)
		default:
			c.i[i] = int64(x)
		}
	}
	return c, nil
}
