package onnxout

// This file says in which order a network becomes a model.

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
	"google.golang.org/protobuf/proto"
)

const (
	irVersion    = 10 // the first with int4
	opsetVersion = 21 // the first with int4 and blocks in DequantizeLinear
	producer     = "goqat"
)

// newModel builds everything but the initializers, which wait in consts.
func newModel(n *frozen.Network, opt Options) (*builder, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	opt = opt.withDefaults()
	b := &builder{
		net: n, opt: opt,
		names: map[string]bool{}, nodes: map[string]bool{},
		real: make([]string, len(n.Tensors)), codes: make([]string, len(n.Tensors)), grids: make([][]string, len(n.Tensors)), turned: map[int]string{}, swapped: map[[2]int]string{},
		model: &onnxpb.ModelProto{
			IrVersion:    proto.Int64(irVersion),
			ProducerName: proto.String(producer),
			OpsetImport:  []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(opsetVersion)}},
			Graph:        &onnxpb.GraphProto{Name: &opt.GraphName},
		},
	}
	for _, key := range slices.Sorted(maps.Keys(n.Notes)) {
		b.model.MetadataProps = append(b.model.MetadataProps, entry(key, n.Notes[key]))
	}
	for i := range n.Tensors {
		b.names[n.Tensors[i].Name] = true
	}
	for i, batch := range []int{2, 3} { // at 1 a fixed 1 would look like the batch
		s, err := n.Shapes(batch)
		if err != nil {
			return nil, err
		}
		b.shapes[i] = s
	}
	return b, b.build()
}

func (b *builder) build() error {
	g := b.model.Graph
	for _, t := range b.net.Inputs {
		name := b.net.Tensors[t].Name
		g.Input = append(g.Input, b.info(name, t))
		b.real[t] = name
		if b.net.Tensors[t].Quant != nil {
			b.quantize(t, name, b.unique(name+"_dequantized"))
		}
	}
	for i := range b.net.Layers {
		if err := b.layer(i); err != nil {
			return fmt.Errorf("layer %q: %w", b.net.Layers[i].Name, err)
		}
	}
	return b.outputs()
}

// outputs names the results. One that is an input, a constant, or given twice gets
// a node of its own, because ONNX wants distinct outputs made by nodes.
func (b *builder) outputs() error {
	seen := map[int]bool{}
	for _, t := range b.net.Outputs {
		name, err := b.value(t)
		if err != nil {
			return err
		}
		tensor := &b.net.Tensors[t]
		if seen[t] || tensor.Const != nil || slices.Contains(b.net.Inputs, t) {
			out := b.unique(tensor.Name + "_output")
			b.emit("Identity", out, []string{name}, out)
			name = out
		}
		seen[t] = true
		b.model.Graph.Output = append(b.model.Graph.Output, b.info(name, t))
	}
	return nil
}

// layer emits layer i with its activation and the rounding of its result.
func (b *builder) layer(i int) error {
	if b.movesCodes(i) {
		return b.move(i)
	}
	l := &b.net.Layers[i]
	t := &b.net.Tensors[l.Output]
	result := t.Name
	if t.Quant != nil {
		result = b.unique(t.Name + "_float")
	}
	product := result
	if l.Act != nil {
		product = b.unique(t.Name + "_before_" + l.Act.Kind())
	}
	if err := b.op(i, product); err != nil {
		return err
	}
	if l.Act != nil {
		if err := b.unary(*l.Act, l.Name+"/"+l.Act.Kind(), product, result); err != nil {
			return err
		}
	}
	if t.Quant != nil {
		b.quantize(l.Output, result, t.Name)
	} else {
		b.real[l.Output] = t.Name
	}
	b.describe(l.Output)
	return nil
}

// move emits layer i on codes; see movesCodes.
func (b *builder) move(i int) error {
	l := &b.net.Layers[i]
	real := slices.Clone(b.real)
	for _, t := range l.Inputs {
		b.real[t] = b.codes[t] // what op reads
	}
	name := b.net.Tensors[l.Output].Name
	b.codes[l.Output], b.grids[l.Output] = b.unique(name+"_quantized"), b.grids[l.Inputs[0]]
	err := b.op(i, b.codes[l.Output])
	b.real = real
	if err != nil {
		return err
	}
	b.dequantize(l.Output, name)
	b.describe(l.Output)
	return nil
}

// describe gives the float value of a layer's result its shape.
func (b *builder) describe(t int) {
	if b.real[t] != "" {
		b.model.Graph.ValueInfo = append(b.model.Graph.ValueInfo, b.info(b.real[t], t))
	}
}

func (b *builder) dataSize() int64 {
	var sum int64
	for i := range b.consts {
		sum += b.consts[i].size()
	}
	return sum
}

// info describes a float value with the shape of tensor t. An open dimension that
// is a multiple of the batch has no name.
func (b *builder) info(name string, t int) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for i, d := range b.net.Tensors[t].Shape {
		dim := &onnxpb.TensorShapeProto_Dimension{}
		switch {
		case d >= 0:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case b.shapes[0][t][i] == 2 && b.shapes[1][t][i] == 3:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: b.opt.BatchName}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return &onnxpb.ValueInfoProto{Name: &name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
		TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(onnxpb.TensorProto_FLOAT)), Shape: shape},
	}}}
}
