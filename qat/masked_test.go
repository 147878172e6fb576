package qat

import (
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestMaskedScores: the mask of an attention sets no range, whatever numbers it has, and
// training and the frozen network agree.
func TestMaskedScores(t *testing.T) {
	const rows = 4
	g := gorgonia.NewGraph()
	x := leaf(g, "x", rows, 3, 6)
	mask := slices.Repeat([]float32{0, -1e4, float32(math.Inf(-1))}, rows)
	apply := func(op nn.Op, in ...*gorgonia.Node) *gorgonia.Node { return must(ops.Apply(op, in...)) }
	scores := apply(nn.MatMul{TransB: true}, x, x)
	scaled := apply(nn.Binary{Fn: "div"}, scores, gorgonia.NewConstant(float32(3)))
	masked := apply(nn.Binary{Fn: "add"}, scaled, gorgonia.NewConstant(tensor.New(tensor.WithShape(3, 3), tensor.WithBacking(mask[:9]))))
	p := apply(nn.Softmax{Axis: 2}, masked)
	h := apply(nn.MatMul{}, p, x)
	y := fc("fc", apply(nn.Reshape{Shape: []int{-1, 18}}, h), 5)
	n := prepare(t, qconfig.Config{}, g, y)
	vm := n.machine()
	for i := range 3 {
		n.step(vm, i)
	}
	fz := n.freeze()
	n.verify(fz, n.batch(7, rows))
	at := slices.IndexFunc(fz.Layers, func(l frozen.Layer) bool { return l.Op.Kind() == "softmax" })
	if at < 0 {
		t.Fatal("no softmax")
	}
	l := fz.Layers[at]
	if op := l.Op.(frozen.Softmax); float32(op.Scale) != float32(1.0/3) || len(l.Inputs) != 2 {
		t.Errorf("%#v on %d operands", op, len(l.Inputs))
	}
	q := fz.Tensors[l.Inputs[0]].Quant
	if q == nil || fz.Tensors[l.Output].Quant == nil || fz.Tensors[l.Inputs[1]].Quant != nil {
		t.Fatalf("scores %v, mask %v, result %v: scores and result are codes, the mask is not", q, fz.Tensors[l.Inputs[1]].Quant, fz.Tensors[l.Output].Quant)
	}
	if s := q.Params.Scale[0]; !(s < 1) { // scores of a few units
		t.Errorf("scale of the scores is %v", s)
	}
}
