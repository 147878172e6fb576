package frozen

import (
	"math"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
)

// at returns the named tensor of a network that the test is about to break.
func at(n *Network, name string) *Tensor {
	for i := range n.Tensors {
		if n.Tensors[i].Name == name {
			return &n.Tensors[i]
		}
	}
	panic("no tensor " + name)
}

func layerOf(n *Network, name string) *Layer {
	for i := range n.Layers {
		if n.Layers[i].Name == name {
			return &n.Layers[i]
		}
	}
	panic("no layer " + name)
}

func indexOf(n *Network, name string) int {
	for i := range n.Tensors {
		if n.Tensors[i].Name == name {
			return i
		}
	}
	panic("no tensor " + name)
}

// Every way to contradict oneself, each from the sample network.
var brokenNetworks = []struct {
	name string
	do   func(n *Network)
	want string
}{
	{"no layers", func(n *Network) { n.Layers = nil }, "tensors and 0 layers, want at least one of each"},
	{"unnamed tensor", func(n *Network) { n.Tensors[3].Name = "" }, "tensor 3 has no name"},
	{"unnamed layer", func(n *Network) { n.Layers[3].Name = "" }, "layer 3 has no name"},
	{"name not UTF-8", func(n *Network) { n.Tensors[0].Name = "a\xff" }, `the name "a\xff" is not valid UTF-8`},
	{"two tensors of a name", func(n *Network) { n.Tensors[1].Name = "image" }, `two tensors have the name "image"`},
	{"two layers of a name", func(n *Network) { n.Layers[1].Name = "stem" }, `two layers have the name "stem"`},
	{"note not UTF-8", func(n *Network) { n.Notes = map[string]string{"k": "\xfe"} }, `note "k": want valid UTF-8`},
	{"names that collide in a file", func(n *Network) { at(n, "stem.bias").Name = "fc.weight.scale" }, `tensors "fc.weight.scale" and "fc.weight" would both be stored as "fc.weight.scale": rename one`},
	{"reserved name", func(n *Network) { at(n, "stem.bias").Name = "__metadata__" }, `tensor name "__metadata__" is reserved`},

	{"no inputs", func(n *Network) { n.Inputs = nil }, "0 inputs and 1 outputs"},
	{"no outputs", func(n *Network) { n.Outputs = nil }, "1 inputs and 0 outputs"},
	{"input index", func(n *Network) { n.Inputs[0] = 99 }, "input 0: no tensor 99"},
	{"input twice", func(n *Network) { n.Inputs = []int{0, 0} }, `input "image" is a constant or given twice`},
	{"output index", func(n *Network) { n.Outputs[0] = -1 }, "output 0: no tensor -1"},
	{"orphan", func(n *Network) { n.Tensors = append(n.Tensors, Tensor{Name: "orphan", Shape: []int{1}}) }, `tensor "orphan" is no input, no constant and no layer's result`},
	{"layer input index", func(n *Network) { layerOf(n, "gap").Inputs[0] = 1000 }, `layer "gap": invalid frozen network: input 0: no tensor 1000`},
	{"layer output index", func(n *Network) { layerOf(n, "gap").Output = -3 }, `layer "gap": invalid frozen network: output: no tensor -3`},
	{"wrong order", func(n *Network) { n.Layers[0], n.Layers[1] = n.Layers[1], n.Layers[0] }, `layer "pool": invalid frozen network: reads tensor "stem.out" before any layer has written it`},
	{"reads itself", func(n *Network) { layerOf(n, "add").Inputs[1] = layerOf(n, "add").Output }, `layer "add": invalid frozen network: reads tensor "add.out" before`},
	{"two writers", func(n *Network) { layerOf(n, "dw").Output = indexOf(n, "pool.out") }, `layer "dw": invalid frozen network: writes tensor "pool.out", which is an input or another layer's result`},
	{"writes an input", func(n *Network) { layerOf(n, "dw").Output = 0 }, `layer "dw": invalid frozen network: writes tensor "image"`},
	{"writes a constant", func(n *Network) { layerOf(n, "dw").Output = indexOf(n, "dw.weight") }, `layer "dw": invalid frozen network: writes the constant "dw.weight"`},
	{"no operation", func(n *Network) { layerOf(n, "gap").Op = nil }, `layer "gap": invalid frozen network: operation <nil>`},
	{"pointer to an operation", func(n *Network) { layerOf(n, "gap").Op = (*GlobalAvgPool)(nil) }, `layer "gap": invalid frozen network: operation *frozen.GlobalAvgPool`},
	{"settings", func(n *Network) { layerOf(n, "stem").Op = Conv{} }, `layer "stem": conv: invalid settings: groups is 0`},
	{"activation", func(n *Network) { layerOf(n, "stem").Act = &Unary{Fn: "bent"} }, `layer "stem": bent: invalid settings: unknown function`},
	{"endless clip", func(n *Network) { layerOf(n, "stem").Act = &Unary{Fn: "clip", Max: math.Inf(1)} }, `layer "stem": clip: invalid settings`},
	{"NaN constant", func(n *Network) { at(n, "stem.bias").Const.Values[1] = float32(math.NaN()) }, `tensor "stem.bias": invalid frozen network: the constant holds NaN at 1`},
	{"infinite constant", func(n *Network) { at(n, "stem.bias").Const.Values[1] = float32(math.Inf(1)) }, `layer "stem": invalid frozen network: operand 2, constant "stem.bias", holds +Inf at 1`},
	{"values beyond float32", func(n *Network) { at(n, "image").Quant.Params.Scale[0] = math.MaxFloat32 / 100 }, `tensor "image": invalid quantization parameters: scale 3.4028236e+36 of group 0: code values of`},
	{"operands do not fit", func(n *Network) { layerOf(n, "add").Inputs = layerOf(n, "add").Inputs[:1] }, `layer "add": add: invalid shape: got 1 inputs, want 2`},
	{"declared shape", func(n *Network) { at(n, "dw.out").Shape = []int{-1, 6, 4, 5} }, `layer "dw": invalid frozen network: the result has shape [2 6 4 4], declared is [-1 6 4 5]`},
	{"declared rank", func(n *Network) { at(n, "dw.out").Shape = []int{-1, 96} }, `layer "dw": invalid frozen network: the result has shape [2 6 4 4], declared is [-1 96]`},
	{"closed batch", func(n *Network) { at(n, "dw.out").Shape = []int{2, 6, 4, 4} }, `layer "dw": invalid frozen network: the result has shape [3 6 4 4], declared is [2 6 4 4]`},
	{"open where the batch is not", func(n *Network) { at(n, "image").Shape[0] = 1 }, `layer "stem": invalid frozen network: dimension 0 of result "stem.out" is declared open, but it is 1 at batch 2 and 1 at batch 3`},
	{"two open dimensions", func(n *Network) { at(n, "dw.out").Shape[1] = -1 }, `tensor "dw.out": invalid frozen network: shape [-1 -1 4 4] has 2 open dimensions`},
	{"open constant", func(n *Network) { at(n, "fc.bias").Shape[0] = -1 }, `tensor "fc.bias": invalid frozen network: shape [-1] of a constant has an open dimension`},
	{"negative dimension", func(n *Network) { at(n, "dw.out").Shape[1] = -6 }, `tensor "dw.out": invalid quantization spec: negative dimension`},
	{"empty dimension", func(n *Network) { at(n, "dw.out").Shape[1] = 0 }, `tensor "dw.out": invalid frozen network: shape [-1 0 4 4] is empty`},
	{"overflowing shape", func(n *Network) { at(n, "dw.out").Shape = []int{1 << 31, 1 << 31, 1 << 31} }, `tensor "dw.out": invalid quantization spec: shape`},

	{"bits", func(n *Network) { at(n, "dw.out").Quant.Spec.Bits = 9 }, `tensor "dw.out": invalid quantization spec: 9 bits`},
	{"negative bits", func(n *Network) { at(n, "dw.weight").Quant.Spec.Bits = -3 }, `tensor "dw.weight": invalid quantization spec: -3 bits`},
	{"result per channel", func(n *Network) { at(n, "dw.out").Quant.Spec.Granularity = fakequant.PerChannel }, `tensor "dw.out": invalid frozen network: uint8 symmetric per_channel(axis 0): inputs and results are quantized per_tensor`},
	{"number of scales", func(n *Network) { p := &at(n, "dw.weight").Quant.Params; p.Scale = p.Scale[1:] }, `tensor "dw.weight": invalid quantization parameters: 5 scales and 6 zero points, want 6`},
	{"number of zero points", func(n *Network) { at(n, "dw.out").Quant.Params.ZeroPoint = nil }, `tensor "dw.out": invalid quantization parameters: 1 scales and 0 zero points`},
	{"scale of zero", func(n *Network) { at(n, "dw.out").Quant.Params.Scale = []float32{0} }, `tensor "dw.out": invalid quantization parameters: scale 0`},
	{"scale NaN", func(n *Network) { at(n, "dw.weight").Quant.Params.Scale[2] = float32(math.NaN()) }, `tensor "dw.weight": invalid quantization parameters: scale NaN of group 2`},
	{"zero point out of range", func(n *Network) { at(n, "pw.out").Quant.Params.ZeroPoint = []int32{256} }, `tensor "pw.out": invalid quantization parameters: zero point 256`},
	{"symmetric with a zero point", func(n *Network) { at(n, "fc.out").Quant.Params.ZeroPoint = []int32{3} }, `tensor "fc.out": invalid frozen network: zero point 3 of group 0: symmetric signed codes have zero point 0`},
	{"block too long", func(n *Network) { at(n, "pw.weight").Quant.Spec.BlockSize = 7 }, `tensor "pw.weight": invalid quantization spec: block size 7`},
	{"axis", func(n *Network) { at(n, "dw.weight").Quant.Spec.Axis = 4 }, `tensor "dw.weight": invalid quantization spec: axis 4`},
	{"too few codes", func(n *Network) { c := at(n, "dw.weight").Const; c.Codes = c.Codes[:53] }, `tensor "dw.weight": invalid frozen network: 53 bytes of codes, want 54 for int8 of shape [6 1 3 3]`},
	{"unpacked codes", func(n *Network) { at(n, "pw.weight").Const.Codes = make([]byte, 36) }, `tensor "pw.weight": invalid frozen network: 36 bytes of codes, want 18 for int4`},
	{"code out of range", func(n *Network) { at(n, "dw.weight").Const.Codes[7] = 0x80 }, `tensor "dw.weight": invalid frozen network: code -128 at 7 is outside -127..127`},
	{"packed code out of range", func(n *Network) { at(n, "fc.weight").Const.Codes[1] = 0x90 }, `tensor "fc.weight": invalid frozen network: code 9 at 3 is outside 0..7`},
	{"values and codes", func(n *Network) { at(n, "dw.weight").Const.Values = make([]float32, 54) }, `tensor "dw.weight": invalid frozen network: a quantized constant holds codes`},
	{"codes without a format", func(n *Network) { at(n, "dw.weight").Quant = nil }, `tensor "dw.weight": invalid frozen network: codes without quantization parameters`},
	{"too few values", func(n *Network) { at(n, "fc.bias").Const.Values = nil }, `tensor "fc.bias": invalid frozen network: 0 values, want 5 for shape [5]`},

	{"quantized bias", func(n *Network) {
		t, err := NewConst("fc.bias", []int{5}, make([]float32, 5), on(int8s, 1, 0))
		if err != nil {
			panic(err)
		}
		*at(n, "fc.bias") = t
	}, `layer "fc": invalid frozen network: bias "fc.bias" is quantized: leave it float`},
	{"channel axis is not the output", func(n *Network) {
		q := at(n, "fc.weight").Quant
		q.Spec.Axis = 1
		q.Params.Scale, q.Params.ZeroPoint = append(q.Params.Scale, 1), append(q.Params.ZeroPoint, 1)
	}, `layer "fc": invalid frozen network: weight "fc.weight" is quantized per channel of axis 1: an integer matmul wants the output channels, axis 0`},
	{"blocks cut the output", func(n *Network) {
		q := at(n, "pw.weight").Quant
		q.Spec.Axis = 0
	}, `layer "pw": invalid frozen network: weight "pw.weight" of shape [6 6 1 1] has blocks on axis 0: an integer conv wants them on axis 1`},
}

func TestValidateBroken(t *testing.T) {
	for _, c := range brokenNetworks {
		t.Run(c.name, func(t *testing.T) {
			n := sample(t)
			if err := n.Validate(); err != nil {
				t.Fatal(err)
			}
			c.do(n)
			err := n.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v\nwant one with %q", err, c.want)
			}
			if _, again := n.Run(sampleInput(1)); again == nil || again.Error() != err.Error() {
				t.Errorf("Run: %v", again)
			}
		})
	}
}

// A per-channel first operand has no integer product.
func TestValidateFirstOperand(t *testing.T) {
	b := build(t)
	s := narrow(8, fakequant.PerChannel, 0, 0)
	x := b.codes("left", []int{3, 4}, b.quant(s, 3, 4))
	b.n.Outputs = []int{b.layer("mm", MatMul{}, nil, []int{3, 2}, nil, x, b.input("x", []int{4, 2}, on(int8s, 1, 0)))}
	want := `layer "mm": invalid frozen network: the first operand "left" is quantized per_channel`
	if err := b.n.Validate(); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %v, want %q", err, want)
	}
}

// Blocks of a stack of matrices have no channel-major order.
func TestValidateBlocksOfStack(t *testing.T) {
	b := build(t)
	s := narrow(8, fakequant.PerBlock, 1, 2)
	w := b.codes("w", []int{2, 4, 3}, b.quant(s, 2, 4, 3))
	b.n.Outputs = []int{b.layer("mm", MatMul{}, nil, []int{2, 5, 3}, nil, b.input("x", []int{2, 5, 4}, on(int8s, 1, 0)), w)}
	if err := b.n.Validate(); err == nil || !strings.Contains(err.Error(), `layer "mm"`) || !strings.Contains(err.Error(), "one matrix") {
		t.Fatalf("error %v", err)
	}
}

func TestNewConst(t *testing.T) {
	q := on(narrow(4, fakequant.PerTensor, 0, 0), 0.5, 0)
	x := []float32{-9, -0.25, 0.75, float32(math.NaN()), 2}
	c, err := NewConst("c", []int{5}, x, q)
	if err != nil {
		t.Fatal(err)
	}
	codes, err := c.Codes()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int32{-7, 0, 2, -7, 4} {
		if codes[i] != want {
			t.Errorf("code %d is %d, want %d", i, codes[i], want)
		}
	}
	q.Params.Scale[0] = 9 // copied
	v, err := c.Values()
	if err != nil {
		t.Fatal(err)
	}
	wantBits(t, "values", v, []float32{-3.5, 0, 1, -3.5, 2})

	bad := []struct {
		name string
		do   func() error
		want string
	}{
		{"float length", func() error { _, err := NewConst("c", []int{2}, x, nil); return err }, `tensor "c": invalid frozen network: 5 values, want 2`},
		{"quantized length", func() error { _, err := NewConst("c", []int{2}, x, q); return err }, `tensor "c": invalid quantization parameters`},
		{"code length", func() error { _, err := NewConstCodes("c", []int{2}, []int32{1}, *on(int8s, 1, 0)); return err }, `tensor "c": invalid frozen network: 1 bytes of codes, want 2`},
		{"code range", func() error { _, err := NewConstCodes("c", []int{1}, []int32{200}, *on(int8s, 1, 0)); return err }, `tensor "c": invalid frozen network: code 200 at 0 is outside -128..127`},
		{"spec", func() error {
			_, err := NewConstCodes("c", []int{1}, []int32{1}, *on(fakequant.Spec{Bits: -1}, 1, 0))
			return err
		}, `tensor "c": invalid quantization spec: -1 bits`},
		{"codes of a float", func() error { f := Tensor{Name: "f", Const: &Const{}}; _, err := f.Codes(); return err }, `tensor "f": invalid frozen network: not a quantized constant`},
		{"values of a result", func() error { _, err := (&Tensor{Name: "f"}).Values(); return err }, `tensor "f": invalid frozen network: not a constant`},
		{"codes of another shape", func() error { c.Shape = []int{1 << 30}; _, err := c.Codes(); return err }, `tensor "c": invalid frozen network: 3 bytes of codes, want 536870912`},
	}
	for _, b := range bad {
		if err := b.do(); err == nil || !strings.Contains(err.Error(), b.want) {
			t.Errorf("%s: error %v, want %q", b.name, err, b.want)
		}
	}
}
