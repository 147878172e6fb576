package onnxout

// This file says what is known while a model is built, and how a node is added.

import (
	"strconv"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
	"google.golang.org/protobuf/proto"
)

// builder makes a model of a network. Nodes are emitted in the order they run.
type builder struct {
	net    *frozen.Network
	opt    Options
	model  *onnxpb.ModelProto
	consts []constant
	// names and nodes are the names of values and of nodes that are taken.
	names, nodes map[string]bool
	// real holds the name of the float value of each tensor once it exists.
	real []string
	// codes holds the name of the codes of each quantized tensor that is computed, grids
	// those of its scale and zero point.
	codes []string
	grids [][]string
	// turned holds the name of the transposed value of a weight.
	turned map[int]string
	// swapped holds the name of a weight with its channels swapped, by tensor and groups.
	swapped map[[2]int]string
	// shapes are the shapes of all tensors at batch 2 and 3.
	shapes [2][][]int
}

func entry(key, value string) *onnxpb.StringStringEntryProto {
	return &onnxpb.StringStringEntryProto{Key: &key, Value: &value}
}

// emit adds a node. The name is made unique among nodes.
func (b *builder) emit(op, name string, in []string, out string, attrs ...*onnxpb.AttributeProto) {
	name = unique(b.nodes, name)
	b.model.Graph.Node = append(b.model.Graph.Node, &onnxpb.NodeProto{
		OpType: &op, Name: &name, Input: in, Output: []string{out}, Attribute: attrs,
	})
}

// unique reserves a name for a value that no tensor has.
func (b *builder) unique(name string) string { return unique(b.names, name) }

func unique(taken map[string]bool, name string) string {
	free := name
	for i := 2; taken[free]; i++ {
		free = name + "_" + strconv.Itoa(i)
	}
	taken[free] = true
	return free
}

// constant adds a small initializer and returns its name.
func (b *builder) constant(c constant) string {
	c.name = b.unique(c.name)
	b.consts = append(b.consts, c)
	return c.name
}

func intAttr(name string, v int) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(int64(v))}
}

func intsAttr(name string, v ...int) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INTS.Enum(), Ints: int64s(v)}
}

func floatAttr(name string, v float64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(float32(v))}
}

func stringAttr(name, v string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(v)}
}
