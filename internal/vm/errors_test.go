package vm

import (
	"hash"
	"strings"
	"testing"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// liar promises the shape of its operand and returns what it is told to, or
// panics.
type liar struct {
	result gorgonia.Value
	panics bool
}

func (l liar) Do(...gorgonia.Value) (gorgonia.Value, error) {
	if l.panics {
		panic("out of order")
	}
	return l.result, nil
}
func (liar) Arity() int { return 1 }
func (liar) Type() hm.Type {
	a := hm.TypeVariable('a')
	return hm.NewFnType(a, a)
}
func (liar) InferShape(d ...gorgonia.DimSizer) (tensor.Shape, error) {
	return d[0].(tensor.Shape), nil
}
func (liar) ReturnsPtr() bool     { return false }
func (liar) CallsExtern() bool    { return false }
func (liar) OverwritesInput() int { return -1 }
func (liar) WriteHash(hash.Hash)  {}
func (liar) Hashcode() uint32     { return 7 }
func (liar) String() string       { return "liar" }

// wantError checks that err says all of the given things.
func wantError(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s: error %q does not mention %q", what, err, p)
		}
	}
}

func TestRunErrors(t *testing.T) {
	wrong := tensor.New(tensor.WithBacking([]float32{1, 2, 3}))
	tests := []struct {
		name  string
		build func(g *gorgonia.ExprGraph, x *gorgonia.Node) (*gorgonia.Node, error)
		want  []string
	}{
		{"unbound input", func(g *gorgonia.ExprGraph, x *gorgonia.Node) (*gorgonia.Node, error) {
			return gorgonia.Add(x, gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("late"), gorgonia.WithShape(2)))
		}, []string{`"late"`, "Let it"}},
		{"op error", func(_ *gorgonia.ExprGraph, x *gorgonia.Node) (*gorgonia.Node, error) {
			return poisoned(t, "bad_op", false, x), nil
		}, []string{"bad_op", "poison"}},
		{"panic in a kernel", func(_ *gorgonia.ExprGraph, x *gorgonia.Node) (*gorgonia.Node, error) {
			return poisoned(t, "bad_op", true, x), nil
		}, []string{"bad_op", "panic", "poison"}},
		{"panic in an op", func(_ *gorgonia.ExprGraph, x *gorgonia.Node) (*gorgonia.Node, error) {
			return gorgonia.ApplyOp(liar{panics: true}, x)
		}, []string{"liar", "panic", "out of order"}},
		{"shape", func(_ *gorgonia.ExprGraph, x *gorgonia.Node) (*gorgonia.Node, error) {
			return gorgonia.ApplyOp(liar{result: wrong}, x)
		}, []string{"liar", "(3)", "(2)"}},
		{"no value", func(_ *gorgonia.ExprGraph, x *gorgonia.Node) (*gorgonia.Node, error) {
			return gorgonia.ApplyOp(liar{}, x)
		}, []string{"liar"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			y, err := tt.build(g, vector(g, "x", 1, 2))
			if err != nil {
				t.Fatal(err)
			}
			for _, outputs := range [][]*gorgonia.Node{nil, {y}} {
				wantError(t, tt.name, compile(t, g, outputs...).RunAll(), tt.want...)
			}
		})
	}
}

// TestRunAfterError: a failed run leaves what was bound before, and the machine
// runs again once the cause is gone.
func TestRunAfterError(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(2))
	y := must(t)(gorgonia.Add(x, x))
	m := compile(t, g, y)
	wantError(t, "unbound", m.RunAll(), `"x"`)
	if err := gorgonia.Let(x, tensor.New(tensor.WithBacking([]float32{1, 2}))); err != nil {
		t.Fatal(err)
	}
	runAll(t, m)
	want(t, "y", y.Value(), 2, 4)
}

func TestNewErrors(t *testing.T) {
	g, other := gorgonia.NewGraph(), gorgonia.NewGraph()
	x, foreign := vector(g, "x", 1), vector(other, "elsewhere", 1)
	_, err := New(nil)
	wantError(t, "nil graph", err, "no graph")
	_, err = New(nil, x)
	wantError(t, "nil graph with outputs", err, "no graph")
	_, err = New(g, foreign)
	wantError(t, "foreign output", err, "elsewhere", "another graph")
	_, err = New(g, x, nil)
	wantError(t, "nil output", err, "output 1 is nil")
	gorgonia.Set(x, must(t)(gorgonia.Neg(x)))
	_, err = New(g)
	wantError(t, "assignment", err, "statement")
}
