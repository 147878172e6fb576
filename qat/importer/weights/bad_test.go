package weights

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/safetensors"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestBadFiles: what does not fit is an error that says what and where, and nothing
// has changed.
func TestBadFiles(t *testing.T) {
	w, b := f32("fc.w", []int{2, 3}, 1, 2, 3, 4, 5, 6), f32("fc.b", []int{1, 3}, 7, 8, 9)
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	whole := file(w, b)
	frozen := func() []byte {
		s := strings.Replace(string(whole), `{"fc`, `{"__metadata__":{"format":"goqat"},"fc`, 1)
		head := len(`"__metadata__":{"format":"goqat"},`)
		return append([]byte{whole[0] + byte(head)}, s[1:]...)
	}
	for _, c := range []struct {
		name string
		raw  []byte
		opt  Options
		is   error
		says []string
	}{
		{"empty file", nil, Options{}, ErrFormat, nil},
		{"truncated", whole[:len(whole)-1], Options{}, ErrFormat, nil},
		{"other file", []byte("PK\x03\x04 something else"), Options{}, ErrFormat, nil},
		{"frozen network", frozen(), Options{}, ErrWeights, []string{"package frozen"}},
		{"missing", file(w), Options{AllowUnexpected: true}, ErrWeights, []string{"missing", `"fc.b"`}},
		{"unexpected", file(w, b, f32("x", nil, 1)), Options{AllowMissing: true}, ErrWeights, []string{"unexpected", `"x"`}},
		{"all at once", file(f32("fc.w", []int{6}, 1, 2, 3, 4, 5, 6), f32("q", nil, 1)), Options{}, ErrWeights,
			[]string{`missing "fc.b"`, `unexpected "q"`, "fc.w ([6] in the file, [2 3] here)"}},
		{"wrong shape", file(f32("fc.w", []int{3, 2}, 1, 2, 3, 4, 5, 6), b), Options{AllowMissing: true, AllowUnexpected: true, UnitAxes: true},
			ErrWeights, []string{"fc.w", "[3 2]", "[2 3]"}},
		{"bias without axes", file(w, f32("fc.b", []int{3}, 7, 8, 9)), Options{}, ErrWeights, []string{"fc.b", "[3]", "[1 3]"}},
		{"transposed shape", file(w, b), Options{Transpose: []string{"fc.w"}}, ErrWeights, []string{"fc.w", "[2 3]"}},
		{"flat, transposed", file(f32("fc.w", []int{6}, 1, 2, 3, 4, 5, 6), b), Options{Transpose: []string{"fc.w"}, UnitAxes: true}, ErrWeights, []string{"[6]"}},
		{"integers", file(w, spec{"fc.b", safetensors.I32, []int{1, 3}, make([]byte, 12)}), Options{}, ErrWeights, []string{"fc.b", "I32"}},
		{"NaN", file(w, f32("fc.b", []int{1, 3}, 7, nan, 9)), Options{}, ErrWeights, []string{"fc.b", "element 1"}},
		{"infinity", file(f32("fc.w", []int{2, 3}, 1, 2, 3, 4, 5, -inf), b), Options{}, ErrWeights, []string{"fc.w", "element 5"}},
		{"infinite half", file(w, bits16("fc.b", safetensors.F16, []int{1, 3}, 0, 0, 0x7c00)), Options{}, ErrWeights, []string{"fc.b", "element 2"}},
		{"beyond float32", file(w, f64("fc.b", []int{1, 3}, 1e39, 0, 0)), Options{}, ErrWeights, []string{"fc.b", "1e+39"}},
		{"two for one", file(w, b, f32("m.fc.b", []int{1, 3}, 1, 2, 3)), Options{Prefixes: map[string]string{"m.": ""}}, ErrOptions,
			[]string{`"fc.b" and "m.fc.b"`}},
		{"name not in the file", file(w, b), Options{Names: map[string]string{"fc.c": "fc.b"}}, ErrOptions, []string{`"fc.c"`}},
		{"name not in the graph", file(w, b), Options{Names: map[string]string{"fc.b": "fc.c"}}, ErrOptions, []string{`"fc.b"`, `"fc.c"`}},
		{"name to nothing", file(w, b), Options{Names: map[string]string{"fc.b": ""}}, ErrOptions, []string{"Skip"}},
		{"named and skipped", file(w, b), Options{Names: map[string]string{"fc.b": "fc.b"}, Skip: []string{"*.b"}}, ErrOptions, []string{`"fc.b"`}},
		{"skip nothing", file(w, b), Options{Skip: []string{""}}, ErrOptions, []string{"Skip"}},
		{"skip everything", file(w, b), Options{Skip: []string{"*"}}, ErrOptions, []string{"Skip"}},
		{"skip a pattern", file(w, b), Options{Skip: []string{"a*b"}}, ErrOptions, []string{`"a*b"`}},
		{"transpose nothing", file(w, b), Options{Transpose: []string{"fc.c"}}, ErrOptions, []string{`"fc.c"`}},
	} {
		_, _, nw, nb := small()
		before := slices.Concat(contents(t, nw), contents(t, nb))
		_, err := open(c.raw, gorgonia.Nodes{nw, nb}, c.opt)
		if !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %v", c.name, err, c.is)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", c.name, err, s)
			}
		}
		if !slices.Equal(slices.Concat(contents(t, nw), contents(t, nb)), before) {
			t.Errorf("%s: the weights changed", c.name)
		}
	}
}

// TestBadNodes: nodes that cannot take weights are refused by name.
func TestBadNodes(t *testing.T) {
	g, x, w, b := small()
	shared := leaf(g, "fc.w", 2, 3)
	turned := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking(make([]float32, 6)))
	must(0, turned.T())
	sliced := must(tensor.New(tensor.WithShape(4, 4), tensor.WithBacking(make([]float32, 16))).Slice(tensor.S(0, 2), tensor.S(1, 4)))
	valued := func(name string, v tensor.Tensor) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(2, 3), gorgonia.WithName(name), gorgonia.WithValue(v))
	}
	for _, c := range []struct {
		name  string
		nodes gorgonia.Nodes
		says  string
	}{
		{"nil", gorgonia.Nodes{w, nil}, "node 1 is nil"},
		{"result", gorgonia.Nodes{gorgonia.Must(gorgonia.Mul(x, w))}, "computed"},
		{"constant", gorgonia.Nodes{gorgonia.NewConstant(float32(3), gorgonia.In(g), gorgonia.WithName("three"))}, "three"},
		{"no name", gorgonia.Nodes{gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(4))}, "WithName"},
		{"two of a name", gorgonia.Nodes{w, b, shared}, `"fc.w"`},
		{"integers", gorgonia.Nodes{gorgonia.NewVector(g, tensor.Int, gorgonia.WithShape(4), gorgonia.WithName("labels"))}, "labels"},
		{"turned", gorgonia.Nodes{valued("turned", turned)}, "row by row"},
		{"sliced", gorgonia.Nodes{valued("sliced", sliced)}, "row by row"},
	} {
		if _, err := open(file(), c.nodes, Options{}); !errors.Is(err, ErrNodes) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want ErrNodes with %q", c.name, err, c.says)
		}
		if err := Write(failing{}, c.nodes, WriteOptions{}); !errors.Is(err, ErrNodes) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: save: %v, want ErrNodes with %q", c.name, err, c.says)
		}
	}
	vector := Options{Transpose: []string{"v"}}
	if _, err := open(file(f32("v", []int{2}, 1, 2)), gorgonia.Nodes{leaf(g, "v", 2)}, vector); !errors.Is(err, ErrOptions) {
		t.Errorf("transposed vector: %v, want ErrOptions", err)
	}
}

// failing is a full disk.
type failing struct{}

var errFull = errors.New("disk full")

func (failing) Write([]byte) (int, error)         { return 0, errFull }
func (failing) ReadAt([]byte, int64) (int, error) { return 0, errFull }

func TestBadDisk(t *testing.T) {
	_, _, w, _ := small()
	if _, err := Read(failing{}, 1000, gorgonia.Nodes{w}, Options{}); !errors.Is(err, errFull) {
		t.Errorf("load: %v", err)
	}
	if err := Write(failing{}, gorgonia.Nodes{w}, WriteOptions{}); !errors.Is(err, errFull) {
		t.Errorf("save: %v", err)
	}
}
