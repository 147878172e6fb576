package coremlout

// This file says how an operation and its arguments are written.

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/mlpb"
)

func tensorType(dtype mlpb.DataType, shape []int) *mlpb.ValueType {
	t := &mlpb.TensorType{DataType: dtype, Rank: int64(len(shape))}
	for _, d := range shape {
		t.Dimensions = append(t.Dimensions, &mlpb.Dimension{Dimension: &mlpb.Dimension_Constant{
			Constant: &mlpb.Dimension_ConstantDimension{Size: uint64(d)},
		}})
	}
	return &mlpb.ValueType{Type: &mlpb.ValueType_TensorType{TensorType: t}}
}

func (v value) named() *mlpb.NamedValueType {
	return &mlpb.NamedValueType{Name: v.name, Type: tensorType(v.dtype, v.shape)}
}

// immediate is a value inside the program. The kind of list goes with the type: MIL
// reads float16, int8, uint8 and 4-bit elements from bytes.
func immediate(dtype mlpb.DataType, shape []int, t *mlpb.TensorValue) *mlpb.Value {
	return &mlpb.Value{Type: tensorType(dtype, shape), Value: &mlpb.Value_ImmediateValue_{
		ImmediateValue: &mlpb.Value_ImmediateValue{Value: &mlpb.Value_ImmediateValue_Tensor{Tensor: t}},
	}}
}

func stringValue(s string) *mlpb.Value {
	return immediate(mlpb.DataType_STRING, nil, &mlpb.TensorValue{Value: &mlpb.TensorValue_Strings{
		Strings: &mlpb.TensorValue_RepeatedStrings{Values: []string{s}},
	}})
}

func boolValue(v bool) *mlpb.Value {
	return immediate(mlpb.DataType_BOOL, nil, &mlpb.TensorValue{Value: &mlpb.TensorValue_Bools{
		Bools: &mlpb.TensorValue_RepeatedBools{Values: []bool{v}},
	}})
}

// intsValue has rank 0 when shape is nil.
func intsValue(shape []int, v ...int32) *mlpb.Value {
	return immediate(mlpb.DataType_INT32, shape, &mlpb.TensorValue{Value: &mlpb.TensorValue_Ints{
		Ints: &mlpb.TensorValue_RepeatedInts{Values: v},
	}})
}

// dataValue puts d inside the program.
func dataValue(d data, shape []int) *mlpb.Value {
	switch {
	case d.ints != nil:
		return intsValue(shape, d.ints...)
	case d.dtype == mlpb.DataType_FLOAT32:
		return immediate(d.dtype, shape, &mlpb.TensorValue{Value: &mlpb.TensorValue_Floats{
			Floats: &mlpb.TensorValue_RepeatedFloats{Values: d.floats},
		}})
	}
	raw := d.raw
	if raw == nil {
		raw = d.bytes(0, d.count)
	}
	return immediate(d.dtype, shape, &mlpb.TensorValue{Value: &mlpb.TensorValue_Bytes{
		Bytes: &mlpb.TensorValue_RepeatedBytes{Values: raw},
	}})
}

// inlineBelow is the number of elements from which a constant goes to the weight file,
// as in coremltools (backend/mil/load.py, should_use_weight_file).
const inlineBelow = 10

// store returns d as a value of the given shape: in the program when it is small, else
// in the weight file. int32 blobs came with iOS 18.
func (b *builder) store(d data, shape []int) *mlpb.Value {
	d.count = elements(shape)
	if b.checkHalf(d); b.err != nil {
		return nil
	}
	if d.count < inlineBelow || d.dtype == mlpb.DataType_INT32 && !b.opt.Target.atLeast(IOS18) {
		return dataValue(d, shape)
	}
	return &mlpb.Value{Type: tensorType(d.dtype, shape), Value: &mlpb.Value_BlobFileValue_{
		BlobFileValue: &mlpb.Value_BlobFileValue{FileName: blobFileName, Offset: uint64(b.blobs.add(d))},
	}}
}

// checkHalf refuses finite numbers that float16 would make infinite.
func (b *builder) checkHalf(d data) {
	if d.dtype != mlpb.DataType_FLOAT16 {
		return
	}
	for _, v := range d.floats {
		if kern.Half(v)&0x7fff == 0x7c00 && !math.IsInf(float64(v), 0) {
			b.fail("the constant %v is beyond float16, which ends at 65504: export with Compute Float32", v)
			return
		}
	}
}

// emit adds an operation with one result. args are a value, a list of values, or the
// value of a parameter, which becomes a constant operation of its own, as coremltools
// writes it: bool, string, int, []int, float32.
func (b *builder) emit(kind, name string, dtype mlpb.DataType, shape []int, args ...arg) value {
	inputs := make(map[string]*mlpb.Argument, len(args))
	for _, a := range args {
		inputs[a.name] = b.argument(name, a)
	}
	return b.operation(&mlpb.Operation{Type: kind, Inputs: inputs}, value{name, dtype, shape})
}

// operation adds op with the result v, which is also its name.
func (b *builder) operation(op *mlpb.Operation, v value) value {
	if len(v.shape) > maxRank {
		b.fail("a tensor of shape %v has more than the %d axes that Core ML knows: reshape it", v.shape, maxRank)
	}
	if op.Attributes == nil {
		op.Attributes = make(map[string]*mlpb.Value)
	}
	op.Attributes["name"] = stringValue(v.name)
	op.Outputs = []*mlpb.NamedValueType{v.named()}
	b.block.Operations = append(b.block.Operations, op)
	return v
}

// maxRank is the number of axes of a MIL tensor.
const maxRank = 5

// arg is an argument of an operation.
type arg struct {
	name  string
	value any
}

func (b *builder) argument(op string, a arg) *mlpb.Argument {
	name := op + "_" + a.name
	switch v := a.value.(type) {
	case value:
		return argumentOf(v)
	case []value:
		return argumentOf(v...)
	case bool:
		return argumentOf(b.constant(name, boolValue(v), mlpb.DataType_BOOL, nil))
	case string:
		return argumentOf(b.constant(name, stringValue(v), mlpb.DataType_STRING, nil))
	case int:
		return argumentOf(b.constant(name, intsValue(nil, b.int32s(v)...), mlpb.DataType_INT32, nil))
	case []int:
		shape := []int{len(v)}
		return argumentOf(b.constant(name, intsValue(shape, b.int32s(v...)...), mlpb.DataType_INT32, shape))
	case float32:
		return argumentOf(b.floats(name, nil, v))
	}
	b.fail("internal error: argument %s of %s is a %T", a.name, op, a.value)
	return nil
}

func argumentOf(v ...value) *mlpb.Argument {
	a := &mlpb.Argument{}
	for _, v := range v {
		a.Arguments = append(a.Arguments, &mlpb.Argument_Binding{Binding: &mlpb.Argument_Binding_Name{Name: v.name}})
	}
	return a
}

// constant adds a const operation.
func (b *builder) constant(name string, v *mlpb.Value, dtype mlpb.DataType, shape []int) value {
	op := &mlpb.Operation{Type: "const", Attributes: map[string]*mlpb.Value{"val": v}}
	return b.operation(op, value{b.names.unique(name), dtype, shape})
}

// floats adds a constant of the program's float type.
func (b *builder) floats(name string, shape []int, v ...float32) value {
	return b.constant(name, b.store(data{dtype: b.float, floats: v}, shape), b.float, shape)
}

// int32s converts settings, which may be larger than MIL's integers.
func (b *builder) int32s(v ...int) []int32 {
	out := make([]int32, len(v))
	for i, x := range v {
		if out[i] = int32(x); int(out[i]) != x {
			b.fail("the setting %d does not fit 32 bits, as Core ML's do", x)
		}
	}
	return out
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// same emits an operation whose result has the shape of x.
func (b *builder) same(kind, out string, x value, more ...arg) value {
	return b.emit(kind, out, b.float, x.shape, append([]arg{{"x", x}}, more...)...)
}

func (b *builder) identity(x value, out string) value { return b.same("identity", out, x) }

func (b *builder) step(out string) string { return b.names.unique(out + "_step") }

// sides orders padding as MIL does: before and after each axis.
func sides(pad [4]int) []int { return []int{pad[0], pad[2], pad[1], pad[3]} }

// reshape changes the shape. A scalar has operations of its own.
func (b *builder) reshape(x value, shape []int, out string) value {
	switch {
	case len(shape) == 0 && len(x.shape) == 0:
		return b.identity(x, out)
	case len(shape) == 0:
		return b.emit("squeeze", out, b.float, shape, arg{"x", x}, arg{"axes", axes(len(x.shape))})
	case len(x.shape) == 0:
		return b.emit("expand_dims", out, b.float, shape, arg{"x", x}, arg{"axes", axes(len(shape))})
	}
	return b.emit("reshape", out, b.float, shape, arg{"x", x}, arg{"shape", shape})
}

// axes lists the numbers 0 to n-1.
func axes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// narrow brings an input to the float type of the program.
func (b *builder) narrow(x value) value {
	if b.float == x.dtype {
		return x
	}
	return b.cast(x, b.names.unique(x.name+"_half"))
}

// floatName is the float type of the program in MIL's words.
func (b *builder) floatName() string {
	if b.float == mlpb.DataType_FLOAT16 {
		return "fp16"
	}
	return "fp32"
}

// cast converts a value to the other float type.
func (b *builder) cast(v value, name string) value {
	to, text := mlpb.DataType_FLOAT16, "fp16"
	if v.dtype == to {
		to, text = mlpb.DataType_FLOAT32, "fp32"
	}
	return b.emit("cast", name, to, v.shape, arg{"x", v}, arg{"dtype", text})
}
