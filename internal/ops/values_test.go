package ops

import (
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestViews: operands of every layout read right.
func TestViews(t *testing.T) {
	base := func() *tensor.Dense {
		return tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(tensor.Range(tensor.Float32, 0, 12)))
	}
	must := func(v tensor.View, err error) *tensor.Dense {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v.(*tensor.Dense)
	}
	lazy, done := base(), base()
	if err := lazy.T(); err != nil {
		t.Fatal(err)
	}
	if err := done.T(); err != nil {
		t.Fatal(err)
	}
	if err := done.Transpose(); err != nil {
		t.Fatal(err)
	}
	transposed := []float64{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}
	colMajor := tensor.New(tensor.WithShape(2, 3), tensor.AsFortran([]float32{0, 1, 2, 3, 4, 5})) // given row by row
	tests := []struct {
		name string
		v    gorgonia.Value
		want []float64
	}{
		{"rows", must(base().Slice(gorgonia.S(1, 3))), []float64{4, 5, 6, 7, 8, 9, 10, 11}},
		{"columns", must(base().Slice(nil, gorgonia.S(1, 3))), []float64{1, 2, 5, 6, 9, 10}},
		{"one column", must(base().Slice(nil, gorgonia.S(2))), []float64{2, 6, 10}},
		{"steps", must(base().Slice(nil, gorgonia.S(0, 4, 2))), []float64{0, 2, 4, 6, 8, 10}},
		{"lazy transpose", lazy, transposed},
		{"transpose", done, transposed},
		{"column-major", colMajor, []float64{0, 1, 2, 3, 4, 5}},
		{"scalar tensor", tensor.New(tensor.FromScalar(float32(5))), []float64{5}},
		{"scalar", gorgonia.NewF32(6), []float64{6}},
	}
	for _, tt := range tests {
		g := gorgonia.NewGraph()
		var x *gorgonia.Node
		if s := tt.v.Shape(); s.Dims() == 0 {
			x = gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("x"))
		} else {
			x = gorgonia.NewTensor(g, tensor.Float32, s.Dims(), gorgonia.WithName("x"), gorgonia.WithShape(s...))
		}
		y, err := Apply(nn.Unary{Fn: "neg"}, x)
		if err != nil {
			t.Fatal(err)
		}
		v, err := y.Op().Do(tt.v)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := numbers(t, v)
		for i := range got {
			got[i] = -got[i]
		}
		sameNumbers(t, tt.name, got, tt.want)
	}
}

// TestHeader: a consumer that transposes or reshapes our result in place, as stock
// products do for a moment, does not change what the next run returns.
func TestHeader(t *testing.T) {
	changes := map[string]func(*tensor.Dense) error{
		"transposed": func(d *tensor.Dense) error { return d.T() },
		"reshaped":   func(d *tensor.Dense) error { return d.Reshape(9) },
	}
	for name, change := range changes {
		g := gorgonia.NewGraph()
		x := newLeaf(t, g, "x", tensor.Float32, spread(1, 0, 3, 3))
		op := must(t)(Apply(nn.Unary{Fn: "square"}, x)).Op()
		v, err := op.Do(x.Value())
		if err != nil {
			t.Fatal(err)
		}
		want := numbers(t, v)
		if err := change(v.(*tensor.Dense)); err != nil {
			t.Fatal(err)
		}
		if v, err = op.Do(x.Value()); err != nil {
			t.Fatal(err)
		}
		if d := v.(*tensor.Dense); !d.Shape().Eq(tensor.Shape{3, 3}) || d.RequiresIterator() {
			t.Errorf("%s: the next result has shape %v and strides %v", name, d.Shape(), d.Strides())
		}
		sameNumbers(t, name, numbers(t, v), want)
	}
}
