package onnxin

import (
	"errors"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"google.golang.org/protobuf/proto"
)

// TestAllRefusals: every node that cannot be imported is named, also behind others, with
// how many there are of each operator.
func TestAllRefusals(t *testing.T) {
	f := newFile(17)
	a := f.node("RoiAlign", []string{f.input("x", 1, 1, 4, 4), "x", "x"})
	b := f.node("RoiAlign", []string{a, a, a})
	c := f.node("Einsum", []string{b})
	f.output(f.node("Range", []string{c, c, "x"})) // only computed while reading
	_, err := f.read(t, Options{})
	if !errors.Is(err, ErrUnsupported) {
		t.Fatal(err)
	}
	for _, want := range []string{"4 nodes cannot be imported (1 Einsum, 1 Range, 2 RoiAlign)", a + " (RoiAlign)", b + " (RoiAlign)", c + " (Einsum)", "Options.Outputs"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
	}
	g := newFile(17)
	x := g.input("x", 1, 4)
	g.output(g.node("Range", []string{x, x, x}))
	if _, err := g.read(t, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "depend on no input") {
		t.Errorf("%v, want that Range is computed only while reading", err)
	}
}

// TestOutputs: what stands behind the outputs asked for need not be importable.
func TestOutputs(t *testing.T) {
	f := newFile(17)
	a := f.node("Neg", []string{f.input("x", 1, 2)})
	b := f.node("Abs", []string{a})
	f.output(f.node("NonZero", []string{b}))
	m, err := f.read(t, Options{Outputs: []string{b, a}})
	if err != nil {
		t.Fatal(err)
	}
	got := forward(t, m, []float32{1, -2})
	near(t, "abs", got[0], []float32{1, 2}, 0)
	near(t, "neg", got[1], []float32{-1, 2}, 0)
	for _, c := range []struct {
		outputs []string
		text    string
	}{{[]string{"nowhere"}, `"nowhere"`}, {[]string{a, a}, "two outputs"}, {[]string{}, "no input"}, {[]string{"x"}, `output "x"`}} {
		if _, err := f.read(t, Options{Outputs: c.outputs}); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("outputs %q: %v, want %s", c.outputs, err, c.text)
		}
	}
}

// rated is a model that takes another way where its input sr is 16000.
func rated() *file {
	branch := func(op string) *onnxpb.GraphProto {
		g := newFile(17)
		h := g.node("Add", []string{"x", g.init(floatTensor("one "+op, nil, 1))})
		g.named("", op, []string{h}, []string{"y " + op})
		for _, n := range g.Graph.Node { // names differ between branches here
			for _, list := range [][]string{n.Input, n.Output} {
				for i, v := range list {
					if v == h {
						list[i] = h + op
					}
				}
			}
		}
		return g.output("y " + op).Graph
	}
	f := newFile(17)
	f.input("x", 1, 2)
	f.Graph.Input = append(f.Graph.Input, info("sr", typeInt, 1))
	is := f.node("Equal", []string{"sr", f.init(intTensor("rate", nil, 16000))})
	y := f.node("If", []string{is}, "then_branch", branch("Neg"), "else_branch", branch("Abs"))
	return f.output(f.node("Mul", []string{y, f.init(floatTensor("two", nil, 2))}))
}

// TestConstants: a fixed input decides which branch of an If is taken, and is no input.
func TestConstants(t *testing.T) {
	for rate, want := range map[float64][]float32{16000: {-4, -6}, 8000: {4, 6}} {
		m, err := rated().read(t, Options{Constants: map[string][]float64{"sr": {rate}}})
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Inputs) != 1 {
			t.Errorf("inputs %v, want x alone", m.Inputs)
		}
		near(t, "y", forward(t, m, []float32{1, 2})[0], want, 0)
	}
	f := newFile(17)
	f.output(f.node("Add", []string{f.input("x", 1, 2), f.input("c", 1, 2)}))
	m, err := f.read(t, Options{Constants: map[string][]float64{"c": {1.5, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "sum", forward(t, m, []float32{1, 2})[0], []float32{2.5, 4}, 0)
}

func TestConstantsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  Options
		edit func(f *file)
		text string
	}{
		{"branch of an input", Options{}, nil, "Options.Constants"},
		{"unknown input", Options{Constants: map[string][]float64{"rate": {1}}}, nil, `no input named "rate"`},
		{"wrong number", Options{Constants: map[string][]float64{"sr": {1, 2}}}, nil, "want 1 or 1"},
		{"no whole number", Options{Constants: map[string][]float64{"sr": {0.5}}}, nil, "0.5"},
		{"no branch", Options{Constants: map[string][]float64{"sr": {1}}}, func(f *file) { f.Graph.Node[1].Attribute = f.Graph.Node[1].Attribute[:1] }, "no else_branch"},
		{"branch of nothing", Options{Constants: map[string][]float64{"sr": {1}}}, func(f *file) { f.Graph.Node[1].Attribute[1].G.Node = nil }, "nothing makes"},
		{"made twice", Options{Constants: map[string][]float64{"sr": {1}}}, func(f *file) { f.Graph.Node[1].Attribute[1].G.Node[0].Output[0] = "x" }, "inside a branch and outside"},
		{"fault in a branch", Options{Constants: map[string][]float64{"sr": {1}}}, func(f *file) { f.Graph.Node[1].Attribute[1].G.Node[0].OpType = proto.String("Einsum") }, "(Einsum)"},
	} {
		f := rated()
		if c.edit != nil {
			c.edit(f)
		}
		if _, err := f.read(t, c.opt); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s", c.name, err, c.text)
		}
	}
}
