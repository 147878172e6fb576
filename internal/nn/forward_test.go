package nn

import (
	"math"
	"slices"
	"testing"
)

// indices calls fn with every index of a shape, row-major.
func indices(shape []int, fn func(ix []int)) {
	ix := make([]int, len(shape))
	for i := range product(shape) {
		for a, rest := len(shape)-1, i; a >= 0; a-- {
			ix[a], rest = rest%shape[a], rest/shape[a]
		}
		fn(slices.Clone(ix))
	}
}

// at reads an element; missing leading axes and axes of size 1 repeat.
func at[F Float](x Tensor[F], ix []int) F {
	ix = ix[len(ix)-len(x.Shape):]
	o := 0
	for a, d := range x.Shape {
		i := ix[a]
		if d == 1 {
			i = 0
		}
		o = o*d + i
	}
	return x.Data[o]
}

func with(ix []int, axis, v int) []int {
	ix = slices.Clone(ix)
	ix[axis] = v
	return ix
}

// elementOf is the definition of every layer that has no other test of its forward
// pass: the output element at ix.
func elementOf(op Op, in []Tensor[float64], ix []int) float64 {
	x := in[0]
	switch o := op.(type) {
	case Conv:
		return convElement(o, in, ix)
	case ConvTranspose:
		return convTransposeElement(o, in, ix)
	case MatMul:
		return matElement(o, in, ix)
	case Pool:
		return poolElement(o, x, ix)
	case GlobalAvgPool:
		h, w := x.Shape[2], x.Shape[3]
		return poolElement(Pool{Average: true, Kernel: [2]int{h, w}, Stride: one1}, x, ix)
	case Binary:
		a, b := at(x, ix), at(in[1], ix)
		is := map[bool]float64{true: 1}
		return map[string]float64{"add": a + b, "sub": a - b, "mul": a * b, "div": a / b, "pow": math.Pow(a, b), "min": min(a, b), "max": max(a, b),
			"less": is[a < b], "less_equal": is[a <= b], "greater": is[a > b], "greater_equal": is[a >= b], "equal": is[a == b], "not_equal": is[a != b]}[o.Fn]
	case Where:
		if at(x, ix) != 0 {
			return at(in[1], ix)
		}
		return at(in[2], ix)
	case Reduce:
		return reduceElement(o, x, ix)
	case Transpose:
		from := make([]int, len(ix))
		for i, p := range o.Perm {
			from[p] = ix[i]
		}
		return at(x, from)
	case Concat:
		i := ix[o.Axis]
		for _, t := range in {
			if d := t.Shape[o.Axis]; i >= d {
				i -= d
				continue
			}
			return t.Data[offset(t.Shape, with(ix, o.Axis, i))]
		}
	case Slice:
		if o.Squeeze {
			return at(x, slices.Insert(slices.Clone(ix), o.Axis, o.Start))
		}
		if ix[o.Axis] == 0 {
			return at(x, with(ix, o.Axis, o.Start))
		}
		return at(x, with(ix, o.Axis, o.Start+ix[o.Axis]*o.Step))
	case Softmax:
		score := func(ix []int) float64 {
			s := at(x, ix)
			if o.Scale != 0 {
				s *= o.Scale
			}
			if len(in) == 2 {
				s += at(in[1], ix)
			}
			return s
		}
		var sum float64
		for i := range x.Shape[o.Axis] {
			sum += math.Exp(score(with(ix, o.Axis, i)))
		}
		if o.Log {
			return score(ix) - math.Log(sum)
		}
		return math.Exp(score(ix)) / sum
	case BatchNorm:
		c := ix[1]
		return (at(x, ix)-in[3].Data[c])/math.Sqrt(in[4].Data[c]+o.Eps)*in[1].Data[c] + in[2].Data[c]
	case GroupNorm:
		return groupNormElement(o, in, ix)
	case LayerNorm:
		return layerNormElement(o, in, ix)
	case Unary:
		return unaryElement(o, at(x, ix))
	case Dropout:
		return at(x, ix)
	case Take:
		return at(x, with(ix, o.Axis, o.Index[ix[o.Axis]]))
	case Resize:
		return resizeElement(o, x, ix, 0)
	case Pad:
		from := slices.Clone(ix)
		for a, n := range x.Shape {
			from[a] -= o.Before[a]
			for o.Mode != "" && (from[a] < 0 || from[a] >= n) { // step by step into the input
				switch {
				case n == 1:
					from[a] = 0
				case o.Mode == "edge":
					from[a] = min(max(from[a], 0), n-1)
				case o.Mode == "wrap" && from[a] < 0:
					from[a] += n
				case o.Mode == "wrap":
					from[a] -= n
				case from[a] < 0:
					from[a] = -from[a]
				default:
					from[a] = 2*(n-1) - from[a]
				}
			}
			from[a] += o.Before[a]
		}
		for a := range from {
			if from[a] -= o.Before[a]; from[a] < 0 || from[a] >= x.Shape[a] {
				return o.Value
			}
		}
		return at(x, from)
	case LRN:
		sum := 0.0
		for c := ix[1] - (o.Size-1)/2; c <= ix[1]+o.Size/2; c++ {
			if c >= 0 && c < x.Shape[1] {
				sum += math.Pow(at(x, with(ix, 1, c)), 2)
			}
		}
		return at(x, ix) * math.Exp(-o.Beta*math.Log(o.Bias+o.Alpha*sum/float64(o.Size)))
	case Gather:
		r := len(in[1].Shape)
		i := int(in[1].Data[offset(in[1].Shape, ix[o.Axis:o.Axis+r])])
		if i < 0 {
			i += x.Shape[o.Axis]
		}
		return x.Data[offset(x.Shape, slices.Concat(ix[:o.Axis], []int{i}, ix[o.Axis+r:]))]
	}
	panic("no definition of " + op.Kind())
}

// resizeElement is the element at ix with axes from the k-th on resampled, in the words of
// ONNX's reference: neighbours from the left, weights by distance.
func resizeElement(o Resize, x Tensor[float64], ix []int, k int) (sum float64) {
	if k == len(o.Axes) {
		return x.Data[offset(x.Shape, ix)]
	}
	a := o.Axes[k]
	n := x.Shape[a]
	scale := float64(o.Size[k]) / float64(n)
	if o.Scale != nil {
		scale = o.Scale[k]
	}
	j, length := float64(ix[a]), scale*float64(n)
	place := (j+0.5)/scale - 0.5
	switch {
	case o.Coordinates == "asymmetric":
		place = j / scale
	case o.Size[k] == 1 && o.Coordinates != "half_pixel":
		place = 0
	case o.Coordinates == "align_corners":
		place = j * float64(n-1) / (length - 1)
	case o.Coordinates == "half_pixel_symmetric":
		place += float64(n) / 2 * (1 - float64(o.Size[k])/length)
	}
	inside := func(i int) int { return min(max(i, 0), n-1) }
	if o.Mode == "nearest" {
		near := map[string]float64{"floor": math.Floor(place), "ceil": math.Ceil(place), "round_prefer_floor": math.Ceil(place - 0.5), "round_prefer_ceil": math.Floor(place + 0.5)}
		return resizeElement(o, x, with(ix, a, inside(int(near[o.Nearest]))), k+1)
	}
	if !o.Antialias {
		scale = 1
	}
	var total float64
	c := o.Cubic
	for i := -2 * n; i < 3*n; i++ {
		d := math.Abs(float64(i)-place) * min(scale, 1)
		w := max(0, 1-d)
		if o.Mode == "cubic" {
			w = (c+2)*d*d*d - (c+3)*d*d + 1
			if d > 1 {
				w = c*d*d*d - 5*c*d*d + 8*c*d - 4*c
			}
			if d >= 2 {
				w = 0
			}
		}
		if w == 0 || o.Inside && i != inside(i) {
			continue
		}
		sum += w * resizeElement(o, x, with(ix, a, inside(i)), k+1)
		total += w
	}
	return sum / total
}

func groupNormElement(o GroupNorm, in []Tensor[float64], ix []int) float64 {
	shape := in[0].Shape
	x := Tensor[float64]{[]int{shape[0], o.Groups, product(shape[1:]) / o.Groups}, in[0].Data}
	flat := offset(shape, ix)
	row := []int{flat / x.Shape[2] / o.Groups, flat / x.Shape[2] % o.Groups, flat % x.Shape[2]}
	y := layerNormElement(LayerNorm{Axis: 2, Eps: o.Eps}, []Tensor[float64]{x}, row)
	if len(in) > 1 {
		y *= in[1].Data[ix[1]]
	}
	if len(in) > 2 {
		y += in[2].Data[ix[1]]
	}
	return y
}

func layerNormElement(o LayerNorm, in []Tensor[float64], ix []int) float64 {
	var mean, square float64
	width := product(in[0].Shape[o.Axis:])
	row := offset(in[0].Shape, ix) / width * width
	for _, v := range in[0].Data[row : row+width] {
		mean, square = mean+v/float64(width), square+v*v/float64(width)
	}
	if o.RMS {
		mean = 0
	}
	y := (at(in[0], ix) - mean) / math.Sqrt(square-mean*mean+o.Eps)
	if len(in) > 1 {
		y *= at(in[1], ix[o.Axis:])
	}
	if len(in) > 2 {
		y += at(in[2], ix[o.Axis:])
	}
	return y
}

func offset(shape, ix []int) int {
	o := 0
	for a, d := range shape {
		o = o*d + ix[a]
	}
	return o
}

func convElement(o Conv, in []Tensor[float64], ix []int) (sum float64) {
	x, w := in[0], in[1]
	cg, kg := w.Shape[1], w.Shape[0]/o.Groups
	indices(w.Shape[1:], func(t []int) {
		y := ix[2]*o.Stride[0] - o.Pad[0] + t[1]*o.Dilation[0]
		z := ix[3]*o.Stride[1] - o.Pad[1] + t[2]*o.Dilation[1]
		if y >= 0 && y < x.Shape[2] && z >= 0 && z < x.Shape[3] {
			sum += x.Data[offset(x.Shape, []int{ix[0], ix[1]/kg*cg + t[0], y, z})] * w.Data[offset(w.Shape, append([]int{ix[1]}, t...))]
		}
	})
	if len(in) == 3 {
		sum += in[2].Data[ix[1]]
	}
	return sum
}

// convTransposeElement adds up what every pixel gives to the element at ix.
func convTransposeElement(o ConvTranspose, in []Tensor[float64], ix []int) (sum float64) {
	x, w := in[0], in[1]
	cg, kg := w.Shape[1], w.Shape[0]/o.Groups
	indices(append([]int{cg, x.Shape[2], x.Shape[3]}, w.Shape[2:]...), func(t []int) {
		y, z := t[1]*o.Stride[0]-o.Pad[0]+t[3]*o.Dilation[0], t[2]*o.Stride[1]-o.Pad[1]+t[4]*o.Dilation[1]
		if y == ix[2] && z == ix[3] {
			sum += x.Data[offset(x.Shape, []int{ix[0], ix[1]/kg*cg + t[0], t[1], t[2]})] * w.Data[offset(w.Shape, []int{ix[1], t[0], t[3], t[4]})]
		}
	})
	if len(in) == 3 {
		sum += in[2].Data[ix[1]]
	}
	return sum
}

func matElement(o MatMul, in []Tensor[float64], ix []int) (sum float64) {
	r := len(ix)
	_, _, _, k, _ := matDims(o, in[0].Shape, in[1].Shape)
	for l := range k {
		ia, ib := with(ix, r-1, l), with(ix, r-2, l)
		if o.TransA {
			ia[r-2], ia[r-1] = ia[r-1], ia[r-2]
		}
		if o.TransB {
			ib[r-2], ib[r-1] = ib[r-1], ib[r-2]
		}
		sum += in[0].Data[offset(in[0].Shape, ia)] * in[1].Data[offset(in[1].Shape, ib)]
	}
	if len(in) == 3 {
		sum += in[2].Data[ix[r-1]]
	}
	return sum
}

func poolElement(o Pool, x Tensor[float64], ix []int) float64 {
	sum, top, inside := 0.0, math.Inf(-1), 0
	indices(o.Kernel[:], func(t []int) {
		y, z := ix[2]*o.Stride[0]-o.Pad[0]+t[0], ix[3]*o.Stride[1]-o.Pad[1]+t[1]
		if y >= 0 && y < x.Shape[2] && z >= 0 && z < x.Shape[3] {
			v := x.Data[offset(x.Shape, []int{ix[0], ix[1], y, z})]
			sum, top, inside = sum+v, max(top, v), inside+1
		}
	})
	switch {
	case !o.Average:
		return top
	case o.ExcludePad:
		return sum / float64(inside)
	}
	return sum / float64(o.Kernel[0]*o.Kernel[1])
}

func reduceElement(o Reduce, x Tensor[float64], ix []int) float64 {
	sum, top, low, n := 0.0, math.Inf(-1), math.Inf(1), 0
	indices(x.Shape, func(ax []int) {
		kept := []int{}
		for a, i := range ax {
			if !slices.Contains(o.Axes, a) {
				kept = append(kept, i)
			}
		}
		if slices.Equal(kept, ix) {
			v := x.Data[offset(x.Shape, ax)]
			sum, top, low, n = sum+v, max(top, v), min(low, v), n+1
		}
	})
	return map[string]float64{"sum": sum, "mean": sum / float64(n), "max": top, "min": low}[o.Fn]
}

func unaryElement(o Unary, x float64) float64 {
	return map[string]float64{
		"relu": max(x, 0), "clip": min(max(x, o.Min), o.Max), "leaky_relu": max(x, 0) + o.Alpha*min(x, 0),
		"sigmoid": 1 / (1 + math.Exp(-x)), "tanh": (math.Exp(2*x) - 1) / (math.Exp(2*x) + 1),
		"exp": math.Exp(x), "log": math.Log(x), "log2": math.Log(x) / math.Ln2, "neg": -x, "abs": max(x, -x),
		"sign": math.Copysign(1, x), "ceil": math.Ceil(x), "floor": math.Floor(x), "sin": math.Sin(x), "cos": math.Cos(x),
		"square": x * x, "sqrt": math.Sqrt(x), "cube": x * x * x, "inv": 1 / x, "inv_sqrt": 1 / math.Sqrt(x),
		"log1p": math.Log(1 + x), "expm1": math.Exp(x) - 1, "softplus": math.Log(1 + math.Exp(x)), "erf": erfSeries(x),
		"elu": max(x, 0) + o.Alpha*(math.Exp(min(x, 0))-1), "selu": seluScale * (max(x, 0) + seluAlpha*(math.Exp(min(x, 0))-1)),
		"hard_sigmoid": min(max(o.Alpha*x+o.Beta, 0), 1), "hard_swish": x * min(max(x+3, 0), 6) / 6,
		"silu": x / (1 + math.Exp(-x)), "gelu": x * (1 + erfSeries(x/math.Sqrt2)) / 2,
		"gelu_tanh": x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) / 2,
	}[o.Fn]
}

// erfSeries sums the Taylor series 2/√π·Σ (-1)^n·x^(2n+1)/(n!·(2n+1)).
func erfSeries(x float64) (sum float64) {
	term := x
	for n := range 40 {
		sum += term / float64(2*n+1)
		term *= -x * x / float64(n+1)
	}
	return 2 / math.Sqrt(math.Pi) * sum
}

// forwardTol bounds float64 rounding: the layers here do at most a few dozen
// roundings of 2^-53 each on numbers of at most 2^6, and references such as
// exp(x)-1 lose at most seven bits by cancellation for |x| above 2^-7.
const forwardTol = 0x1p-36

// resizeTol: the places that a Resize samples are float32 numbers below 2^3, three roundings
// of 2^-22 at most, and its weights and the elements here change by less than 2 from one place
// to the next.
const resizeTol = 0x1p-19

func TestForward(t *testing.T) {
	for i, c := range layerCases() {
		t.Run(c.name, func(t *testing.T) {
			in := c.inputs(uint64(i))
			out := run(t, c.op, in)
			if _, ok := c.op.(Reshape); ok {
				wantSame(t, "output", out.Data, in[0].Data)
				return
			}
			j, tol := 0, forwardTol
			if _, ok := c.op.(Resize); ok {
				tol = resizeTol
			}
			indices(out.Shape, func(ix []int) {
				want := elementOf(c.op, in, ix)
				if got := out.Data[j]; !(math.Abs(got-want) <= tol*(1+math.Abs(want))) {
					t.Fatalf("element %v is %v, want %v", ix, got, want)
				}
				j++
			})
		})
	}
}

func TestSpecialValues(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		op      Op
		x, want []float32
	}{
		{Unary{Fn: "relu"}, []float32{nan, inf, -inf}, []float32{nan, inf, 0}},
		{Unary{Fn: "clip", Min: -1, Max: 1}, []float32{nan, inf, -inf}, []float32{nan, 1, -1}},
		{Unary{Fn: "sign"}, []float32{nan, 0, -inf}, []float32{nan, 0, -1}},
		{Unary{Fn: "sigmoid"}, []float32{nan, 1000, -1000}, []float32{nan, 1, 0}},
		{Unary{Fn: "softplus"}, []float32{nan, 1000, -1000}, []float32{nan, 1000, 0}},
		{Reduce{"max", []int{0}}, []float32{1, nan, 2}, []float32{nan}},
		{Reduce{"max", []int{0}}, []float32{-inf, -inf}, []float32{-inf}},
		{Reduce{"min", []int{0}}, []float32{3, nan, -inf}, []float32{nan}},
		{Softmax{}, []float32{1000, 1000}, []float32{0.5, 0.5}},
		{Softmax{}, []float32{0, -inf}, []float32{1, 0}},
		{Softmax{}, []float32{0, nan}, []float32{nan, nan}},
		{Reduce{"mean", []int{0}}, []float32{1 << 24, 1, 1, 1, 1}, []float32{(1<<24 + 4) / 5.0}},
	} {
		got := run(t, c.op, []Tensor[float32]{{[]int{len(c.x)}, c.x}}).Data
		for i := range got {
			if got[i] != c.want[i] && (got[i] == got[i] || c.want[i] == c.want[i]) {
				t.Errorf("%s of %v: %v, want %v", c.op.Kind(), c.x, got, c.want)
				break
			}
		}
	}
}

func TestBatchNormBadVariance(t *testing.T) {
	c := Tensor[float32]{[]int{1}, []float32{1}}
	bad := Tensor[float32]{[]int{1}, []float32{0}}
	x := Tensor[float32]{[]int{1, 1}, []float32{1}}
	in := []Tensor[float32]{x, c, c, c, bad}
	wantErr(t, Forward(BatchNorm{}, like(in[:1])[0], in), ErrSettings, "channel 0")
	wantErr(t, Backward(BatchNorm{}, like(in), in, x, x), ErrSettings, "channel 0")
}
