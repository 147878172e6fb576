package coremlout

// This file says how layers with weights are written.

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/mlpb"
	"github.com/goqat/goqat/qat/frozen"
)

func (b *builder) conv(l *frozen.Layer, o frozen.Conv, out string) value {
	in := b.values(l.Inputs)
	if b.err != nil {
		return value{}
	}
	if !b.isConst(l.Inputs[1]) && max(o.Dilation[0], o.Dilation[1]) > 1 {
		b.fail("conv with dilation %v and weights that are computed: Core ML wants constant weights or dilation 1", o.Dilation)
	}
	args := []arg{
		{"x", in[0]}, {"weight", in[1]}, {"strides", o.Stride[:]}, {"pad_type", "custom"}, {"pad", sides(o.Pad)},
		{"dilations", o.Dilation[:]}, {"groups", o.Groups},
	}
	return b.biased(l, out, func(name string, bias ...arg) value {
		return b.emit("conv", name, b.float, b.shapes[l.Output], append(args, bias...)...)
	})
}

// biased emits a product that takes a constant bias as an argument. One that is
// computed is added behind it.
func (b *builder) biased(l *frozen.Layer, out string, product func(name string, bias ...arg) value) value {
	if f := b.liftOf(l.Inputs[1]); f != nil {
		return b.lowered(l, f, out, product(b.step(out)))
	}
	switch {
	case len(l.Inputs) == 2:
		return product(out)
	case b.isConst(l.Inputs[2]):
		return product(out, arg{"bias", b.value(l.Inputs[2])})
	}
	return b.addBias(l, out, product(b.step(out)))
}

// addBias adds the bias of a product behind it.
func (b *builder) addBias(l *frozen.Layer, out string, y value) value {
	bias := b.value(l.Inputs[2])
	if _, ok := l.Op.(frozen.Conv); ok {
		bias = b.reshape(bias, []int{1, bias.shape[0], 1, 1}, b.step(out))
	}
	return b.same("add", out, y, arg{"y", bias})
}

// lowered takes back what the scales of a product's weights were lifted by, and adds the
// bias.
func (b *builder) lowered(l *frozen.Layer, f *lift, out string, y value) value {
	shape := []int{1, len(f.down)}
	if _, ok := l.Op.(frozen.Conv); ok {
		shape = append(shape, 1, 1)
	}
	down := arg{"y", b.floats(out+"_down", shape, f.down...)}
	if len(l.Inputs) == 2 {
		return b.same("mul", out, y, down)
	}
	return b.addBias(l, out, b.same("mul", b.step(out), y, down))
}

// matMul emits a matrix product: linear with constant weights [out, in], which is what
// Core ML calls a fully connected layer, else matmul.
func (b *builder) matMul(l *frozen.Layer, o frozen.MatMul, out string) value {
	x, shape := b.value(l.Inputs[0]), b.shapes[l.Output]
	if b.err != nil {
		return value{}
	}
	if w := l.Inputs[1]; b.isLinear(l, o) {
		weight := b.value
		if !o.TransB {
			weight = b.transposed
		}
		args := []arg{{"x", x}, {"weight", weight(w)}}
		return b.biased(l, out, func(name string, bias ...arg) value {
			return b.emit("linear", name, b.float, shape, append(args, bias...)...)
		})
	}
	in := b.values(l.Inputs)
	name := out
	if len(in) == 3 {
		name = b.step(out)
	}
	y := b.emit("matmul", name, b.float, shape, arg{"x", x}, arg{"y", in[1]}, arg{"transpose_x", o.TransA}, arg{"transpose_y", o.TransB})
	if len(in) == 3 {
		y = b.same("add", out, y, arg{"y", in[2]})
	}
	return y
}

// batchNorm emits a normalisation with constant statistics. MIL's wants 3 axes at
// least; a matrix is multiplied and added to.
func (b *builder) batchNorm(l *frozen.Layer, o frozen.BatchNorm, out string) value {
	x := b.value(l.Inputs[0])
	var stats [4][]float32 // gamma, beta, mean, variance
	for i, t := range l.Inputs[1:] {
		if !b.isConst(t) {
			b.fail("%s whose %q is computed: Core ML wants constant statistics", o.Kind(), b.net.Tensors[t].Name)
			return value{}
		}
		values, err := b.net.Tensors[t].Values()
		if err != nil {
			b.fail("%w", err)
			return value{}
		}
		stats[i] = values
	}
	if len(x.shape) > 2 {
		in := b.values(l.Inputs)
		return b.same("batch_norm", out, x, arg{"mean", in[3]}, arg{"variance", in[4]}, arg{"gamma", in[1]}, arg{"beta", in[2]},
			arg{"epsilon", float32(o.Eps)})
	}
	scale, shift := make([]float32, len(stats[0])), make([]float32, len(stats[0]))
	for c := range scale {
		s := float64(stats[0][c]) / math.Sqrt(float64(stats[3][c])+o.Eps)
		scale[c], shift[c] = float32(s), float32(float64(stats[1][c])-float64(s*float64(stats[2][c])))
	}
	shape := []int{1, len(scale)}
	y := b.same("mul", b.step(out), x, arg{"y", b.floats(out+"_scale", shape, scale...)})
	return b.same("add", out, y, arg{"y", b.floats(out+"_shift", shape, shift...)})
}

// gather looks up rows. Indices are floats in the network and int32 in MIL.
func (b *builder) gather(l *frozen.Layer, o frozen.Gather, out string) value {
	table, n := b.value(l.Inputs[0]), b.shapes[l.Inputs[0]][o.Axis]
	indices := b.indices(l.Inputs[1], n, out)
	if b.err != nil {
		return value{}
	}
	args := []arg{{"x", table}, {"indices", indices}, {"axis", o.Axis}, {"batch_dims", 0}}
	if b.opt.Target.atLeast(IOS17) {
		args = append(args, arg{"validate_indices", false})
	}
	return b.emit("gather", out, b.float, b.shapes[l.Output], args...)
}

// indices emits tensor t as int32 from 0 to n-1: gather of iOS 17 does not count
// negative ones from the end.
func (b *builder) indices(t, n int, out string) value {
	name, shape := b.names.unique(out+"_indices"), b.shapes[t]
	if b.isConst(t) {
		list, err := constIndices(&b.net.Tensors[t], n)
		if err != nil {
			b.fail("%w", err)
		}
		v := b.store(data{dtype: mlpb.DataType_INT32, ints: list}, shape)
		return b.constant(name, v, mlpb.DataType_INT32, shape)
	}
	x := b.wide(t, n)
	if b.err != nil {
		return value{}
	}
	dtype, step := x.dtype, func() string { return b.step(out) }
	// -1 for negative indices and 0 for the others, n times, is taken off.
	negative := b.emit("clip", step(), dtype, shape, arg{"x", x}, arg{"alpha", b.scalar(out, dtype, -1)}, arg{"beta", b.scalar(out, dtype, 0)})
	wrap := b.emit("mul", step(), dtype, shape, arg{"x", negative}, arg{"y", b.scalar(out, dtype, float32(n))})
	fixed := b.emit("sub", step(), dtype, shape, arg{"x", x}, arg{"y", wrap})
	return b.emit("cast", name, mlpb.DataType_INT32, shape, arg{"x", fixed}, arg{"dtype", "int32"})
}

// scalar is a constant of either float type.
func (b *builder) scalar(out string, dtype mlpb.DataType, v float32) value {
	return b.constant(out+"_constant", b.store(data{dtype: dtype, floats: []float32{v}}, nil), dtype, nil)
}

// wide returns tensor t, indices below n, as a value that holds them exactly: float16
// has no odd numbers above 2048, so an input is taken before it is cast.
func (b *builder) wide(t, n int) value {
	if slices.Contains(b.net.Inputs, t) && b.net.Tensors[t].Quant == nil {
		return value{b.id[t], mlpb.DataType_FLOAT32, b.shapes[t]}
	}
	if b.float == mlpb.DataType_FLOAT16 && n > 2048 {
		b.fail("indices up to %d that are computed in float16, which is exact up to 2048: export with Compute Float32", n-1)
	}
	return b.value(t)
}

func constIndices(t *frozen.Tensor, n int) ([]int32, error) {
	values, err := t.Values()
	if err != nil {
		return nil, err
	}
	list := make([]int32, len(values))
	for i, v := range values {
		if k := float64(v); k != math.Trunc(k) || k < float64(-n) || k >= float64(n) {
			return nil, fmt.Errorf("index %v in %q: want a whole number from %d to %d", v, t.Name, -n, n-1)
		}
		if list[i] = int32(v); list[i] < 0 {
			list[i] += int32(n)
		}
	}
	return list, nil
}
