package packedout

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/qat/frozen"
)

// TestBytes: a layer of which every stored number is worked out by hand.
func TestBytes(t *testing.T) {
	m := newMaker(t)
	x := m.input("x", -1, 9)
	codes := []int32{
		-8, -7, -6, -5, -4, -3, -2, -1, 0,
		7, 6, 5, 4, 3, 2, 1, 0, -1,
	}
	q := frozen.Quant{Spec: fakequant.Spec{Bits: 4, Scheme: fakequant.Affine, Granularity: fakequant.PerChannel},
		Params: fakequant.Params{Scale: []float32{0.5, 0.25}, ZeroPoint: []int32{-8, 3}}}
	w, err := frozen.NewConstCodes("fc.weight", []int{2, 9}, codes, q)
	if err != nil {
		t.Fatal(err)
	}
	n := m.end(m.layer("fc", frozen.MatMul{TransB: true}, []int{-1, 2}, x, m.add(w)))
	f, r := written(t, n, Options{})
	packed, err := f.Int32s("fc.weight_packed")
	// Row 0 is 0 1 2 … 8 with 8 added, row 1 is 15 14 … 8 and 7; the lowest bits come first.
	hexes := []uint32{0x76543210, 0x8, 0x89abcdef, 0x7}
	want := make([]int32, len(hexes))
	for i, h := range hexes {
		want[i] = int32(h)
	}
	if err != nil || !slices.Equal(packed, want) {
		t.Errorf("packed %x, %v, want %x", packed, err, want)
	}
	zero, err := f.Int32s("fc.weight_zero_point")
	if err != nil || !slices.Equal(zero, []int32{0xb0}) { // 0 and 11, down the column
		t.Errorf("zero points %x, %v, want b0", zero, err)
	}
	for name, want := range map[string][]int{"fc.weight_packed": {2, 2}, "fc.weight_scale": {2, 1}, "fc.weight_zero_point": {1, 1}, "fc.weight_shape": {2}} {
		if _, shape, _, err := f.Info(name); err != nil || !slices.Equal(shape, want) {
			t.Errorf("%s has shape %v, want %v (%v)", name, shape, want, err)
		}
	}
	if len(f.Names()) != 4 || f.Metadata["format"] != "pt" {
		t.Errorf("tensors %v, metadata %v", f.Names(), f.Metadata)
	}
	p := Packed{Layer: "fc", Module: "fc", Bits: 4, Bytes: 16 + 8 + 4}
	if len(r.Packed) != 1 || r.Packed[0] != p || r.Activations != 0 {
		t.Errorf("report %+v, want %+v", r, p)
	}
}

// specs are all formats that fit weights [out, in], or [in, out] where outAxis is 1.
func specs(outAxis int) []fakequant.Spec {
	var list []fakequant.Spec
	for bits := fakequant.MinBits; bits <= fakequant.MaxBits; bits++ {
		for _, unsigned := range []bool{false, true} {
			for _, scheme := range []fakequant.Scheme{fakequant.Symmetric, fakequant.Affine} {
				s := fakequant.Spec{Bits: bits, Unsigned: unsigned, Scheme: scheme}
				c, b := s, s
				c.Granularity, c.Axis, c.NarrowRange = fakequant.PerChannel, outAxis-2, true // counted from the end
				b.Granularity, b.Axis, b.BlockSize = fakequant.PerBlock, 1-outAxis, 5
				list = append(list, s, c, b)
			}
		}
	}
	return list
}

// TestValues: what a reader decodes is what the codes of the network stand for, exactly,
// in every format, both ways round, with rows that do not fill their last word.
func TestValues(t *testing.T) {
	for _, transB := range []bool{true, false} {
		outAxis := 1
		if transB {
			outAxis = 0
		}
		for _, s := range specs(outAxis) {
			for _, size := range [][2]int{{3, 10}, {17, 5}, {1, 15}} {
				out, in := size[0], size[1]
				n := linearNet(t, s, transB, out, in)
				name := fmt.Sprintf("%v, %d to %d, transposed %v", s, in, out, transB)
				f, r := written(t, n, Options{})
				checkWeights(t, name, n, f, r)
			}
		}
	}
}

// checkWeights compares the file with the weight of layer 0 of the network.
func checkWeights(t *testing.T, name string, n *frozen.Network, f *safetensors.File, r Report) {
	t.Helper()
	p := r.Packed[0]
	got, out, in, err := decode(f, p.Module, p.Bits)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	l := n.Layers[0]
	want, err := n.Tensors[l.Inputs[1]].Values()
	if err != nil {
		t.Fatal(err)
	}
	for o := range out {
		for i := range in {
			at := i*out + o
			if l.Op.(frozen.MatMul).TransB {
				at = o*in + i
			}
			if got[o*in+i] != want[at] {
				t.Fatalf("%s: weight (%d, %d) is %v, want %v", name, o, i, got[o*in+i], want[at])
			}
		}
	}
	bias, err := f.Float32s(p.Module + ".bias")
	if err != nil || !slices.Equal(bias, n.Tensors[l.Inputs[2]].Const.Values) {
		t.Errorf("%s: bias %v, %v", name, bias, err)
	}
	if p.Symmetric == f.Has(p.Module+".weight_zero_point") {
		t.Errorf("%s: symmetric %v, zero points in the file: %v", name, p.Symmetric, !p.Symmetric)
	}
}

// TestSameNetwork: a network of floats made from the file alone gives the results of the
// frozen one, bit for bit, when that leaves activations float.
func TestSameNetwork(t *testing.T) {
	s := fakequant.Spec{Bits: 4, Granularity: fakequant.PerBlock, Axis: 0, BlockSize: 4}
	n := linearNet(t, s, false, 6, 8)
	f, _ := written(t, n, Options{})
	values, out, in, err := decode(f, "fc", 4)
	if err != nil {
		t.Fatal(err)
	}
	bias, err := f.Float32s("fc.bias")
	if err != nil {
		t.Fatal(err)
	}
	m := newMaker(t)
	x := m.input("x", -1, in)
	var parts [2]int
	for i, c := range []struct {
		name  string
		shape []int
		v     []float32
	}{{"w", []int{out, in}, values}, {"b", []int{out}, bias}} {
		tensor, err := frozen.NewConst(c.name, c.shape, c.v, nil)
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = m.add(tensor)
	}
	again := m.end(m.layer("fc", frozen.MatMul{TransB: true}, []int{-1, out}, x, parts[0], parts[1]))
	data := m.random(5 * in)
	a, err := n.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a[0], b[0]) {
		t.Errorf("the network from the file gives %v, want %v", b[0], a[0])
	}
}

// mixed is a network with a convolution, two linear layers, one of them under a name of
// its own, and a float constant.
func mixed(t testing.TB) *frozen.Network {
	m := newMaker(t)
	q8 := fakequant.Spec{Granularity: fakequant.PerChannel}
	x := m.input("x", -1, 1, 4, 4)
	m.n.Tensors[x].Quant = &frozen.Quant{Params: fakequant.Params{Scale: []float32{0.1}, ZeroPoint: []int32{0}}}
	conv := frozen.Conv{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
	h := m.layer("conv1", conv, []int{-1, 2, 2, 2}, x, m.weight("conv1.weight", q8, 2, 1, 3, 3), m.float("conv1.bias", 2))
	h = m.layer("flat", frozen.Reshape{Shape: []int{-1, 8}}, []int{-1, 8}, h)
	h = m.layer("fc1", frozen.MatMul{TransB: true}, []int{-1, 4}, h, m.weight("fc1.weight", q8, 4, 8), m.float("fc1.bias", 4))
	h = m.layer("shift", frozen.Binary{Fn: "add"}, []int{-1, 4}, h, m.float("shift.by", 4))
	q4 := fakequant.Spec{Bits: 4, Granularity: fakequant.PerBlock, Axis: 0, BlockSize: 2}
	h = m.layer("head", frozen.MatMul{}, []int{-1, 3}, h, m.weight("w2", q4, 4, 3), m.float("b2", 3))
	m.n.Notes = map[string]string{"accuracy": "high", "format": "mine"}
	return m.end(h)
}

func TestMixed(t *testing.T) {
	n := mixed(t)
	var b bytes.Buffer
	if _, err := Write(&b, n, Options{}); !errors.Is(err, ErrUnsupported) || b.Len() > 0 {
		t.Errorf("a convolution: %v and %d bytes, want ErrUnsupported", err, b.Len())
	}
	f, r := written(t, n, Options{Dense: true})
	want := []string{"conv1.bias", "conv1.weight", "fc1.bias", "fc1.weight_packed", "fc1.weight_scale", "fc1.weight_shape",
		"head.bias", "head.weight_packed", "head.weight_scale", "head.weight_shape", "shift.by"}
	if !slices.Equal(f.Names(), want) {
		t.Errorf("tensors %v, want %v", f.Names(), want)
	}
	conv, err := f.Float32s("conv1.weight")
	if err != nil {
		t.Fatal(err)
	}
	values, err := n.Tensors[n.Layers[0].Inputs[1]].Values()
	if err != nil || !slices.Equal(conv, values) {
		t.Errorf("conv1.weight is %v, want %v (%v)", conv, values, err)
	}
	if f.Metadata["accuracy"] != "high" || f.Metadata["format"] != "pt" {
		t.Errorf("metadata %v", f.Metadata)
	}
	if len(r.Packed) != 2 || len(r.Dense) != 1 || r.Dense[0].Module != "conv1" || r.Activations != 1 {
		t.Errorf("report %+v", r)
	}
	const text = `fc1: 8 bits, per channel, symmetric, 48 bytes
head: 4 bits, groups of 2, symmetric, 36 bytes
conv1.weight: float32: it belongs to a layer of kind conv; only linear layers can be packed
1 activations are not quantized in this layout
`
	if r.String() != text {
		t.Errorf("report\n%swant\n%s", r, text)
	}
}

// TestStable: equal networks give equal bytes.
func TestStable(t *testing.T) {
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if _, err := Write(w, mixed(t), Options{Dense: true}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two files differ")
	}
}

// TestSharedBias: a bias of two layers is in the file for both.
func TestSharedBias(t *testing.T) {
	m := newMaker(t)
	q := fakequant.Spec{Bits: 4}
	h := m.input("x", -1, 4)
	b := m.float("fc1.bias", 4)
	h = m.layer("fc1", frozen.MatMul{}, []int{-1, 4}, h, m.weight("fc1.weight", q, 4, 4), b)
	h = m.layer("fc2", frozen.MatMul{}, []int{-1, 4}, h, m.weight("fc2.weight", q, 4, 4), b)
	f, _ := written(t, m.end(h), Options{})
	for _, name := range []string{"fc1.bias", "fc2.bias"} {
		if v, err := f.Float32s(name); err != nil || !slices.Equal(v, m.n.Tensors[b].Const.Values) {
			t.Errorf("%s is %v, %v", name, v, err)
		}
	}
}
