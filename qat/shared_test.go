package qat

import (
	"bytes"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// A concatenation of a layer's input and its result gives both one quantizer. The
// layer's product is exact all the same, although the site behind it has not run yet
// when it is computed.
func TestSharedInputAndOutput(t *testing.T) {
	build := func() *net {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 8, 256)
		y := fc("c2", must(gorgonia.Concat(1, x, fc("c1", x, 256))), 4)
		return onlyPrepare(t, qconfig.Config{}, g, y)
	}
	n := build()
	if err := n.m.Calibrate(n.batch(0, 8)...); err != nil {
		t.Fatal(err)
	}
	fz := n.freeze()
	for run := range 2 {
		v, err := n.m.Verify(fz, n.batch(1, 2000)...)
		if err != nil || !v.OK() {
			t.Errorf("run %d: %d codes differ, first %v, error %v", run, v.Differing, v.First, err)
		}
	}
}

func TestStateKeepsScalars(t *testing.T) {
	build := func() (*net, *gorgonia.Node) {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 4, 6)
		gain := gorgonia.NewScalar(g, gorgonia.Float32, gorgonia.WithName("gain"), gorgonia.WithValue(float32(1.5)))
		cfg := qconfig.Config{Roles: qconfig.Roles{Params: []string{"gain"}}}
		return prepare(t, cfg, g, must(gorgonia.Mul(fc("c1", x, 5), gain))), gain
	}
	n, gain := build()
	vm := n.machine()
	for i := range 3 {
		n.step(vm, i)
	}
	var file bytes.Buffer
	if err := n.m.WriteState(&file); err != nil {
		t.Fatal(err)
	}
	m, loaded := build()
	if err := m.m.ReadState(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
		t.Fatal(err)
	}
	want, got := gain.Value().Data().(float32), loaded.Value().Data().(float32)
	if want == 1.5 || got != want {
		t.Errorf("the scalar is %v after loading, %v when saved (1.5 at first)", got, want)
	}
}
