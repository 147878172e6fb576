package coremlout

import (
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/internal/nn"
)

// arguments are the inputs of one operation, decoded.
type arguments struct {
	p    *program
	op   *mlpb.Operation
	all  map[string][]tensor
	read map[string]bool
}

// evaluate computes an operation by its definition in coremltools. An argument that is
// missing, or that the operation does not know, fails the test.
func (p *program) evaluate(op *mlpb.Operation) tensor {
	p.t.Helper()
	a := &arguments{p, op, map[string][]tensor{}, map[string]bool{}}
	for k, arg := range op.Inputs {
		for _, b := range arg.Arguments {
			v, ok := p.env[b.GetName()]
			if b.GetValue() != nil {
				v, ok = p.value(b.GetValue()), true
			}
			if !ok {
				p.t.Fatalf("%s: %s is %q, which nothing defined", op.Type, k, b.GetName())
			}
			a.all[k] = append(a.all[k], v)
		}
	}
	for k, v := range op.Attributes {
		if k != "name" {
			a.all[k] = append(a.all[k], p.value(v))
		}
	}
	out := a.compute()
	for k := range a.all {
		if !a.read[k] {
			p.t.Errorf("%s: unknown argument %q", op.Type, k)
		}
	}
	if out.dtype == mlpb.DataType_FLOAT16 {
		out.data = slices.Clone(out.data)
		for i, v := range out.data {
			out.data[i] = fromHalf(kern.Half(v))
		}
	}
	return out
}

func (a *arguments) has(name string) bool { return a.all[name] != nil }

func (a *arguments) get(name string) tensor {
	a.p.t.Helper()
	a.read[name] = true
	if len(a.all[name]) != 1 {
		a.p.t.Fatalf("%s: argument %q is given %d times", a.op.Type, name, len(a.all[name]))
	}
	return a.all[name][0]
}

func (a *arguments) ints(name string, want ...int) []int {
	a.p.t.Helper()
	v := a.get(name)
	a.p.want(v.dtype, mlpb.DataType_INT32)
	out := []int{}
	for _, x := range v.data {
		out = append(out, int(x))
	}
	if len(want) > 0 && len(out) != want[0] {
		a.p.t.Fatalf("%s: %s is %v, want %d numbers", a.op.Type, name, out, want[0])
	}
	return out
}

func (a *arguments) int(name string) int {
	a.p.t.Helper()
	if len(a.get(name).shape) != 0 {
		a.p.t.Errorf("%s: %s is no scalar", a.op.Type, name)
	}
	return a.ints(name, 1)[0]
}

func (a *arguments) bool(name string) bool {
	v := a.get(name)
	a.p.want(v.dtype, mlpb.DataType_BOOL)
	return v.data[0] == 1
}

// float is a parameter of x's type.
func (a *arguments) float(name string, x tensor) float64 {
	a.p.t.Helper()
	v := a.get(name)
	a.p.want(v.dtype, x.dtype)
	return float64(v.data[0])
}

// layer computes op; all inputs must have the same float type.
func (a *arguments) layer(op nn.Op, in ...tensor) tensor {
	a.p.t.Helper()
	var list []nn.Tensor[float32]
	var shapes [][]int
	for _, v := range in {
		a.p.want(v.dtype, in[0].dtype)
		list, shapes = append(list, nn.Tensor[float32]{Shape: v.shape, Data: v.data}), append(shapes, v.shape)
	}
	shape, err := nn.OutShape(op, shapes)
	if err != nil {
		a.p.t.Fatalf("%s: %v", a.op.Type, err)
	}
	out := tensor{dtype: in[0].dtype, shape: shape, data: make([]float32, elements(shape))}
	if err := nn.Forward(op, nn.Tensor[float32]{Shape: shape, Data: out.data}, list); err != nil {
		a.p.t.Fatalf("%s: %v", a.op.Type, err)
	}
	return out
}

// optional appends an argument that may be missing.
func (a *arguments) optional(list []tensor, name string) []tensor {
	if a.has(name) {
		list = append(list, a.get(name))
	}
	return list
}

func (a *arguments) compute() tensor {
	switch a.op.Type {
	case "const":
		return a.get("val")
	case "constexpr_blockwise_shift_scale":
		return a.blockwise()
	case "constexpr_affine_dequantize":
		return a.affine()
	case "quantize":
		return a.quantize()
	case "dequantize":
		return a.dequantize()
	case "concat":
		a.read["values"] = true
		if a.bool("interleave") {
			a.p.t.Error("concat interleaves")
		}
		return a.layer(nn.Concat{Axis: a.int("axis")}, a.all["values"]...)
	case "select":
		cond, to := a.get("cond"), a.get("a")
		a.p.want(cond.dtype, mlpb.DataType_BOOL)
		cond.dtype = to.dtype
		return a.layer(nn.Where{}, cond, to, a.get("b"))
	}
	return a.computeOf(a.get("x"))
}

// sides is the padding in the order of package nn.
func (a *arguments) sides() [4]int {
	p := a.ints("pad", 4)
	if a.get("pad_type").text != "custom" {
		a.p.t.Errorf("%s: pad_type %q", a.op.Type, a.get("pad_type").text)
	}
	return [4]int{p[0], p[2], p[1], p[3]}
}

func two(v []int) [2]int { return [2]int{v[0], v[1]} }

func (a *arguments) computeOf(x tensor) tensor {
	reshaped := func(shape []int) tensor { return tensor{dtype: x.dtype, shape: shape, data: x.data} }
	switch kind := a.op.Type; kind {
	case "conv":
		op := nn.Conv{Stride: two(a.ints("strides", 2)), Pad: a.sides(), Dilation: two(a.ints("dilations", 2)), Groups: a.int("groups")}
		return a.layer(op, a.optional([]tensor{x, a.get("weight")}, "bias")...)
	case "linear":
		return a.layer(nn.MatMul{TransB: true}, a.optional([]tensor{x, a.get("weight")}, "bias")...)
	case "matmul":
		return a.layer(nn.MatMul{TransA: a.bool("transpose_x"), TransB: a.bool("transpose_y")}, x, a.get("y"))
	case "add", "sub", "mul", "pow":
		return a.layer(nn.Binary{Fn: kind}, x, a.get("y"))
	case "minimum", "maximum":
		return a.layer(nn.Binary{Fn: kind[:3]}, x, a.get("y"))
	case "less", "less_equal", "greater", "greater_equal", "equal", "not_equal":
		out := a.layer(nn.Binary{Fn: kind}, x, a.get("y"))
		out.dtype = mlpb.DataType_BOOL
		return out
	case "real_div":
		return a.layer(nn.Binary{Fn: "div"}, x, a.get("y"))
	case "relu", "sigmoid", "tanh", "exp", "abs", "sign", "ceil", "floor", "sin", "cos", "sqrt", "softplus", "erf":
		return a.layer(nn.Unary{Fn: kind}, x)
	case "log":
		if a.float("epsilon", x) > 1e-44 {
			a.p.t.Error("log adds a number")
		}
		return a.layer(nn.Unary{Fn: "log"}, x)
	case "relu6":
		return a.layer(nn.Unary{Fn: "clip", Max: 6}, x)
	case "clip":
		return a.layer(nn.Unary{Fn: "clip", Min: a.float("alpha", x), Max: a.float("beta", x)}, x)
	case "leaky_relu":
		return a.layer(nn.Unary{Fn: "leaky_relu", Alpha: a.float("alpha", x)}, x)
	case "max_pool", "avg_pool":
		op := nn.Pool{Average: kind == "avg_pool", Kernel: two(a.ints("kernel_sizes", 2)), Stride: two(a.ints("strides", 2)), Pad: a.sides()}
		if op.Average {
			op.ExcludePad = a.bool("exclude_padding_from_average")
		}
		if a.bool("ceil_mode") {
			a.p.t.Error("ceil_mode")
		}
		return a.layer(op, x)
	case "reduce_sum", "reduce_mean", "reduce_max", "reduce_min":
		out := a.layer(nn.Reduce{Fn: kind[7:], Axes: a.ints("axes")}, x)
		if a.bool("keep_dims") {
			for _, i := range a.ints("axes") {
				out.shape = slices.Insert(out.shape, i, 1)
			}
		}
		return out
	case "layer_norm":
		return a.layer(nn.LayerNorm{Axis: a.ints("axes")[0], Eps: a.float("epsilon", x)}, a.optional(a.optional([]tensor{x}, "gamma"), "beta")...)
	case "softmax":
		return a.layer(nn.Softmax{Axis: a.int("axis")}, x)
	case "transpose":
		return a.layer(nn.Transpose{Perm: a.ints("perm", len(x.shape))}, x)
	case "reshape":
		if len(x.shape) == 0 {
			a.p.t.Error("reshape of a scalar")
		}
		return reshaped(a.ints("shape"))
	case "squeeze":
		shape := slices.Clone(x.shape)
		for _, i := range slices.Backward(a.ints("axes")) {
			shape = slices.Delete(shape, i, i+1)
		}
		return reshaped(shape)
	case "expand_dims":
		shape := slices.Clone(x.shape)
		for _, i := range a.ints("axes") {
			shape = slices.Insert(shape, i, 1)
		}
		return reshaped(shape)
	case "identity":
		return x
	case "slice_by_index":
		begin, end, stride := a.ints("begin", len(x.shape)), a.ints("end", len(x.shape)), a.ints("stride", len(x.shape))
		for i := range begin {
			x = a.layer(nn.Slice{Axis: i, Start: begin[i], End: end[i], Step: stride[i]}, x)
		}
		return x
	case "batch_norm":
		return a.layer(nn.BatchNorm{Eps: a.float("epsilon", x)}, x, a.get("gamma"), a.get("beta"), a.get("mean"), a.get("variance"))
	case "pad":
		var op nn.Pad
		for i, n := range a.ints("pad", 2*len(x.shape)) {
			if i%2 == 0 {
				op.Before = append(op.Before, n)
			} else {
				op.After = append(op.After, n)
			}
		}
		if op.Value = a.float("constant_val", x); a.get("mode").text != "constant" {
			a.p.t.Error("pad mode")
		}
		return a.layer(op, x)
	case "local_response_norm":
		return a.layer(nn.LRN{Size: a.int("size"), Alpha: a.float("alpha", x), Beta: a.float("beta", x), Bias: a.float("k", x)}, x)
	case "gather":
		return a.gather(x)
	case "cast":
		to := map[string]mlpb.DataType{"fp16": mlpb.DataType_FLOAT16, "fp32": mlpb.DataType_FLOAT32, "int32": mlpb.DataType_INT32, "bool": mlpb.DataType_BOOL}
		return tensor{dtype: to[a.get("dtype").text], shape: x.shape, data: x.data}
	}
	a.p.t.Fatalf("unknown operation %q", a.op.Type)
	return tensor{}
}

func (a *arguments) gather(x tensor) tensor {
	indices := a.get("indices")
	a.p.want(indices.dtype, mlpb.DataType_INT32)
	for _, v := range indices.data {
		if v < 0 {
			a.p.t.Error("negative index, which iOS 17 does not know")
		}
	}
	if a.int("batch_dims") != 0 || a.p.opset != "CoreML6" && a.bool("validate_indices") {
		a.p.t.Error("gather with batches or validation")
	}
	indices.dtype = x.dtype
	return a.layer(nn.Gather{Axis: a.int("axis")}, x, indices)
}

// blockwise is scale·(data - offset), the scales repeated over their blocks.
func (a *arguments) blockwise() tensor {
	d, s := a.get("data"), a.get("scale")
	offset := make([]float32, len(s.data))
	if a.has("offset") {
		o := a.get("offset")
		a.p.want(o.dtype, d.dtype)
		if offset = o.data; !slices.Equal(o.shape, s.shape) {
			a.p.t.Errorf("offset %v, scale %v", o, s)
		}
	}
	if a.p.opset != "CoreML8" || len(d.shape) != len(s.shape) || len(d.shape) == 0 {
		a.p.t.Fatalf("blockwise data %v, scale %v in %s", d, s, a.p.opset)
	}
	out := tensor{dtype: s.dtype, shape: d.shape, data: make([]float32, len(d.data))}
	for i := range d.data {
		group, stride, rest := 0, 1, i
		for k := len(d.shape) - 1; k >= 0; k-- {
			if d.shape[k]%s.shape[k] != 0 {
				a.p.t.Fatalf("scale %v for data %v", s, d)
			}
			group += rest % d.shape[k] / (d.shape[k] / s.shape[k]) * stride
			rest /= d.shape[k]
			stride *= s.shape[k]
		}
		out.data[i] = (d.data[i] - offset[group]) * s.data[group]
	}
	return out
}

// affine is the form before iOS 18, with parameters as attributes.
func (a *arguments) affine() tensor {
	d, s, z, axis := a.get("quantized_data"), a.get("scale"), a.get("zero_point"), a.int("axis")
	a.p.want(z.dtype, d.dtype)
	if len(a.op.Inputs) != 0 || bitsOf(d.dtype) != 8 || !slices.Equal(s.shape, z.shape) ||
		len(s.shape) > 1 || len(s.shape) == 1 && s.shape[0] != d.shape[axis] {
		a.p.t.Fatalf("affine data %v, scale %v, zero point %v, axis %d", d, s, z, axis)
	}
	out := tensor{dtype: s.dtype, shape: d.shape, data: make([]float32, len(d.data))}
	inner := elements(d.shape[axis+1:])
	for i := range d.data {
		g := 0
		if len(s.shape) == 1 {
			g = i / inner % d.shape[axis]
		}
		out.data[i] = (d.data[i] - z.data[g]) * s.data[g]
	}
	return out
}

// params are the per-tensor scale and zero point of quantize and dequantize.
func (a *arguments) params(codes mlpb.DataType) kern.Grid {
	s := a.get("scale")
	g := kern.Grid{Scale: s.data[0], Qmin: -128, Qmax: 127}
	if codes == mlpb.DataType_UINT8 {
		g.Qmin, g.Qmax = 0, 255
	}
	if a.has("zero_point") {
		z := a.get("zero_point")
		a.p.want(z.dtype, codes)
		if g.ZeroPoint = int32(z.data[0]); len(z.shape) != 0 {
			a.p.t.Error("zero point of rank 1")
		}
	}
	if len(s.shape) != 0 || a.p.opset == "CoreML6" || math.IsInf(float64(g.Scale), 0) || g.Scale <= 0 {
		a.p.t.Errorf("scale %v", s)
	}
	return g
}

func (a *arguments) quantize() tensor {
	x := a.get("input")
	a.p.want(a.get("scale").dtype, x.dtype)
	to := map[string]mlpb.DataType{"int8": mlpb.DataType_INT8, "uint8": mlpb.DataType_UINT8}[a.get("output_dtype").text]
	g := a.params(to)
	out := tensor{dtype: to, shape: x.shape, data: make([]float32, len(x.data))}
	for i, v := range x.data {
		out.data[i] = float32(kern.QuantizeOne(v, g))
	}
	return out
}

func (a *arguments) dequantize() tensor {
	x := a.get("input")
	g := a.params(x.dtype)
	out := tensor{dtype: a.get("scale").dtype, shape: x.shape, data: make([]float32, len(x.data))}
	for i, v := range x.data {
		out.data[i] = kern.DequantizeOne(int32(v), g)
	}
	return out
}
