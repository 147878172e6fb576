package ops

import (
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestBuildErrors: what cannot work is refused when the graph is built, in words.
func TestBuildErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	node := func(name string, dt tensor.Dtype, shape ...int) *gorgonia.Node {
		return gorgonia.NewTensor(g, dt, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...))
	}
	x, wide := node("x", tensor.Float32, 4, 3), node("wide", tensor.Float64, 4, 3)
	image := node("image", tensor.Float32, 2, 3, 4, 4)
	v, long := node("v", tensor.Float32, 3), node("long", tensor.Float32, 4)
	labels, few := node("labels", tensor.Int, 4), node("few", tensor.Int, 3)
	st := NewBNState(3, 0.1, 1e-5)
	relu := nn.Unary{Fn: "relu"}
	tests := []struct {
		name string
		do   func() (*gorgonia.Node, error)
		want string
	}{
		{"nil kind", func() (*gorgonia.Node, error) { return Apply(nil, x) }, "no layer kind"},
		{"nil operand", func() (*gorgonia.Node, error) { return Apply(nn.Binary{Fn: "add"}, x, nil) }, "operand 1 is nil"},
		{"no operand", func() (*gorgonia.Node, error) { return Apply(relu) }, "relu"},
		{"shapes", func() (*gorgonia.Node, error) { return Apply(nn.Binary{Fn: "add"}, x, long) }, "add"},
		{"settings", func() (*gorgonia.Node, error) { return Apply(nn.Unary{Fn: "frob"}, x) }, "frob"},
		{"mixed types", func() (*gorgonia.Node, error) { return Apply(nn.Binary{Fn: "add"}, x, wide) }, "use one type"},
		{"integers", func() (*gorgonia.Node, error) { return Apply(relu, labels) }, "float32 or float64"},
		{"two graphs", func() (*gorgonia.Node, error) {
			return Apply(nn.Binary{Fn: "add"}, x, newLeaf(t, gorgonia.NewGraph(), "y", tensor.Float32, spread(1, 0, 4, 3)))
		}, "same graph"},
		{"gradients", func() (*gorgonia.Node, error) { return ApplyWith(relu, Options{Diff: []bool{true, true}}, x) }, "Diff"},
		{"label", func() (*gorgonia.Node, error) { return ApplyWith(relu, Options{Label: "layer7"}, nil) }, "layer7"},
		{"norm without x", func() (*gorgonia.Node, error) { return BatchNorm(nil, v, v, st, true) }, "operand 0 is nil"},
		{"norm without gamma", func() (*gorgonia.Node, error) { return BatchNorm(x, nil, v, st, true) }, "operand 1 is nil"},
		{"norm channels", func() (*gorgonia.Node, error) { return BatchNorm(x, long, v, st, true) }, "batch_norm"},
		{"norm rank", func() (*gorgonia.Node, error) { return BatchNorm(v, v, v, st, true) }, "batch_norm"},
		{"dropout of nothing", func() (*gorgonia.Node, error) { return Dropout(nil, 0.5, 1, true) }, "operand 0 is nil"},
		{"dropout of all", func() (*gorgonia.Node, error) { return Dropout(x, 1, 1, true) }, "0 <= p < 1"},
		{"dropout evaluated of all", func() (*gorgonia.Node, error) { return Dropout(x, 1, 1, false) }, "0 <= p < 1"},
		{"no logits", func() (*gorgonia.Node, error) { return CrossEntropy(nil, labels) }, "operand 0 is nil"},
		{"no labels", func() (*gorgonia.Node, error) { return CrossEntropy(x, nil) }, "operand 1 is nil"},
		{"logits", func() (*gorgonia.Node, error) { return CrossEntropy(image, labels) }, "[batch, classes]"},
		{"label type", func() (*gorgonia.Node, error) { return CrossEntropy(x, long) }, "Int"},
		{"label count", func() (*gorgonia.Node, error) { return CrossEntropy(x, few) }, "(3)"},
		{"fold nothing", func() (*gorgonia.Node, error) { return FoldScale(nil, st, true) }, "operand 0 is nil"},
		{"fold channels", func() (*gorgonia.Node, error) { return FoldScale(long, st, true) }, `"long"`},
		{"bias of nothing", func() (*gorgonia.Node, error) { return FoldBias(v, nil, nil, st) }, "operand 1 is nil"},
		{"bias channels", func() (*gorgonia.Node, error) { return FoldBias(v, v, long, st) }, `"long"`},
		{"unfold nothing", func() (*gorgonia.Node, error) { return Unfold(nil, v, v, v, nil, st) }, "operand 0 is nil"},
		{"unfold channels", func() (*gorgonia.Node, error) { return Unfold(image, v, v, long, nil, st) }, `"long"`},
		{"unfold axis", func() (*gorgonia.Node, error) { return Unfold(v, v, v, v, nil, st) }, "axis 1"},
	}
	for _, tt := range tests {
		if _, err := tt.do(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// TestDoErrors: values that do not fit are errors of the run.
func TestDoErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newLeaf(t, g, "x", tensor.Float32, spread(1, 0, 4, 3))
	op := must(t)(ApplyWith(nn.Unary{Fn: "relu"}, Options{Label: "layer7"}, x)).Op()
	labels := newLeaf(t, g, "labels", tensor.Int, leaf{shape: []int{4}, ints: []int{0, 1, 2, 1}})
	loss := must(t)(CrossEntropy(x, labels)).Op()
	tests := []struct {
		name string
		op   gorgonia.Op
		in   []gorgonia.Value
		want []string
	}{
		{"no operand", op, nil, []string{"layer7", "0 operands"}},
		{"nil", op, []gorgonia.Value{nil}, []string{"layer7", "operand 0", "Let"}},
		{"size", op, []gorgonia.Value{tensor.New(tensor.WithBacking([]float32{1, 2}))}, []string{"layer7", "(2)", "(4, 3)"}},
		{"type", op, []gorgonia.Value{denseOf(tensor.Float64, []int{4, 3}, make([]float64, 12))}, []string{"layer7", "float64", "float32"}},
		{"kind", op, []gorgonia.Value{tensor.New(tensor.WithShape(4, 3), tensor.WithBacking(make([]byte, 12)))}, []string{"layer7", "uint8"}},
		{"scalar kind", op, []gorgonia.Value{gorgonia.NewB(true)}, []string{"layer7"}},
		{"label", loss, []gorgonia.Value{x.Value(), tensor.New(tensor.WithBacking([]int{0, 1, 3, 0}))}, []string{"label 3", "row 2", "0..2"}},
		{"negative label", loss, []gorgonia.Value{x.Value(), tensor.New(tensor.WithBacking([]int{0, -1, 3, 0}))}, []string{"label -1", "row 1"}},
	}
	for _, tt := range tests {
		_, err := tt.op.Do(tt.in...)
		for _, part := range tt.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, part)
			}
		}
	}
}
