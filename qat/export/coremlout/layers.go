package coremlout

// This file says how the other layers are written.

import (
	"math"
	"slices"

	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
)

// op emits layer i without activation and rounding, in a value called out.
func (b *builder) op(i int, out string) value {
	l := &b.net.Layers[i]
	shape := b.shapes[l.Output]
	switch o := l.Op.(type) {
	case frozen.Conv:
		return b.conv(l, o, out)
	case frozen.MatMul:
		return b.matMul(l, o, out)
	case frozen.BatchNorm:
		return b.batchNorm(l, o, out)
	case frozen.Gather:
		return b.gather(l, o, out)
	}
	in := b.values(l.Inputs)
	if b.err != nil {
		return value{}
	}
	x := in[0]
	switch o := l.Op.(type) {
	case frozen.Unary:
		return b.unary(o, x, out)
	case frozen.Binary:
		if kind, ok := binaryOps[o.Fn]; ok {
			return b.emit(kind, out, b.float, shape, arg{"x", x}, arg{"y", in[1]})
		}
		if kind, ok := compareOps[o.Fn]; ok {
			is := b.emit(kind, b.step(out), mlpb.DataType_BOOL, shape, arg{"x", x}, arg{"y", in[1]})
			return b.emit("cast", out, b.float, shape, arg{"x", is}, arg{"dtype", b.floatName()})
		}
	case frozen.Where:
		is := b.emit("cast", b.step(out), mlpb.DataType_BOOL, x.shape, arg{"x", x}, arg{"dtype", "bool"})
		return b.emit("select", out, b.float, shape, arg{"cond", is}, arg{"a", in[1]}, arg{"b", in[2]})
	case frozen.Pool:
		return b.pool(o, x, shape, out)
	case frozen.GlobalAvgPool:
		return b.emit("reduce_mean", out, b.float, shape, arg{"x", x}, arg{"axes", []int{2, 3}}, arg{"keep_dims", true})
	case frozen.Reduce:
		if kind, ok := reduceOps[o.Fn]; ok {
			return b.emit(kind, out, b.float, shape, arg{"x", x}, arg{"axes", o.Axes}, arg{"keep_dims", false})
		}
	case frozen.Reshape:
		return b.reshape(x, shape, out)
	case frozen.Transpose:
		if len(shape) == 0 {
			return b.identity(x, out)
		}
		return b.emit("transpose", out, b.float, shape, arg{"x", x}, arg{"perm", o.Perm})
	case frozen.Concat:
		if len(in) == 1 {
			return b.identity(x, out)
		}
		return b.emit("concat", out, b.float, shape, arg{"values", in}, arg{"axis", o.Axis}, arg{"interleave", false})
	case frozen.Slice:
		return b.slice(o, x, shape, out)
	case frozen.Softmax:
		return b.softmax(o, in, out)
	case frozen.LayerNorm:
		if o.RMS {
			return b.rmsNorm(o, in, out)
		}
		return b.layerNorm(o, in, out)
	case frozen.GroupNorm:
		return b.groupNorm(o, in, out)
	case frozen.Dropout:
		return b.identity(x, out)
	case frozen.Pad:
		return b.pad(o, x, shape, out)
	case frozen.LRN:
		return b.lrn(o, x, out)
	}
	b.fail("%s (%T): rewrite it with other layers, or end the network before it", l.Op.Kind(), l.Op)
	return value{}
}

var (
	binaryOps  = map[string]string{"add": "add", "sub": "sub", "mul": "mul", "div": "real_div", "pow": "pow", "min": "minimum", "max": "maximum"}
	compareOps = map[string]string{"less": "less", "less_equal": "less_equal", "greater": "greater", "greater_equal": "greater_equal", "equal": "equal", "not_equal": "not_equal"}
	reduceOps  = map[string]string{"sum": "reduce_sum", "mean": "reduce_mean", "max": "reduce_max", "min": "reduce_min"}
)

// unaryOps are the functions that are one operation without parameters.
var unaryOps = []string{"relu", "sigmoid", "tanh", "exp", "abs", "sign", "ceil", "floor", "sin", "cos", "sqrt", "softplus", "erf", "silu"}

// unary emits an elementwise function. MIL's inverse and rsqrt add a number to their
// input, and it has no log1p and expm1: these are written with other operations. The
// last two lose relative precision near 0, as the float type does.
func (b *builder) unary(u frozen.Unary, x value, out string) value {
	if slices.Contains(unaryOps, u.Fn) {
		return b.same(u.Fn, out, x)
	}
	switch u.Fn {
	case "clip":
		if u.Min == 0 && u.Max == 6 {
			return b.same("relu6", out, x)
		}
		return b.same("clip", out, x, arg{"alpha", b.limit(u.Min)}, arg{"beta", b.limit(u.Max)})
	case "leaky_relu":
		return b.same("leaky_relu", out, x, arg{"alpha", float32(u.Alpha)})
	case "gelu":
		return b.same("gelu", out, x, arg{"mode", "EXACT"})
	case "gelu_tanh":
		return b.same("gelu", out, x, arg{"mode", "TANH_APPROXIMATION"})
	case "hard_sigmoid":
		return b.same("sigmoid_hard", out, x, arg{"alpha", float32(u.Alpha)}, arg{"beta", float32(u.Beta)})
	case "hard_swish":
		gate := b.same("sigmoid_hard", b.step(out), x, arg{"alpha", float32(1.0 / 6)}, arg{"beta", float32(0.5)})
		return b.same("mul", out, x, arg{"y", gate})
	case "elu":
		return b.same("elu", out, x, arg{"alpha", float32(u.Alpha)})
	case "neg":
		return b.same("mul", out, x, arg{"y", float32(-1)})
	case "square":
		return b.same("mul", out, x, arg{"y", x})
	case "cube":
		return b.same("mul", out, b.same("mul", b.step(out), x, arg{"y", x}), arg{"y", x})
	case "inv":
		return b.reciprocal(x, out)
	case "inv_sqrt":
		return b.reciprocal(b.same("sqrt", b.step(out), x), out)
	case "log":
		return b.log(x, out)
	case "log2":
		return b.same("mul", out, b.log(x, b.step(out)), arg{"y", float32(1 / math.Ln2)})
	case "log1p":
		return b.log(b.same("add", b.step(out), x, arg{"y", float32(1)}), out)
	case "expm1":
		return b.same("sub", out, b.same("exp", b.step(out), x), arg{"y", float32(1)})
	}
	b.fail("the function %q: rewrite it with other layers, or end the network before it", u.Fn)
	return value{}
}

func (b *builder) reciprocal(x value, out string) value {
	one := b.floats(out+"_one", nil, 1)
	return b.emit("real_div", out, b.float, x.shape, arg{"x", one}, arg{"y", x})
}

// log adds MIL's default epsilon to its input, the smallest positive number.
func (b *builder) log(x value, out string) value {
	return b.same("log", out, x, arg{"epsilon", float32(1e-45)})
}

// limit brings a bound of a clip into the range of the float type, which it leaves
// open in any case.
func (b *builder) limit(v float64) float32 {
	top := float64(math.MaxFloat32)
	if b.float == mlpb.DataType_FLOAT16 {
		top = 65504
	}
	return float32(min(max(v, -top), top))
}

func (b *builder) pool(o frozen.Pool, x value, shape []int, out string) value {
	args := []arg{
		{"x", x}, {"kernel_sizes", o.Kernel[:]}, {"strides", o.Stride[:]},
		{"pad_type", "custom"}, {"pad", sides(o.Pad)}, {"ceil_mode", false},
	}
	if !o.Average {
		return b.emit("max_pool", out, b.float, shape, args...)
	}
	return b.emit("avg_pool", out, b.float, shape, append(args, arg{"exclude_padding_from_average", o.ExcludePad})...)
}

// slice emits a slice; one that drops the axis is a squeeze behind it.
func (b *builder) slice(o frozen.Slice, x value, shape []int, out string) value {
	begin, end, stride := make([]int, len(x.shape)), slices.Clone(x.shape), make([]int, len(x.shape))
	for i := range stride {
		stride[i] = 1
	}
	begin[o.Axis], end[o.Axis] = o.Start, o.End
	stride[o.Axis] = min(o.Step, x.shape[o.Axis]) // a longer one takes the first element alone, too
	cut, name := shape, out
	if o.Squeeze {
		cut, name = slices.Insert(slices.Clone(shape), o.Axis, 1), b.step(out)
	}
	v := b.emit("slice_by_index", name, b.float, cut, arg{"x", x}, arg{"begin", begin}, arg{"end", end}, arg{"stride", stride})
	if o.Squeeze {
		v = b.emit("squeeze", out, b.float, shape, arg{"x", v}, arg{"axes", []int{o.Axis}})
	}
	return v
}

// softmax emits a softmax, or its logarithm with the maximum taken off first:
// log(softmax(x)) would be -Inf for what is only unlikely.
func (b *builder) softmax(o frozen.Softmax, in []value, out string) value {
	x, axis := in[0], []int{o.Axis}
	if o.Scale != 0 && o.Scale != 1 {
		x = b.same("mul", b.step(out), x, arg{"y", float32(o.Scale)})
	}
	if len(in) == 2 {
		x = b.same("add", b.step(out), x, arg{"y", in[1]})
	}
	if !o.Log {
		return b.same("softmax", out, x, arg{"axis", o.Axis})
	}
	one := slices.Clone(x.shape)
	one[o.Axis] = 1
	top := b.emit("reduce_max", b.step(out), b.float, one, arg{"x", x}, arg{"axes", axis}, arg{"keep_dims", true})
	shifted := b.same("sub", b.step(out), x, arg{"y", top})
	exp := b.same("exp", b.step(out), shifted)
	sum := b.emit("reduce_sum", b.step(out), b.float, one, arg{"x", exp}, arg{"axes", axis}, arg{"keep_dims", true})
	return b.same("sub", out, shifted, arg{"y", b.log(sum, b.step(out))})
}

func (b *builder) pad(o frozen.Pad, x value, shape []int, out string) value {
	if len(shape) == 0 {
		return b.identity(x, out)
	}
	if o.Mode != "" {
		b.fail("pad with mode %s: Core ML gets pads with a value: use one, or end the network before it", o.Mode)
		return value{}
	}
	var list []int
	for i := range o.Before {
		list = append(list, o.Before[i], o.After[i])
	}
	return b.emit("pad", out, b.float, shape, arg{"x", x}, arg{"pad", list}, arg{"mode", "constant"},
		arg{"constant_val", float32(o.Value)})
}

// lrn has MIL's formula. Where its window lies when the size is even, MIL does not say.
func (b *builder) lrn(o frozen.LRN, x value, out string) value {
	if o.Size%2 == 0 || len(x.shape) < 3 || len(x.shape) > 4 {
		b.fail("lrn with size %d on shape %v: Core ML has an odd size on 3 or 4 axes", o.Size, x.shape)
		return value{}
	}
	return b.same("local_response_norm", out, x, arg{"size", o.Size}, arg{"alpha", float32(o.Alpha)},
		arg{"beta", float32(o.Beta)}, arg{"k", float32(o.Bias)})
}

func (b *builder) layerNorm(o frozen.LayerNorm, in []value, out string) value {
	var axes []int
	for a := o.Axis; a < len(in[0].shape); a++ {
		axes = append(axes, a)
	}
	args := []arg{{"axes", axes}, {"epsilon", float32(o.Eps)}}
	for i, v := range in[1:] {
		args = append(args, arg{[...]string{"gamma", "beta"}[i], v})
	}
	return b.same("layer_norm", out, in[0], args...)
}

// rmsNorm is written in steps: MIL has none.
func (b *builder) rmsNorm(o frozen.LayerNorm, in []value, out string) value {
	x := in[0]
	one := slices.Clone(x.shape)
	var axes []int
	for a := o.Axis; a < len(one); a++ {
		axes, one[a] = append(axes, a), 1
	}
	square := b.same("mul", b.step(out), x, arg{"y", x})
	mean := b.emit("reduce_mean", b.step(out), b.float, one, arg{"x", square}, arg{"axes", axes}, arg{"keep_dims", true})
	root := b.same("sqrt", b.step(out), b.same("add", b.step(out), mean, arg{"y", float32(o.Eps)}))
	return b.scaleAndShift(func(out string) value { return b.same("real_div", out, x, arg{"y", root}) }, in[1:], out)
}

// groupNorm is a layer_norm of groups of channels, with a reshape in front and behind.
func (b *builder) groupNorm(o frozen.GroupNorm, in []value, out string) value {
	x := in[0]
	flat := []int{x.shape[0], o.Groups, elements(x.shape) / x.shape[0] / o.Groups}
	y := b.reshape(x, flat, b.step(out))
	y = b.same("layer_norm", b.step(out), y, arg{"axes", []int{2}}, arg{"epsilon", float32(o.Eps)})
	channels := slices.Repeat([]int{1}, len(x.shape))
	channels[1] = x.shape[1]
	params := slices.Clone(in[1:])
	for i, p := range params {
		params[i] = b.reshape(p, channels, b.step(out))
	}
	return b.scaleAndShift(func(out string) value { return b.reshape(y, x.shape, out) }, params, out)
}

// scaleAndShift emits what first does, and behind it the product with gamma and the sum with
// beta as far as they are there. The last of them is called out.
func (b *builder) scaleAndShift(first func(out string) value, params []value, out string) value {
	name := func(last bool) string {
		if last {
			return out
		}
		return b.step(out)
	}
	y := first(name(len(params) == 0))
	for i, p := range params {
		y = b.same([...]string{"mul", "add"}[i], name(i == len(params)-1), y, arg{"y", p})
	}
	return y
}
