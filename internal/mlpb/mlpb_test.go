package mlpb

import (
	"bytes"
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/proto"
)

// field is a length-delimited field: its key, the length and the parts.
func field(number int, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	out := binary.AppendUvarint(nil, uint64(number<<3|2))
	return append(binary.AppendUvarint(out, uint64(len(body))), body...)
}

func text(number int, s string) []byte { return field(number, []byte(s)) }

// number is a varint field with a value below 128.
func number(n, v int) []byte { return []byte{byte(n << 3), byte(v)} }

// tensorType is ValueType.tensorType of one axis of 2 elements.
func tensorType(dtype int) []byte {
	return field(1, number(1, dtype), number(2, 1), field(3, field(1, number(1, 2))))
}

// TestWire compares a model with the same one written byte by byte, with the numbers
// of Model.proto, FeatureTypes.proto and MIL.proto of coremltools.
func TestWire(t *testing.T) {
	float32Type := []byte{0x10, 0xa0, 0x80, 0x04} // dataType 65568
	wire := bytes.Join([][]byte{
		number(1, 9),
		field(2,
			field(1, text(1, "x"), text(2, "d"), field(3, field(5, field(1, []byte{2}), float32Type))),
			field(10, text(1, "y")),
			field(100, text(1, "s"), text(2, "v"), text(3, "a"), text(4, "l"), field(100, text(1, "k"), text(2, "w"))),
		),
		field(502, number(1, 1), field(2, text(1, "main"), field(2,
			field(1, text(1, "x"), field(2, tensorType(11))),
			text(2, "CoreML8"),
			field(3, text(1, "CoreML8"), field(2,
				text(2, "y"),
				field(3, text(1, "op"),
					field(2, text(1, "p"), field(2, field(1, text(1, "x")), field(1, field(2, field(2, tensorType(35)), field(5, text(1, "f"), number(2, 64)))))),
					field(3, text(1, "y"), field(2, tensorType(25))),
					field(5, text(1, "name"), field(2, field(2, field(1, number(1, 2))), field(3, field(1, field(4, text(1, "y")))))),
				),
			)),
		))),
	}, nil)
	typ := func(d DataType) *ValueType {
		two := &Dimension{Dimension: &Dimension_Constant{Constant: &Dimension_ConstantDimension{Size: 2}}}
		return &ValueType{Type: &ValueType_TensorType{TensorType: &TensorType{DataType: d, Rank: 1, Dimensions: []*Dimension{two}}}}
	}
	name := &TensorValue{Value: &TensorValue_Strings{Strings: &TensorValue_RepeatedStrings{Values: []string{"y"}}}}
	op := &Operation{
		Type: "op",
		Inputs: map[string]*Argument{"p": {Arguments: []*Argument_Binding{
			{Binding: &Argument_Binding_Name{Name: "x"}},
			{Binding: &Argument_Binding_Value{Value: &Value{Type: typ(DataType_UINT4), Value: &Value_BlobFileValue_{
				BlobFileValue: &Value_BlobFileValue{FileName: "f", Offset: 64}}}}},
		}}},
		Outputs: []*NamedValueType{{Name: "y", Type: typ(DataType_INT4)}},
		Attributes: map[string]*Value{"name": {
			Type:  &ValueType{Type: &ValueType_TensorType{TensorType: &TensorType{DataType: DataType_STRING}}},
			Value: &Value_ImmediateValue_{ImmediateValue: &Value_ImmediateValue{Value: &Value_ImmediateValue_Tensor{Tensor: name}}},
		}},
	}
	want := &Model{
		SpecificationVersion: 9,
		Description: &ModelDescription{
			Input: []*FeatureDescription{{Name: "x", ShortDescription: "d", Type: &FeatureType{Type: &FeatureType_MultiArrayType{
				MultiArrayType: &ArrayFeatureType{Shape: []int64{2}, DataType: ArrayFeatureType_FLOAT32}}}}},
			Output: []*FeatureDescription{{Name: "y"}},
			Metadata: &Metadata{ShortDescription: "s", VersionString: "v", Author: "a", License: "l",
				UserDefined: map[string]string{"k": "w"}},
		},
		Type: &Model_MlProgram{MlProgram: &Program{Version: 1, Functions: map[string]*Function{"main": {
			Inputs: []*NamedValueType{{Name: "x", Type: typ(DataType_FLOAT32)}},
			Opset:  "CoreML8",
			BlockSpecializations: map[string]*Block{"CoreML8": {
				Outputs: []string{"y"}, Operations: []*Operation{op},
			}},
		}}}},
	}
	got := &Model{}
	if err := proto.Unmarshal(wire, got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, wire) {
		t.Errorf("written as %x, want %x", text, wire)
	}
}

// TestValues looks at the lists of values that MIL keeps apart.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		value *TensorValue
		want  []byte
	}{
		{&TensorValue{Value: &TensorValue_Floats{Floats: &TensorValue_RepeatedFloats{Values: []float32{1}}}}, field(1, field(1, []byte{0, 0, 0x80, 0x3f}))},
		{&TensorValue{Value: &TensorValue_Ints{Ints: &TensorValue_RepeatedInts{Values: []int32{0, 5}}}}, field(2, field(1, []byte{0, 5}))},
		{&TensorValue{Value: &TensorValue_Bools{Bools: &TensorValue_RepeatedBools{Values: []bool{false}}}}, field(3, field(1, []byte{0}))},
		{&TensorValue{Value: &TensorValue_Bytes{Bytes: &TensorValue_RepeatedBytes{Values: []byte{0, 7}}}}, field(7, field(1, []byte{0, 7}))},
	} {
		got, err := proto.Marshal(c.value)
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%v is written as %x, %v, want %x", c.value, got, err, c.want)
		}
	}
}
