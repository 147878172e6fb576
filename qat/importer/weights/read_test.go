package weights

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/safetensors"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestLoad(t *testing.T) {
	g, x, w, b := small()
	before := contents(t, w)
	raw := file(f32("fc.w", []int{2, 3}, 1, 2, 3, 4, 5, 6), f32("fc.b", []int{1, 3}, 7, 8, 9))
	r, err := open(raw, Leaves(g, x), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(contents(t, w), []float32{1, 2, 3, 4, 5, 6}) || !slices.Equal(contents(t, b), []float32{7, 8, 9}) {
		t.Errorf("loaded %v and %v", contents(t, w), contents(t, b))
	}
	if &before[0] != &contents(t, w)[0] {
		t.Error("the node has other memory now: graphs that share it would not see the weights")
	}
	want := Report{Loaded: []Match{{"fc.b", "fc.b", "F32"}, {"fc.w", "fc.w", "F32"}}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("report %+v, want %+v", r, want)
	}
}

// TestConversions: numbers whose bits are known, in all types, into nodes of both.
func TestConversions(t *testing.T) {
	const third = 1.0 / 3
	for _, c := range []struct {
		name string
		spec spec
		want []float64 // as float64
	}{
		{"F32", f32("p", []int{3}, 1, -0.1, 0x1p-149), []float64{1, float64(float32(-0.1)), 0x1p-149}},
		{"F16", bits16("p", safetensors.F16, []int{3}, 0x3c00, 0xc500, 0x0001), []float64{1, -5, 0x1p-24}},
		{"BF16", bits16("p", safetensors.BF16, []int{3}, 0x3f80, 0xc0a0, 0x0001), []float64{1, -5, 0x1p-133}},
		{"F64", f64("p", []int{3}, 1, -5, third), []float64{1, -5, third}},
	} {
		g := gorgonia.NewGraph()
		n32 := leaf(g, "p", 3)
		if _, err := open(file(c.spec), gorgonia.Nodes{n32}, Options{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		n64 := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithShape(3), gorgonia.WithName("p"))
		if _, err := open(file(c.spec), gorgonia.Nodes{n64}, Options{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i, want := range c.want {
			if got := contents(t, n32)[i]; got != float32(want) {
				t.Errorf("%s: float32 element %d is %v, want %v", c.name, i, got, want)
			}
			if got := n64.Value().Data().([]float64)[i]; got != want {
				t.Errorf("%s: float64 element %d is %v, want %v", c.name, i, got, want)
			}
		}
	}
}

// TestNodeKinds: scalars, nodes without a value, vectors of one element.
func TestNodeKinds(t *testing.T) {
	g := gorgonia.NewGraph()
	valued := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("a"), gorgonia.WithValue(float32(9)))
	wide := gorgonia.NewScalar(g, tensor.Float64, gorgonia.WithName("b"), gorgonia.WithValue(9.0))
	empty := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("c"))
	emptyWide := gorgonia.NewScalar(g, tensor.Float64, gorgonia.WithName("d"))
	single := leaf(g, "e", 1)
	fresh := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("f"), gorgonia.WithShape(2, 1))
	freshWide := gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithName("g"), gorgonia.WithShape(1, 2))
	pointer := valued.Value()
	raw := file(f32("a", nil, 1), f32("b", nil, 2), f32("c", nil, 3), f32("d", nil, 4),
		f32("e", []int{1}, 5), f32("f", []int{2, 1}, 6, 7), f32("g", []int{1, 2}, 8, 9))
	if _, err := open(raw, Leaves(g), Options{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		n    *gorgonia.Node
		want any
	}{
		{valued, float32(1)}, {wide, 2.0}, {empty, float32(3)}, {emptyWide, 4.0},
		{single, []float32{5}}, {fresh, []float32{6, 7}}, {freshWide, []float64{8, 9}},
	} {
		if got := c.n.Value().Data(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("node %q holds %v, want %v", c.n.Name(), got, c.want)
		}
		if s := c.n.Value().Shape(); !s.Eq(c.n.Shape()) {
			t.Errorf("node %q of shape %v holds a value of shape %v", c.n.Name(), c.n.Shape(), s)
		}
	}
	if valued.Value() != pointer {
		t.Error("a scalar has other memory now")
	}
}

func TestLeaves(t *testing.T) {
	g, x, w, b := small()
	labels := gorgonia.NewVector(g, tensor.Int, gorgonia.WithShape(4), gorgonia.WithName("labels"))
	unnamed := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(4))
	constant := gorgonia.NewConstant(float32(3), gorgonia.In(g), gorgonia.WithName("three"))
	y := gorgonia.Must(gorgonia.Mul(x, w))
	if got := Leaves(g, x); !slices.Equal(got, gorgonia.Nodes{w, b}) {
		t.Errorf("leaves %v: want fc.w and fc.b, without %v, %v, %v, %v", got, labels, unnamed, constant, y)
	}
	if got := Leaves(g); !slices.Equal(got, gorgonia.Nodes{x, w, b}) {
		t.Errorf("leaves %v, want x too", got)
	}
	if Leaves(nil) != nil {
		t.Error("no graph has leaves")
	}
}

// TestNames: rules for names, and shapes that fit in other ways.
func TestNames(t *testing.T) {
	w, b := f32("fc.w", []int{2, 3}, 1, 2, 3, 4, 5, 6), f32("fc.b", []int{1, 3}, 7, 8, 9)
	named := func(s spec, name string, shape ...int) spec {
		s.name = name
		if shape != nil {
			s.shape = shape
		}
		return s
	}
	turned := f32("fc.w", []int{3, 2}, 1, 4, 2, 5, 3, 6)
	extra := f32("head.w", []int{1}, 0)
	for _, c := range []struct {
		name    string
		file    []spec
		opt     Options
		skipped []string
		missing []string
		extra   []string
	}{
		{name: "same", file: []spec{w, b}},
		{name: "exact", file: []spec{named(w, "a"), named(b, "b")}, opt: Options{Names: map[string]string{"a": "fc.w", "b": "fc.b"}}},
		{name: "swapped", file: []spec{named(w, "fc.b"), named(b, "fc.w")}, opt: Options{Names: map[string]string{"fc.w": "fc.b", "fc.b": "fc.w"}}},
		{name: "prefix", file: []spec{named(w, "m.fc.w"), named(b, "m.fc.b")}, opt: Options{Prefixes: map[string]string{"m.": ""}}},
		{name: "new prefix", file: []spec{named(w, "w"), named(b, "b")}, opt: Options{Prefixes: map[string]string{"": "fc."}}},
		{name: "longest prefix", file: []spec{named(w, "m.x.w"), named(b, "m.fc.b")}, opt: Options{Prefixes: map[string]string{"m.": "", "m.x.": "fc.", "": "no."}}},
		{name: "exact before prefix", file: []spec{named(w, "m.w"), named(b, "m.fc.b")},
			opt: Options{Names: map[string]string{"m.w": "fc.w"}, Prefixes: map[string]string{"m.": ""}}},
		{name: "skip a name", file: []spec{w, b, extra}, opt: Options{Skip: []string{"head.w"}}, skipped: []string{"head.w"}},
		{name: "skip a prefix", file: []spec{w, b, extra}, opt: Options{Skip: []string{"head.*"}}, skipped: []string{"head.w"}},
		{name: "skip a suffix", file: []spec{w, b, extra}, opt: Options{Skip: []string{"*ead.w"}}, skipped: []string{"head.w"}},
		{name: "skip a part", file: []spec{w, b, extra}, opt: Options{Skip: []string{"*ead*"}}, skipped: []string{"head.w"}},
		{name: "counter", file: []spec{w, b, {"bn.num_batches_tracked", safetensors.I64, nil, make([]byte, 8)}}, skipped: []string{"bn.num_batches_tracked"}},
		{name: "unexpected", file: []spec{w, b, extra}, opt: Options{AllowUnexpected: true}, extra: []string{"head.w"}},
		{name: "missing", file: []spec{w}, opt: Options{AllowMissing: true}, missing: []string{"fc.b"}},
		{name: "transposed", file: []spec{turned, b}, opt: Options{Transpose: []string{"fc.w"}}},
		{name: "unit axes", file: []spec{named(w, "fc.w", 1, 2, 1, 3), named(b, "fc.b", 3)}, opt: Options{UnitAxes: true}},
	} {
		_, _, nw, nb := small()
		r, err := open(file(c.file...), gorgonia.Nodes{nw, nb}, c.opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.Equal(contents(t, nw), []float32{1, 2, 3, 4, 5, 6}) {
			t.Errorf("%s: fc.w is %v", c.name, contents(t, nw))
		}
		bias := []float32{7, 8, 9}
		if c.missing != nil {
			bias = []float32{100, 101, 102} // as it was
		}
		if !slices.Equal(contents(t, nb), bias) {
			t.Errorf("%s: fc.b is %v, want %v", c.name, contents(t, nb), bias)
		}
		if !slices.Equal(r.Skipped, c.skipped) || !slices.Equal(r.Missing, c.missing) || !slices.Equal(r.Unexpected, c.extra) {
			t.Errorf("%s: report %v", c.name, r)
		}
	}
}

func TestFiles(t *testing.T) {
	_, _, w, b := small()
	nodes := gorgonia.Nodes{w, b}
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := WriteFile(path, nodes, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	clear(contents(t, w))
	if r, err := ReadFile(path, nodes, Options{}); err != nil || len(r.Loaded) != 2 {
		t.Errorf("%v, %v", r, err)
	}
	if contents(t, w)[5] != 105 {
		t.Errorf("loaded %v", contents(t, w))
	}
	if _, err := ReadFile(path+"x", nodes, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path, nodes, Options{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), path) {
		t.Errorf("damaged file: %v, want ErrFormat with the path", err)
	}
	if err := WriteFile(filepath.Join(path, "x"), nodes, WriteOptions{}); err == nil {
		t.Error("saved below a file as if it were a folder")
	}
}

// TestReportText: lists and names of a hostile file are cut.
func TestReportText(t *testing.T) {
	var specs []spec
	for i := range 30 {
		specs = append(specs, f32(strings.Repeat("x", 300+i), []int{1}, 0))
	}
	_, _, w, b := small()
	r, err := open(file(specs...), gorgonia.Nodes{w, b}, Options{})
	if !errors.Is(err, ErrWeights) || len(r.Unexpected) != 30 || !slices.Equal(r.Missing, []string{"fc.b", "fc.w"}) {
		t.Fatalf("%v: %v", r, err)
	}
	for _, text := range []string{err.Error(), r.String()} {
		if !strings.Contains(text, `"fc.b", "fc.w"`) || !strings.Contains(text, "and 20 more") || len(text) > 4000 {
			t.Errorf("%d bytes: %s", len(text), text)
		}
	}
}

// FuzzRead: no file makes Read panic; what loads is finite and saves and loads again
// the same, and what does not changes nothing.
func FuzzRead(f *testing.F) {
	good := file(f32("fc.w", []int{2, 3}, 1, 2, 3, 4, 5, 6), bits16("fc.b", safetensors.F16, []int{1, 3}, 1, 2, 3))
	f.Add(good, false)
	f.Add(good, true)
	f.Add(good[:len(good)-3], false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, raw []byte, loose bool) {
		_, _, w, b := small()
		nodes := gorgonia.Nodes{w, b}
		opt := Options{UnitAxes: loose, AllowMissing: loose, AllowUnexpected: loose}
		before := slices.Concat(contents(t, w), contents(t, b))
		_, err := open(raw, nodes, opt)
		after := slices.Concat(contents(t, w), contents(t, b))
		if err != nil {
			if !slices.Equal(before, after) {
				t.Fatal("an error, and the weights changed")
			}
			return
		}
		for _, x := range after {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				t.Fatalf("loaded %v", x)
			}
		}
		var again bytes.Buffer
		must(0, Write(&again, nodes, WriteOptions{}))
		clear(contents(t, w))
		if _, err := open(again.Bytes(), nodes, Options{}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(slices.Concat(contents(t, w), contents(t, b)), after) {
			t.Fatal("saved and loaded weights differ")
		}
	})
}
