package onnxout

// This file says how the other layers are written.

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
)

// op emits layer i without activation and rounding, with the result out.
func (b *builder) op(i int, out string) error {
	l := &b.net.Layers[i]
	switch o := l.Op.(type) {
	case frozen.Conv:
		return b.conv(i, o, out)
	case frozen.ConvTranspose:
		return b.convTranspose(i, o, out)
	case frozen.MatMul:
		return b.matMul(i, o, out)
	}
	in, err := b.values(l.Inputs)
	if err != nil {
		return err
	}
	switch o := l.Op.(type) {
	case frozen.Unary:
		return b.unary(o, l.Name, in[0], out)
	case frozen.Binary:
		return b.binary(o, l.Name, in, out)
	case frozen.Where:
		is := b.unique(out + "_condition")
		b.emit("Cast", l.Name+"/condition", in[:1], is, intAttr("to", int(onnxpb.TensorProto_BOOL)))
		b.emit("Where", l.Name, []string{is, in[1], in[2]}, out)
	case frozen.Pool:
		b.pool(o, l.Name, in, out)
	case frozen.GlobalAvgPool:
		b.emit("GlobalAveragePool", l.Name, in, out)
	case frozen.Reduce:
		op, ok := reduceOps[o.Fn]
		if !ok {
			return unsupported(o)
		}
		axes := b.constant(ints(l.Name+"_axes", o.Axes...))
		b.emit(op, l.Name, append(in, axes), out, intAttr("keepdims", 0))
	case frozen.Reshape:
		b.emit("Reshape", l.Name, append(in, b.constant(ints(l.Name+"_shape", o.Shape...))), out)
	case frozen.Transpose:
		if q := b.net.Tensors[l.Output].Quant; q != nil && b.net.Tensors[l.Inputs[0]].Quant == nil && slices.Contains(b.net.Outputs, l.Inputs[0]) {
			// ONNX Runtime 1.27 would round in front of the transpose, the output too.
			in = []string{b.guard(l.Name, in[0], q)}
		}
		b.emit("Transpose", l.Name, in, out, intsAttr("perm", o.Perm...))
	case frozen.Concat:
		b.emit("Concat", l.Name, in, out, intAttr("axis", o.Axis))
	case frozen.Slice:
		b.slice(o, l.Name, in[0], out)
	case frozen.Softmax:
		b.softmax(o, l.Name, in, out)
	case frozen.BatchNorm:
		b.emit("BatchNormalization", l.Name, in, out, floatAttr("epsilon", o.Eps))
	case frozen.GroupNorm:
		c := b.net.Tensors[l.Inputs[0]].Shape[1]
		if len(in) < 2 {
			in = append(in, b.constant(floats(l.Name+"_scale", []int{c}, slices.Repeat([]float32{1}, c))))
		}
		if len(in) < 3 {
			in = append(in, b.constant(floats(l.Name+"_bias", []int{c}, make([]float32, c))))
		}
		b.emit("GroupNormalization", l.Name, in, out, intAttr("num_groups", o.Groups), floatAttr("epsilon", o.Eps))
	case frozen.LayerNorm:
		return b.layerNorm(o, l.Name, in, out, b.net.Tensors[l.Inputs[0]].Shape)
	case frozen.Dropout:
		b.emit("Identity", l.Name, in, out)
	case frozen.Pad:
		b.pad(o, l.Name, in[0], out)
	case frozen.Take:
		index := b.constant(ints(l.Name+"_index", o.Index...))
		b.emit("Gather", l.Name, []string{in[0], index}, out, intAttr("axis", o.Axis))
	case frozen.Resize:
		return b.resize(l, o, in[0], out)
	case frozen.LRN:
		b.emit("LRN", l.Name, in, out, intAttr("size", o.Size), floatAttr("alpha", o.Alpha), floatAttr("beta", o.Beta), floatAttr("bias", o.Bias))
	case frozen.Gather:
		b.gather(o, l.Name, in[0], in[1], out)
	default:
		return unsupported(l.Op)
	}
	return nil
}

func unsupported(op frozen.Op) error {
	return fmt.Errorf("%w: %s (%T): rewrite it with other layers, or end the network before it", ErrUnsupported, op.Kind(), op)
}

var (
	binaryOps  = map[string]string{"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "min": "Min", "max": "Max"}
	reduceOps  = map[string]string{"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}
	compareOps = map[string]string{"less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual", "equal": "Equal"}
	// unaryOps are the functions that are one node without attributes.
	unaryOps = map[string]string{
		"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "exp": "Exp", "log": "Log", "neg": "Neg",
		"abs": "Abs", "sign": "Sign", "ceil": "Ceil", "floor": "Floor", "sin": "Sin", "cos": "Cos",
		"sqrt": "Sqrt", "inv": "Reciprocal", "softplus": "Softplus",
		"erf": "Erf", "hard_swish": "HardSwish", "gelu": "Gelu",
	}
)

// binary emits an operation on two tensors. Comparisons give truth values, which a Cast makes
// 1 and 0; there is none for not equal.
func (b *builder) binary(o frozen.Binary, name string, in []string, out string) error {
	if op, ok := binaryOps[o.Fn]; ok {
		b.emit(op, name, in, out)
		return nil
	}
	op, ok := compareOps[o.Fn]
	is := b.unique(out + "_truth")
	switch {
	case ok:
		b.emit(op, name, in, is)
	case o.Fn == "not_equal":
		same := b.unique(out + "_equal")
		b.emit("Equal", name, in, same)
		b.emit("Not", name+"/not", []string{same}, is)
	default:
		return unsupported(o)
	}
	b.emit("Cast", name+"/cast", []string{is}, out, intAttr("to", int(onnxpb.TensorProto_FLOAT)))
	return nil
}

// unary emits an elementwise function. ONNX has no silu, log2, square, cube, inv_sqrt,
// log1p and expm1; they become two nodes. The last two lose relative precision near
// 0, as float32 does: 6e-8 absolute.
func (b *builder) unary(u frozen.Unary, name, in, out string) error {
	if op, ok := unaryOps[u.Fn]; ok {
		b.emit(op, name, []string{in}, out)
		return nil
	}
	one := []string{in}
	step := func() string { return b.unique(out + "_step") }
	switch u.Fn {
	case "clip":
		b.clipTo(name, in, out, float32(u.Min), float32(u.Max))
	case "leaky_relu":
		b.emit("LeakyRelu", name, one, out, floatAttr("alpha", u.Alpha))
	case "hard_sigmoid":
		b.emit("HardSigmoid", name, one, out, floatAttr("alpha", u.Alpha), floatAttr("beta", u.Beta))
	case "elu":
		b.emit("Elu", name, one, out, floatAttr("alpha", u.Alpha))
	case "gelu_tanh":
		b.emit("Gelu", name, one, out, stringAttr("approximate", "tanh"))
	case "silu":
		s := step()
		b.emit("Sigmoid", name+"/sigmoid", one, s)
		b.emit("Mul", name, []string{in, s}, out)
	case "square":
		b.emit("Mul", name, []string{in, in}, out)
	case "cube":
		s := step()
		b.emit("Mul", name+"/square", []string{in, in}, s)
		b.emit("Mul", name, []string{s, in}, out)
	case "log2":
		s := step()
		b.emit("Log", name+"/log", one, s)
		b.emit("Mul", name, []string{s, b.constant(scalar(name+"_factor", 1/math.Ln2))}, out)
	case "inv_sqrt":
		s := step()
		b.emit("Sqrt", name+"/sqrt", one, s)
		b.emit("Reciprocal", name, []string{s}, out)
	case "log1p":
		s := step()
		b.emit("Add", name+"/add", []string{in, b.constant(scalar(name+"_one", 1))}, s)
		b.emit("Log", name, []string{s}, out)
	case "expm1":
		s := step()
		b.emit("Exp", name+"/exp", one, s)
		b.emit("Sub", name, []string{s, b.constant(scalar(name+"_one", 1))}, out)
	default:
		return unsupported(u)
	}
	return nil
}

func (b *builder) pool(o frozen.Pool, name string, in []string, out string) {
	attrs := []*onnxpb.AttributeProto{
		intsAttr("kernel_shape", o.Kernel[:]...),
		intsAttr("strides", o.Stride[:]...),
		intsAttr("pads", o.Pad[:]...),
	}
	if !o.Average {
		b.emit("MaxPool", name, in, out, attrs...)
		return
	}
	include := 1
	if o.ExcludePad {
		include = 0
	}
	b.emit("AveragePool", name, in, out, append(attrs, intAttr("count_include_pad", include))...)
}

// slice emits a Slice; one that drops the axis is a Squeeze behind it.
func (b *builder) slice(o frozen.Slice, name, in, out string) {
	axes := b.constant(ints(name+"_axes", o.Axis))
	args := []string{in, b.constant(ints(name+"_starts", o.Start)), b.constant(ints(name+"_ends", o.End)), axes,
		b.constant(ints(name+"_steps", o.Step))}
	if !o.Squeeze {
		b.emit("Slice", name, args, out)
		return
	}
	s := b.unique(out + "_step")
	b.emit("Slice", name, args, s)
	b.emit("Squeeze", name+"/squeeze", []string{s, axes}, out)
}

// softmax emits scale and mask as nodes of their own.
func (b *builder) softmax(o frozen.Softmax, name string, in []string, out string) {
	x := in[0]
	if o.Scale != 0 && o.Scale != 1 {
		s := b.unique(out + "_scaled")
		b.emit("Mul", name+"/scale", []string{x, b.constant(scalar(name+"_scale", float32(o.Scale)))}, s)
		x = s
	}
	if len(in) == 2 {
		s := b.unique(out + "_masked")
		b.emit("Add", name+"/mask", []string{x, in[1]}, s)
		x = s
	}
	op := "Softmax"
	if o.Log {
		op = "LogSoftmax"
	}
	b.emit(op, name, []string{x}, out, intAttr("axis", o.Axis))
}

// gather emits a Gather. The network holds indices as floats, which are whole numbers,
// so the Cast in front changes none; ONNX wants whole-number types.
func (b *builder) gather(o frozen.Gather, name, table, indices, out string) {
	whole := b.unique(name + "_indices")
	b.emit("Cast", name+"/indices", []string{indices}, whole, intAttr("to", int(onnxpb.TensorProto_INT64)))
	b.emit("Gather", name, []string{table, whole}, out, intAttr("axis", o.Axis))
}

// layerNorm emits a LayerNormalization, which wants a scale.
func (b *builder) layerNorm(o frozen.LayerNorm, name string, in []string, out string, x []int) error {
	if o.RMS {
		b.rmsNorm(o, name, in, out, len(x))
		return nil
	}
	if len(in) == 1 {
		dims := x[o.Axis:]
		n := 1
		for _, d := range dims {
			n *= d
		}
		in = append(in, b.constant(floats(name+"_scale", dims, slices.Repeat([]float32{1}, n))))
	}
	b.emit("LayerNormalization", name, in, out, intAttr("axis", o.Axis), floatAttr("epsilon", o.Eps))
	return nil
}

// rmsNorm emits the steps of a normalisation by the mean square; RMSNormalization came with
// opset 23.
func (b *builder) rmsNorm(o frozen.LayerNorm, name string, in []string, out string, rank int) {
	var axes []int
	for a := o.Axis; a < rank; a++ {
		axes = append(axes, a)
	}
	steps := []struct {
		op, name string
		second   string
		attrs    []*onnxpb.AttributeProto
	}{
		{"Mul", "square", in[0], nil},
		{"ReduceMean", "mean", b.constant(ints(name+"_axes", axes...)), []*onnxpb.AttributeProto{intAttr("keepdims", 1)}},
		{"Add", "epsilon", b.constant(scalar(name+"_epsilon", float32(o.Eps))), nil},
		{"Sqrt", "root", "", nil},
		{"Div", "quotient", "", nil},
	}
	for i, p := range in[1:] {
		steps = append(steps, steps[0])
		steps[len(steps)-1].op, steps[len(steps)-1].name, steps[len(steps)-1].second = [...]string{"Mul", "Add"}[i], [...]string{"gamma", "beta"}[i], p
	}
	at := in[0]
	for i, s := range steps {
		args, to := []string{at}, out
		if s.op == "Div" {
			args = []string{in[0], at}
		}
		if s.second != "" {
			args = append(args, s.second)
		}
		if i < len(steps)-1 {
			to = b.unique(out + "_" + s.name)
		}
		b.emit(s.op, name+"/"+s.name, args, to, s.attrs...)
		at = to
	}
}
