package onnxout

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
	"google.golang.org/protobuf/proto"
)

func export(t testing.TB, n *frozen.Network, opt Options) *onnxpb.ModelProto {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, n, opt); err != nil {
		t.Fatal(err)
	}
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(b.Bytes(), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// goldenNet has numbers that are easy to follow: a 3-bit weight, an 8-bit one with a
// bias, an unsigned activation and a format below 8 bits.
func goldenNet(t testing.TB) *frozen.Network {
	m := frozentest.New(t)
	on := func(s *fakequant.Spec, scale ...float32) *frozen.Quant {
		return &frozen.Quant{Spec: *s, Params: fakequant.Params{Scale: scale, ZeroPoint: make([]int32, len(scale))}}
	}
	m.N.Notes = map[string]string{"accuracy": "98.5 %", "config": "{}"}
	x := m.Input("x", []int{-1, 2}, nil)
	m.N.Tensors[x].Quant = on(frozentest.I8, 0.5)
	constant := func(name string, shape []int, v []float32, q *frozen.Quant) int {
		c, err := frozen.NewConst(name, shape, v, q)
		if err != nil {
			t.Fatal(err)
		}
		return m.Add(c)
	}
	w := constant("fc1.weight", []int{2, 3}, []float32{1, 2, 3, -1, -2, -3}, on(frozentest.PerChannel(8, 1), 0.25, 0.5, 1))
	bias := constant("fc1.bias", []int{3}, []float32{1, -0.5, 0.3}, nil)
	h := m.Layer("fc1", frozen.MatMul{}, frozentest.ReLU(), nil, x, w, bias)
	m.N.Tensors[h].Quant = on(frozentest.U8, 0.125)
	v := constant("fc2.weight", []int{1, 3}, []float32{1, -3, 2}, on(frozentest.PerBlock(3, 1, 2), 1, 2))
	y := m.Layer("fc2", frozen.MatMul{TransB: true}, nil, nil, h, v)
	m.N.Tensors[y].Quant = on(frozentest.I6Narrow, 0.25)
	return m.Net(y)
}

const goldenText = `ir 10 opset 21 producer goqat graph goqat notes accuracy=98.5 % config={}
input x FLOAT [batch 2]
output fc2.out FLOAT [batch 1]
QuantizeLinear x/QuantizeLinear(x, x_scale, x_zero_point) -> x_quantized
DequantizeLinear x/DequantizeLinear(x_quantized, x_scale, x_zero_point) -> x_dequantized
DequantizeLinear fc1.weight_transposed/DequantizeLinear(fc1.weight_quantized, fc1.weight_scale, fc1.weight_zero_point) -> fc1.weight_transposed axis=0
DequantizeLinear fc1.bias_dequantized/DequantizeLinear(fc1.bias_quantized, fc1.bias_scale, fc1.bias_zero_point) -> fc1.bias_dequantized axis=0
Gemm fc1(x_dequantized, fc1.weight_transposed, fc1.bias_dequantized) -> fc1.out_before_relu transB=1
Relu fc1/relu(fc1.out_before_relu) -> fc1.out_float
QuantizeLinear fc1.out/QuantizeLinear(fc1.out_float, fc1.out_scale, fc1.out_zero_point) -> fc1.out_quantized
DequantizeLinear fc1.out/DequantizeLinear(fc1.out_quantized, fc1.out_scale, fc1.out_zero_point) -> fc1.out
DequantizeLinear fc2.weight/DequantizeLinear(fc2.weight_quantized, fc2.weight_scale, fc2.weight_zero_point) -> fc2.weight axis=1 block_size=2
Gemm fc2(fc1.out, fc2.weight) -> fc2.out_float transB=1
Clip fc2.out/Clip(fc2.out_float, fc2.out/Clip_min, fc2.out/Clip_max) -> fc2.out_clipped
QuantizeLinear fc2.out/QuantizeLinear(fc2.out_clipped, fc2.out_scale, fc2.out_zero_point) -> fc2.out_quantized
DequantizeLinear fc2.out/DequantizeLinear(fc2.out_quantized, fc2.out_scale, fc2.out_zero_point) -> fc2.out
x_scale FLOAT [] [0.5]
x_zero_point INT8 [] 00
fc1.weight_quantized INT8 [3 2] 04fc04fc03fd
fc1.weight_scale FLOAT [3] [0.25 0.5 1]
fc1.weight_zero_point INT8 [3] 000000
fc1.bias_quantized INT32 [3] 08000000feffffff01000000
fc1.bias_scale FLOAT [3] [0.125 0.25 0.5]
fc1.bias_zero_point INT32 [3] 000000000000000000000000
fc1.out_scale FLOAT [] [0.125]
fc1.out_zero_point UINT8 [] 00
fc2.weight_quantized INT4 [1 3] d101
fc2.weight_scale FLOAT [1 2] [1 2]
fc2.weight_zero_point INT4 [1 2] 00
fc2.out/Clip_min FLOAT [] [-7.75]
fc2.out/Clip_max FLOAT [] [7.75]
fc2.out_scale FLOAT [] [0.25]
fc2.out_zero_point INT8 [] 00
`

func TestGolden(t *testing.T) {
	if got := text(export(t, goldenNet(t), Options{Bias: BiasInt32})); got != goldenText {
		t.Errorf("got:\n%s\nwant:\n%s", got, goldenText)
	}
}

// text describes a model, one thing per line.
func text(m *onnxpb.ModelProto) string {
	var b strings.Builder
	g := m.Graph
	fmt.Fprintf(&b, "ir %d opset %d producer %s graph %s notes", m.GetIrVersion(), m.OpsetImport[0].GetVersion(), m.GetProducerName(), g.GetName())
	for _, e := range m.MetadataProps {
		fmt.Fprintf(&b, " %s=%s", e.GetKey(), e.GetValue())
	}
	fmt.Fprintln(&b)
	for _, io := range []struct {
		name string
		list []*onnxpb.ValueInfoProto
	}{{"input", g.Input}, {"output", g.Output}} {
		for _, v := range io.list {
			tt := v.Type.GetTensorType()
			fmt.Fprintln(&b, io.name, v.GetName(), onnxpb.TensorProto_DataType(tt.GetElemType()), dims(tt.Shape))
		}
	}
	for _, n := range g.Node {
		fmt.Fprintf(&b, "%s %s(%s) -> %s", n.GetOpType(), n.GetName(), strings.Join(n.Input, ", "), n.Output[0])
		for _, a := range n.Attribute {
			if a.GetType() == onnxpb.AttributeProto_FLOAT {
				fmt.Fprintf(&b, " %s=%v", a.GetName(), a.GetF())
				continue
			}
			fmt.Fprintf(&b, " %s=%d", a.GetName(), a.GetI())
		}
		fmt.Fprintln(&b)
	}
	for _, c := range g.Initializer {
		dtype := onnxpb.TensorProto_DataType(c.GetDataType())
		fmt.Fprint(&b, c.GetName(), " ", dtype, " ", c.Dims, " ")
		if dtype != onnxpb.TensorProto_FLOAT {
			fmt.Fprintf(&b, "%x\n", c.RawData)
			continue
		}
		fmt.Fprintln(&b, float32s(c.RawData))
	}
	return b.String()
}

func float32s(raw []byte) []float32 {
	v := make([]float32, len(raw)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return v
}

func dims(s *onnxpb.TensorShapeProto) []string {
	var out []string
	for _, d := range s.Dim {
		switch v := d.Value.(type) {
		case *onnxpb.TensorShapeProto_Dimension_DimParam:
			out = append(out, v.DimParam)
		case *onnxpb.TensorShapeProto_Dimension_DimValue:
			out = append(out, fmt.Sprint(v.DimValue))
		default:
			out = append(out, "?")
		}
	}
	return out
}

// TestRules checks, for all networks, what the format and the runtimes ask of every
// file, whatever the layers.
func TestRules(t *testing.T) {
	for _, c := range allCases() {
		t.Run(c.name, func(t *testing.T) {
			c.opt.ExternalAbove = 0
			g := export(t, c.make(frozentest.New(t)), c.opt).Graph
			have, nodes := map[string]bool{}, map[string]bool{}
			consts := map[string]*onnxpb.TensorProto{}
			for _, x := range g.Initializer {
				consts[x.GetName()] = x
				define(t, have, x.GetName())
			}
			for _, x := range g.Input {
				define(t, have, x.GetName())
			}
			used := map[string]bool{}
			grids := map[string]string{} // scale and zero point of values that are on a grid
			for _, n := range g.Node {
				define(t, nodes, n.GetName())
				checkPairs(t, n, consts, grids)
				for _, in := range n.Input {
					if in != "" && !have[in] { // an operand that is left out has no name
						t.Errorf("%s reads %q before it exists", n.GetName(), in)
					}
					used[in] = true
				}
				define(t, have, n.Output[0])
				if strings.HasSuffix(n.GetOpType(), "quantizeLinear") || n.GetOpType() == "QuantizeLinear" {
					checkQuantParams(t, n, consts)
				}
			}
			for name := range consts {
				if !used[name] {
					t.Errorf("initializer %q is not used", name)
				}
			}
		})
	}
}

// checkPairs wants no QuantizeLinear of values that are on its grid already, because they
// were only moved behind a DequantizeLinear.
func checkPairs(t *testing.T, n *onnxpb.NodeProto, consts map[string]*onnxpb.TensorProto, grids map[string]string) {
	t.Helper()
	grid := func() string {
		return fmt.Sprintf("%x %x", consts[n.Input[1]].GetRawData(), consts[n.Input[2]].GetRawData())
	}
	switch n.GetOpType() {
	case "DequantizeLinear":
		if consts[n.Input[0]] == nil {
			grids[n.Output[0]] = grid()
		}
	case "Gather":
		if consts[n.Input[1]] != nil { // not indices that come in
			grids[n.Output[0]] = grids[n.Input[0]]
		}
	case "Clip", "Concat", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose":
		if g := grids[n.Input[0]]; n.GetOpType() != "Concat" || !slices.ContainsFunc(n.Input, func(in string) bool { return grids[in] != g }) {
			grids[n.Output[0]] = g
		}
	case "QuantizeLinear":
		if grids[n.Input[0]] == grid() {
			t.Errorf("%s rounds to a grid what is on it", n.GetName())
		}
	}
}

func define(t *testing.T, have map[string]bool, name string) {
	t.Helper()
	if have[name] || name == "" {
		t.Errorf("name %q is empty or given twice", name)
	}
	have[name] = true
}

// checkQuantParams wants constant scales and explicit zero points of the data's type
// and the scale's shape, and a scale shape that fits the data.
func checkQuantParams(t *testing.T, n *onnxpb.NodeProto, consts map[string]*onnxpb.TensorProto) {
	t.Helper()
	if len(n.Input) != 3 || consts[n.Input[1]] == nil || consts[n.Input[2]] == nil {
		t.Errorf("%s has inputs %q: want a constant scale and a constant zero point", n.GetName(), n.Input)
		return
	}
	scale, zero := consts[n.Input[1]], consts[n.Input[2]]
	if !slices.Equal(scale.Dims, zero.Dims) {
		t.Errorf("%s: scale %v, zero point %v", n.GetName(), scale.Dims, zero.Dims)
	}
	x := consts[n.Input[0]]
	if x == nil {
		if len(scale.Dims) != 0 {
			t.Errorf("%s: an activation has scales %v", n.GetName(), scale.Dims)
		}
		return
	}
	if x.GetDataType() != zero.GetDataType() {
		t.Errorf("%s: data type %d, zero point %d", n.GetName(), x.GetDataType(), zero.GetDataType())
	}
	axis, block := int64(-1), int64(0)
	for _, a := range n.Attribute {
		switch a.GetName() {
		case "axis":
			axis = a.GetI()
		case "block_size":
			block = a.GetI()
		}
	}
	var want []int64
	switch {
	case block > 0:
		want = slices.Clone(x.Dims)
		want[axis] = (want[axis] + block - 1) / block
	case axis >= 0:
		want = x.Dims[axis : axis+1]
	}
	if !slices.Equal(scale.Dims, want) {
		t.Errorf("%s: scale %v for data %v, axis %d, block %d, want %v", n.GetName(), scale.Dims, x.Dims, axis, block, want)
	}
}

// TestWeightsSurvive dequantizes the stored integers as the ONNX standard says and
// wants the network's values, bit for bit, also in the other layout.
func TestWeightsSurvive(t *testing.T) {
	image, matrix := []int{4, 6, 3, 2}, []int{6, 5}
	for _, c := range []struct {
		spec  *fakequant.Spec
		shape []int
	}{
		{frozentest.PerTensor(8), image}, {frozentest.PerChannel(4, 0), image}, {frozentest.PerChannel(8, -1), image}, {frozentest.PerBlock(8, 1, 4), image}, {frozentest.PerBlock(4, 1, 6), image},
		{frozentest.PerBlock(3, 0, 3), image}, {frozentest.PerBlock(2, 3, 1), image}, {frozentest.Affine(frozentest.PerBlock(4, 1, 4), true), image}, {frozentest.Affine(frozentest.PerChannel(8, 2), false), image},
		{frozentest.Affine(frozentest.PerTensor(5), true), image},
		{frozentest.PerTensor(3), matrix}, {frozentest.PerChannel(8, 0), matrix}, {frozentest.PerChannel(4, 1), matrix}, {frozentest.Affine(frozentest.PerChannel(4, 1), true), matrix},
		{frozentest.PerBlock(4, 0, 4), matrix}, {frozentest.PerBlock(8, 1, 2), matrix}, {frozentest.Affine(frozentest.PerBlock(8, 1, 2), true), matrix}, {frozentest.PerBlock(4, 0, 6), matrix},
		{frozentest.PerBlock(4, 0, 2), []int{5}}, {frozentest.PerBlock(4, 0, 5), []int{5}},
	} {
		t.Run(fmt.Sprint(c.spec, c.shape), func(t *testing.T) {
			m := frozentest.New(t)
			tensor := &m.N.Tensors[m.Weight("w", c.shape, c.spec)]
			w, err := weightOf(tensor)
			if err != nil {
				t.Fatal(err)
			}
			want, err := tensor.Values()
			if err != nil {
				t.Fatal(err)
			}
			sameWeight(t, w, want)
			if len(c.shape) != 2 {
				return
			}
			if err := w.transpose(tensor); err != nil {
				t.Fatal(err)
			}
			sameWeight(t, w, swap(want, c.shape[0], c.shape[1]))
		})
	}
}

func sameWeight(t *testing.T, w *weight, want []float32) {
	t.Helper()
	packed := w.dtype() == onnxpb.TensorProto_INT4 || w.dtype() == onnxpb.TensorProto_UINT4
	for i, v := range want {
		var q int32
		switch {
		case packed && w.spec.Unsigned:
			q = int32(w.raw[i/2] >> (i % 2 * 4) & 15)
		case packed:
			q = int32(int8(w.raw[i/2]>>(i%2*4)<<4) >> 4)
		case w.spec.Unsigned:
			q = int32(w.raw[i])
		default:
			q = int32(int8(w.raw[i]))
		}
		k := scaleIndex(w, i)
		if got := float32(q-w.zero[k]) * w.scale[k]; got != v {
			t.Fatalf("element %d is %v, want %v", i, got, v)
		}
	}
}

// scaleIndex is the scale of element i by the rules of DequantizeLinear.
func scaleIndex(w *weight, i int) int {
	index := make([]int, len(w.shape))
	for a := len(w.shape) - 1; a >= 0; a-- {
		index[a] = i % w.shape[a]
		i /= w.shape[a]
	}
	switch {
	case len(w.scaleShape) == 0:
		return 0
	case w.block == 0:
		return index[w.axis]
	}
	index[w.axis] /= w.block
	at := 0
	for a, d := range w.scaleShape {
		at = at*d + index[a]
	}
	return at
}
