package qat

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// TestActivationsOnCodes: every function that becomes codes is exact behind a product,
// which takes it in, and on its own, where it is a table of codes.
func TestActivationsOnCodes(t *testing.T) {
	tested := 0
	for _, kind := range nn.Kinds() {
		u := nn.Unary{Fn: kind, Alpha: 0.5, Min: -0.5, Max: 0.5}
		if tr := nn.TraitsOf(u); nn.Check(u) != nil || !tr.Quantized || !tr.Activation {
			continue
		}
		tested++
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 4, 6)
		apply := func(x *gorgonia.Node) *gorgonia.Node { return must(ops.Apply(u, x)) }
		h := apply(fc("fc1", x, 8))
		y := fc("fc2", apply(must(gorgonia.Reshape(h, []int{4, 8}))), 5)
		n := prepare(t, qconfig.Config{}, g, y)
		vm := n.machine()
		for i := range 3 {
			n.step(vm, i)
		}
		fz := n.freeze()
		n.verify(fz, n.batch(7, 64))
		fused := slices.ContainsFunc(fz.Layers, func(l frozen.Layer) bool { return l.Act != nil && l.Act.Fn == kind })
		alone := slices.ContainsFunc(fz.Layers, func(l frozen.Layer) bool {
			return l.Op.Kind() == kind && fz.Tensors[l.Inputs[0]].Quant != nil && fz.Tensors[l.Output].Quant != nil
		})
		if !fused || !alone {
			t.Errorf("%s: taken in: %t, alone on codes: %t", kind, fused, alone)
		}
	}
	if tested < 10 {
		t.Errorf("%d functions were tested", tested)
	}
}
