package onnxpb

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
)

// wire is a small model byte by byte: field tags, lengths and values as the ONNX
// specification numbers them.
var wire = []byte{
	0x08, 10, // ir_version
	0x3a, 51, // graph
	/**/ 0x0a, 20, // node
	/*  */ 0x0a, 1, 'x', 0x12, 1, 'y', 0x22, 2, 'O', 'p', // input, output, op_type
	/*  */ 0x2a, 8, 0x0a, 1, 'a', 0x18, 0, 0xa0, 0x01, 2, // attribute a = INT 0, type last
	/**/ 0x12, 1, 'g', // name
	/**/ 0x2a, 11, // initializer
	/*  */ 0x08, 3, 0x10, 22, 0x42, 1, 'w', 0x4a, 2, 0x21, 0x03, // dims, data_type INT4, name, raw_data
	/**/ 0x5a, 11, // input
	/*  */ 0x0a, 1, 'x', 0x12, 6, 0x0a, 4, 0x08, 1, 0x12, 0, // type FLOAT with a shape of rank 0
	0x42, 4, 0x0a, 0, 0x10, 21, // opset_import
	0x72, 6, 0x0a, 1, 'k', 0x12, 1, 'v', // metadata_props
}

func TestWire(t *testing.T) {
	m := &ModelProto{}
	if err := proto.Unmarshal(wire, m); err != nil {
		t.Fatal(err)
	}
	want := &ModelProto{
		IrVersion:     proto.Int64(10),
		OpsetImport:   []*OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(21)}},
		MetadataProps: []*StringStringEntryProto{{Key: proto.String("k"), Value: proto.String("v")}},
		Graph: &GraphProto{
			Name: proto.String("g"),
			Node: []*NodeProto{{Input: []string{"x"}, Output: []string{"y"}, OpType: proto.String("Op"),
				Attribute: []*AttributeProto{{Name: proto.String("a"), Type: AttributeProto_INT.Enum(), I: proto.Int64(0)}}}},
			Initializer: []*TensorProto{{Dims: []int64{3}, DataType: proto.Int32(int32(TensorProto_INT4)), Name: proto.String("w"), RawData: []byte{0x21, 0x03}}},
			Input: []*ValueInfoProto{{Name: proto.String("x"), Type: &TypeProto{Value: &TypeProto_TensorType{
				TensorType: &TypeProto_Tensor{ElemType: proto.Int32(int32(TensorProto_FLOAT)), Shape: &TensorShapeProto{}}}}}},
		},
	}
	if !proto.Equal(m, want) {
		t.Fatalf("got %v, want %v", m, want)
	}
	got, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, wire) {
		t.Errorf("written as %x, want %x", got, wire)
	}
}

// TestFileName: the name in the registry of all linked messages is ours alone. Another
// package with an onnx.proto would make the program panic at its start.
func TestFileName(t *testing.T) {
	if got, want := File_internal_onnxpb_onnx_proto.Path(), "internal/onnxpb/onnx.proto"; got != want {
		t.Errorf("registered as %q, want %q", got, want)
	}
}
