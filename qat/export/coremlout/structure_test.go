package coremlout

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
	"google.golang.org/protobuf/proto"
)

// written exports a network and opens the package.
func written(t *testing.T, n *frozen.Network, opt Options) *program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.mlpackage")
	if err := WriteDir(path, n, opt); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// find returns the operations of one type.
func (p *program) find(kind string) []*mlpb.Operation {
	var list []*mlpb.Operation
	for _, op := range p.block.Operations {
		if op.Type == kind {
			list = append(list, op)
		}
	}
	return list
}

// TestStorage looks at how weights of each format are stored.
func TestStorage(t *testing.T) {
	int4, int8, uint4, uint8 := mlpb.DataType_INT4, mlpb.DataType_INT8, mlpb.DataType_UINT4, mlpb.DataType_UINT8
	for _, c := range []struct {
		spec  *fakequant.Spec
		dtype mlpb.DataType
		scale []int
		zero  bool
	}{
		{frozentest.PerTensor(8), int8, []int{1, 1, 1, 1}, false},
		{frozentest.PerTensor(2), int4, []int{1, 1, 1, 1}, false},
		{frozentest.PerChannel(3, 0), int4, []int{6, 1, 1, 1}, false},
		{frozentest.PerChannel(5, 0), int8, []int{6, 1, 1, 1}, false},
		{frozentest.PerBlock(4, 1, 4), int4, []int{6, 2, 1, 1}, false},
		{frozentest.PerBlock(8, 1, 6), int8, []int{6, 4, 1, 1}, false}, // 6 and 2 become 2, 2, 2 and 2
		{frozentest.Affine(frozentest.PerChannel(4, 0), true), uint4, []int{6, 1, 1, 1}, true},
		{frozentest.Affine(frozentest.PerBlock(7, 1, 2), false), int8, []int{6, 4, 1, 1}, true},
		{&fakequant.Spec{Unsigned: true}, uint8, []int{1, 1, 1, 1}, true}, // symmetric, in the middle
	} {
		t.Run(c.spec.String(), func(t *testing.T) {
			m := frozentest.New(t)
			n := convNet(frozentest.ConvOf(1, 1, 1), frozentest.I8, c.spec, frozentest.I8, nil, false)(m)
			p := written(t, n, Options{})
			op := p.find(blockwise)[0]
			get := func(name string) tensor { return p.value(op.Inputs[name].Arguments[0].GetValue()) }
			data, scale := get("data"), get("scale")
			if data.dtype != c.dtype || !slices.Equal(data.shape, []int{6, 8, 3, 2}) || scale.dtype != mlpb.DataType_FLOAT32 || !slices.Equal(scale.shape, c.scale) {
				t.Errorf("data %v, scale %v", data, scale)
			}
			codes, err := n.Tensors[1].Codes()
			if err != nil {
				t.Fatal(err)
			}
			for i, q := range codes {
				if data.data[i] != float32(q) {
					t.Fatalf("code %d is %v, want %d", i, data.data[i], q)
				}
			}
			if _, has := op.Inputs["offset"]; has != c.zero {
				t.Errorf("offset is there: %v, want %v", has, c.zero)
			}
		})
	}
}

// TestAffineStorage is the same for iOS 17: scalars or vectors, and always a zero point.
func TestAffineStorage(t *testing.T) {
	for _, c := range []struct {
		spec  *fakequant.Spec
		scale []int
	}{{frozentest.PerTensor(8), []int{}}, {frozentest.PerChannel(6, 0), []int{6}}, {frozentest.Affine(frozentest.PerChannel(8, 0), true), []int{6}}, {frozentest.PerBlock(8, 1, 8), []int{6}}} {
		m := frozentest.New(t)
		p := written(t, convNet(frozentest.ConvOf(1, 1, 1), nil, c.spec, nil, nil, false)(m), Options{Target: IOS17})
		op := p.find(affineOp)[0]
		if s := p.value(op.Attributes["scale"]); !slices.Equal(s.shape, c.scale) {
			t.Errorf("%v: scale %v", c.spec, s)
		}
		if a := p.value(op.Attributes["axis"]); a.data[0] != 0 || len(a.shape) != 0 {
			t.Errorf("%v: axis %v", c.spec, a)
		}
	}
}

// TestZeroPoints: those of 0 are left out, and the type goes with the codes.
func TestZeroPoints(t *testing.T) {
	for _, c := range []struct {
		spec  *fakequant.Spec
		zero  bool
		dtype string
	}{{frozentest.I8, false, "int8"}, {frozentest.U8, false, "uint8"}, {frozentest.U8Affine, true, "uint8"}, {frozentest.I8Affine, true, "int8"}} {
		m := frozentest.New(t)
		act := frozentest.ReLU()
		if c.zero {
			act = nil
		}
		p := written(t, convNet(frozentest.ConvOf(1, 1, 1), nil, frozentest.PerTensor(8), c.spec, act, false)(m), Options{})
		p.run(m.Feed(&frozen.Network{Inputs: []int{0}, Tensors: []frozen.Tensor{{Shape: []int{1, 8, 7, 6}}}}, 1)...)
		op := p.find("quantize")[0]
		if _, has := op.Inputs["zero_point"]; has != c.zero {
			t.Errorf("%v: zero point is there: %v, want %v", c.spec, has, c.zero)
		}
		if got := p.env[op.Inputs["output_dtype"].Arguments[0].GetName()].text; got != c.dtype {
			t.Errorf("%v: output_dtype %q", c.spec, got)
		}
	}
}

// TestMetadata: notes and texts travel along, and so do the names that were changed.
func TestMetadata(t *testing.T) {
	m := frozentest.New(t)
	n := namesNet(m)
	n.Notes = map[string]string{"accuracy": "98.5 %", "": "empty", "größe": "ß\n"}
	p := written(t, n, Options{Description: "d", Version: "v", Author: "a", License: "l"})
	meta := p.model.Description.Metadata
	if meta.ShortDescription != "d" || meta.VersionString != "v" || meta.Author != "a" || meta.License != "l" {
		t.Errorf("metadata %v", meta)
	}
	names := map[string]string{}
	if err := json.Unmarshal([]byte(meta.UserDefined[namesKey]), &names); err != nil {
		t.Fatal(err)
	}
	delete(meta.UserDefined, namesKey)
	if !maps.Equal(meta.UserDefined, n.Notes) {
		t.Errorf("user-defined metadata %q, want %q", meta.UserDefined, n.Notes)
	}
	// Every tensor is found again under its identifier.
	back := map[string]bool{}
	for _, name := range names {
		back[name] = true
	}
	for _, tensor := range n.Tensors {
		if legal := identifier(tensor.Name) == tensor.Name; !legal && !back[tensor.Name] {
			t.Errorf("no identifier for %q", tensor.Name)
		}
	}
	in, out := p.model.Description.Input, p.model.Description.Output
	if in[0].Name != "fp32_" || names["fp32_"] != "fp32" || in[1].Name != "fp32__2" || names["fp32__2"] != "fp32_" ||
		in[0].ShortDescription != "fp32" || out[0].Name != "true_out" || out[0].ShortDescription != "true.out" {
		t.Errorf("inputs %v, outputs %v", in, out)
	}
}

// TestInterfaceNames: inputs and outputs keep their names, whatever comes before them.
func TestInterfaceNames(t *testing.T) {
	m := frozentest.New(t)
	w, v := m.Weight("x.0", []int{3}, nil), m.Weight("y_out.", []int{3}, nil)
	x := m.Layer("a", frozen.Binary{Fn: "add"}, nil, nil, m.Input("x_0", []int{-1, 3}, nil), w)
	p := written(t, m.Net(m.Layer("y", frozen.Binary{Fn: "add"}, nil, nil, x, v)), Options{Compute: Float16})
	d := p.model.Description
	if d.Input[0].Name != "x_0" || d.Input[0].ShortDescription != "" || d.Output[0].Name != "y_out" {
		t.Errorf("description %v", d)
	}
}

// TestLargeConstants: small constants are in the program, large ones in the file.
func TestLargeConstants(t *testing.T) {
	for size, inFile := range map[int]bool{9: false, 10: true} {
		m := frozentest.New(t)
		x := m.Input("x", []int{-1, size}, nil)
		n := m.Net(m.Layer("add", frozen.Binary{Fn: "add"}, nil, nil, x, m.Weight("w", []int{size}, nil)))
		p := written(t, n, Options{})
		if len(p.used) != map[bool]int{true: 1}[inFile] {
			t.Errorf("%d elements: %d blobs", size, len(p.used))
		}
	}
}

// TestErrors: what a target lacks names the layer and the cure.
func TestErrors(t *testing.T) {
	conv := func(x, w, y *fakequant.Spec) func(*frozentest.Maker) *frozen.Network {
		return convNet(frozentest.ConvOf(1, 1, 1), x, w, y, nil, true)
	}
	for _, c := range []struct {
		name string
		net  func(*frozentest.Maker) *frozen.Network
		opt  Options
		want []string
	}{
		{"4 bits", conv(nil, frozentest.PerChannel(4, 0), nil), Options{Target: IOS17}, []string{`layer "conv"`, `"conv.weight"`, "int4", "Target IOS18"}},
		{"2 bits", conv(nil, frozentest.PerTensor(2), nil), Options{Target: IOS16}, []string{`layer "conv"`, "Target IOS18"}},
		{"blocks", conv(nil, frozentest.PerBlock(8, 1, 4), nil), Options{Target: IOS17}, []string{`layer "conv"`, `"conv.weight"`, "per channel", "Target IOS18"}},
		{"single elements", conv(nil, frozentest.PerBlock(8, 1, 1), nil), Options{Target: IOS16}, []string{`layer "conv"`, "Target IOS18"}},
		{"input below iOS17", conv(frozentest.I8, frozentest.PerTensor(8), nil), Options{Target: IOS16}, []string{`tensor "x"`, "IOS17"}},
		{"result below iOS17", conv(nil, frozentest.PerTensor(8), frozentest.I8), Options{Target: IOS16}, []string{`layer "conv"`, `"conv.out"`, "IOS17"}},
		{"blocks of no common size", conv(nil, frozentest.PerBlock(8, 1, 3), nil), Options{}, []string{`layer "conv"`, `"conv.weight"`, "divides 8"}},
		{"many axes", layerNet(frozen.Reshape{Shape: []int{-1, 2, 3, 2, 2, 2, 2}}, nil), Options{}, []string{`layer "layer"`, "reshape"}},
		{"input of many axes", func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("layer", frozen.Reshape{Shape: []int{-1, 6}}, nil, nil, m.Input("x", []int{-1, 1, 1, 1, 2, 3}, nil)))
		}, Options{}, []string{`tensor "x"`, "1 to 5 axes"}},
		{"huge stride", layerNet(frozen.Pool{Kernel: [2]int{4, 4}, Stride: [2]int{math.MaxInt, 1}}, nil), Options{}, []string{`layer "layer"`, "32 bits"}},
		{"even lrn", layerNet(frozen.LRN{Size: 4, Alpha: 1, Beta: 1, Bias: 1}, nil), Options{}, []string{`layer "layer"`, "odd"}},
		{"large for float16", func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("layer", frozen.Binary{Fn: "mul"}, nil, nil, m.Input("x", []int{2}, nil), m.Values("w", []int{2}, []float32{1, 65520}, nil)))
		}, Options{Compute: Float16}, []string{`layer "layer"`, "65520", "Float32"}},
		{"small for float16", func(m *frozentest.Maker) *frozen.Network {
			n := conv(frozentest.I8, frozentest.PerTensor(8), nil)(m)
			n.Tensors[1].Quant.Params.Scale[0] = 1e-9
			return n
		}, Options{Compute: Float16}, []string{`layer "conv"`, `"conv.weight"`, "Float32"}},
		{"computed statistics", func(m *frozentest.Maker) *frozen.Network {
			x, v := m.Input("x", []int{-1, 3}, nil), m.Input("v", []int{3}, nil)
			return m.Net(m.Layer("bn", frozen.BatchNorm{Eps: 1e9}, nil, nil, x, v, v, v, v))
		}, Options{}, []string{`layer "bn"`, `"v"`, "constant"}},
		{"computed weights", func(m *frozentest.Maker) *frozen.Network {
			o := frozentest.ConvOf(1, 0, 1)
			o.Dilation = [2]int{2, 1}
			return m.Net(m.Layer("conv", o, nil, nil, m.Input("x", []int{-1, 1, 4, 4}, nil), m.Input("w", []int{1, 1, 2, 2}, nil)))
		}, Options{}, []string{`layer "conv"`, "dilation"}},
		{"reflecting pad", layerNet(frozen.Pad{Before: []int{0, 0, 1, 1}, After: []int{0, 0, 1, 1}, Mode: "reflect"}, nil), Options{}, []string{"pad with mode reflect"}},
		{"pad of the edge", layerNet(frozen.Pad{Before: []int{0, 0, 1, 1}, After: []int{0, 0, 1, 1}, Mode: "edge"}, nil), Options{}, []string{"pad with mode edge"}},
		{"wrapping pad", layerNet(frozen.Pad{Before: []int{0, 0, 1, 1}, After: []int{0, 0, 1, 1}, Mode: "wrap"}, nil), Options{}, []string{"pad with mode wrap"}},
		{"wrong index", func(m *frozentest.Maker) *frozen.Network {
			n := constGatherNet(m)
			n.Tensors[n.Layers[0].Inputs[1]].Const.Values[0] = 5
			return n
		}, Options{}, []string{`layer "look"`, `"which"`, "-5 to 4"}},
		{"computed indices in float16", func(m *frozentest.Maker) *frozen.Network {
			i := m.Layer("floor", frozen.Unary{Fn: "floor"}, nil, nil, m.Input("x", []int{-1}, nil))
			return m.Net(m.Layer("look", frozen.Gather{}, nil, nil, m.Weight("table", []int{2049, 1}, nil), i))
		}, Options{Compute: Float16}, []string{`layer "look"`, "Float32"}},
		{"quantized scalar", func(m *frozentest.Maker) *frozen.Network {
			return m.Net(m.Layer("sum", frozen.Reduce{Fn: "sum", Axes: []int{0}}, nil, frozentest.I8, m.Input("x", []int{3}, nil)))
		}, Options{}, []string{`layer "sum"`, `"sum.out"`, "float"}},
		{"note with our name", func(m *frozentest.Maker) *frozen.Network {
			n := mlpNet(m)
			n.Notes = map[string]string{namesKey: ""}
			return n
		}, Options{}, []string{namesKey, "rename"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := frozentest.New(t)
			err := WriteDir(filepath.Join(t.TempDir(), "m.mlpackage"), c.net(m), c.opt)
			if !errors.Is(err, ErrUnsupported) {
				t.Fatalf("got %v, want ErrUnsupported", err)
			}
			for _, s := range c.want {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

// TestTargets: version, operation set and the text of each target.
func TestTargets(t *testing.T) {
	m := frozentest.New(t)
	n := convNet(frozentest.ConvOf(1, 1, 1), nil, frozentest.PerChannel(8, 0), nil, nil, true)(m)
	for target, version := range map[Target]int32{IOS16: 7, IOS17: 8, IOS18: 9} {
		p := written(t, n, Options{Target: target})
		if p.model.SpecificationVersion != version || fmt.Sprint(target) != "iOS"+fmt.Sprint(version+9) {
			t.Errorf("%v: version %d, want %d", target, p.model.SpecificationVersion, version)
		}
	}
	if got := fmt.Sprint(Target(7), Float16, Compute(9)); got != "Target(7) float16 Compute(9)" {
		t.Error(got)
	}
}

// TestUnchanged: an export only reads the network.
func TestUnchanged(t *testing.T) {
	for _, c := range slices.Concat(formatCases()[:13], layerCases()) {
		n, in := c.build(t)
		before, err := n.Run(in...)
		if err != nil {
			t.Fatal(err)
		}
		a, _, err := newModel(n, c.opt)
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := newModel(n, c.opt)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(a, b) {
			t.Errorf("%s: the second export differs", c.name)
		}
		// A fresh copy has no prepared constants.
		fresh := &frozen.Network{Tensors: n.Tensors, Layers: n.Layers, Inputs: n.Inputs, Outputs: n.Outputs}
		after, err := fresh.Run(in...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range before {
			if !slices.Equal(before[i], after[i]) {
				t.Errorf("%s: output %d changed", c.name, i)
			}
		}
	}
}
