package coremlout

// This file says in which order a network becomes a program.

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
)

// namesKey is the entry of the metadata with the names that were changed.
const namesKey = "goqat.names"

// newModel builds the model; its large constants wait in the builder's blobs.
func newModel(n *frozen.Network, opt Options) (*mlpb.Model, *blobs, error) {
	if err := opt.Validate(); err != nil {
		return nil, nil, err
	}
	if err := n.Validate(); err != nil {
		return nil, nil, err
	}
	shapes, err := n.Shapes(max(opt.Batch, 1))
	if err != nil {
		return nil, nil, err
	}
	b := &builder{lifts: map[int]*lift{},
		net: n, opt: opt, float: opt.Compute.dtype(), shapes: shapes,
		names: names{}, id: make([]string, len(n.Tensors)),
		real: make([]*value, len(n.Tensors)), turned: make([]*value, len(n.Tensors)),
		function: &mlpb.Function{Opset: opt.Target.opset()}, block: &mlpb.Block{},
	}
	b.nameTensors()
	if err := b.build(); err != nil {
		return nil, nil, err
	}
	meta, err := b.metadata()
	if err != nil {
		return nil, nil, err
	}
	b.function.BlockSpecializations = map[string]*mlpb.Block{opt.Target.opset(): b.block}
	return &mlpb.Model{
		SpecificationVersion: opt.Target.specVersion(),
		Description:          &mlpb.ModelDescription{Input: b.inputs, Output: b.outputs, Metadata: meta},
		Type: &mlpb.Model_MlProgram{MlProgram: &mlpb.Program{
			Version: 1, Functions: map[string]*mlpb.Function{"main": b.function},
		}},
	}, &b.blobs, nil
}

// nameTensors chooses the identifiers. Those of inputs and outputs are part of the
// interface, so they come first and keep their names if they can.
func (b *builder) nameTensors() {
	var rest []int
	for t := range b.net.Tensors {
		rest = append(rest, t)
	}
	for _, t := range slices.Concat(b.net.Inputs, b.net.Outputs, rest) {
		if b.id[t] == "" {
			b.id[t] = b.names.unique(identifier(b.net.Tensors[t].Name))
		}
	}
}

// metadata holds the notes, the texts of the options and the names that changed.
func (b *builder) metadata() (*mlpb.Metadata, error) {
	m := &mlpb.Metadata{
		ShortDescription: b.opt.Description, VersionString: b.opt.Version,
		Author: b.opt.Author, License: b.opt.License, UserDefined: map[string]string{},
	}
	for k, v := range b.net.Notes {
		m.UserDefined[k] = v
	}
	changed := map[string]string{}
	for t, id := range b.id {
		if name := b.net.Tensors[t].Name; name != id {
			changed[id] = name
		}
	}
	if len(changed) == 0 {
		return m, nil
	}
	if _, taken := m.UserDefined[namesKey]; taken {
		return nil, fmt.Errorf("%w: note %q: that entry of the metadata holds the names: rename the note", ErrUnsupported, namesKey)
	}
	text, err := json.Marshal(changed)
	m.UserDefined[namesKey] = string(text)
	return m, err
}

// build emits the inputs, the layers and the outputs.
func (b *builder) build() error {
	for _, t := range b.net.Inputs {
		b.input(t)
		if b.err != nil {
			return b.tensorError(t)
		}
	}
	for i := range b.net.Layers {
		b.layer(i)
		if b.err != nil {
			return &fakequant.LayerError{Layer: b.net.Layers[i].Name, Err: b.err}
		}
	}
	seen := map[int]bool{}
	for _, t := range b.net.Outputs {
		b.output(t, seen[t])
		seen[t] = true
		if b.err != nil {
			return b.tensorError(t)
		}
	}
	return nil
}

// tensorError names tensor t in the failure.
func (b *builder) tensorError(t int) error {
	return fmt.Errorf("tensor %q: %w", b.net.Tensors[t].Name, b.err)
}

// input declares a function input, which is float32, and makes the value that layers
// read of it.
func (b *builder) input(t int) {
	shape := b.shapes[t]
	if len(shape) == 0 || len(shape) > maxRank {
		b.fail("inputs of Core ML have 1 to %d axes, this one has shape %v: reshape it", maxRank, shape)
	}
	x := value{b.id[t], mlpb.DataType_FLOAT32, shape}
	b.function.Inputs = append(b.function.Inputs, x.named())
	b.inputs = append(b.inputs, b.feature(x, t))
	if b.net.Tensors[t].Quant != nil {
		x = b.quantize(t, b.narrow(x), b.names.unique(b.id[t]+"_dequantized"))
		b.real[t] = &x
	}
}

func (b *builder) feature(v value, t int) *mlpb.FeatureDescription {
	a := &mlpb.ArrayFeatureType{DataType: mlpb.ArrayFeatureType_FLOAT32}
	for _, d := range v.shape {
		a.Shape = append(a.Shape, int64(d))
	}
	f := &mlpb.FeatureDescription{Name: v.name, Type: &mlpb.FeatureType{Type: &mlpb.FeatureType_MultiArrayType{MultiArrayType: a}}}
	if name := b.net.Tensors[t].Name; name != v.name {
		f.ShortDescription = name
	}
	return f
}

// output declares a result: distinct, made by an operation, float32 and of rank 1 at
// least. What is not gets one more operation.
func (b *builder) output(t int, again bool) {
	v := b.value(t)
	if b.err != nil {
		return
	}
	name := b.id[t]
	if again || !b.ownName(t) {
		name = b.names.unique(name + "_output")
	}
	if v.dtype != mlpb.DataType_FLOAT32 {
		to := name
		if len(v.shape) == 0 {
			to = b.names.unique(name + "_scalar")
		}
		v = b.cast(v, to)
	}
	switch {
	case len(v.shape) == 0:
		v = b.emit("expand_dims", name, v.dtype, []int{1}, arg{"x", v}, arg{"axes", []int{0}})
	case v.name != name:
		v = b.emit("identity", name, v.dtype, v.shape, arg{"x", v})
	}
	b.block.Outputs = append(b.block.Outputs, v.name)
	b.outputs = append(b.outputs, b.feature(v, t))
}

// ownName reports whether tensor t is made by a layer, so that the output may have its
// identifier.
func (b *builder) ownName(t int) bool {
	return b.net.Tensors[t].Const == nil && !slices.Contains(b.net.Inputs, t)
}

// resultName is the name of the value that a layer makes for tensor t.
func (b *builder) resultName(t int) string {
	name := b.id[t]
	if slices.Contains(b.net.Outputs, t) && (b.float != mlpb.DataType_FLOAT32 || len(b.shapes[t]) == 0) {
		return b.names.unique(name + "_inner") // the output itself comes behind
	}
	return name
}

// layer emits layer i with its activation and the rounding of its result.
func (b *builder) layer(i int) {
	l := &b.net.Layers[i]
	t := &b.net.Tensors[l.Output]
	id := b.id[l.Output]
	final := b.resultName(l.Output)
	result := final
	if t.Quant != nil {
		result = b.names.unique(id + "_float")
	}
	product := result
	if l.Act != nil {
		product = b.names.unique(id + "_before_" + l.Act.Kind())
	}
	v := b.op(i, product)
	if b.err == nil && l.Act != nil {
		v = b.unary(*l.Act, v, result)
	}
	if b.err == nil && t.Quant != nil {
		v = b.quantize(l.Output, v, final)
	}
	b.real[l.Output] = &v
}
