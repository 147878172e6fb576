package frozen

// This file says what each kind of layer is. The kinds are those of internal/nn: same
// fields, same names. A conversion that does not compile says that they have come apart.

import "github.com/goqat/goqat/internal/nn"

// Conv is a 2-D cross-correlation with groups. Inputs: x [N,C,H,W], w [K,C/Groups,R,S],
// optionally a float bias [K]. Result: [N,K,OH,OW], where
// OH = (H + Pad[0] + Pad[2] - Dilation[0]·(R-1) - 1)/Stride[0] + 1.
type Conv struct {
	Stride   [2]int // of rows and columns; at least 1
	Pad      [4]int // zeros at the top, left, bottom and right; at least 0
	Dilation [2]int // distance of the taps of rows and columns; at least 1
	Groups   int    // at least 1; divides C and K
}

// Kind is the name in files.
func (o Conv) Kind() string { return o.op().Kind() }

func (o Conv) op() nn.Op { return nn.Conv(o) }

var _ = twin(func(o nn.Conv) Op { return Conv(o) })

// ConvTranspose is the transpose of a convolution, with groups: each input pixel adds its
// multiple of the kernel. Inputs: x [N,C,H,W], w [K,C/Groups,R,S] (output channels first, as
// those of Conv), optionally a float bias [K]. Result: [N,K,OH,OW], where
// OH = (H-1)·Stride[0] - Pad[0] - Pad[2] + Dilation[0]·(R-1) + Extra[0] + 1.
type ConvTranspose struct {
	Stride   [2]int // from one input pixel to the next in the result; at least 1
	Pad      [4]int // cut off at the top, left, bottom and right; at least 0
	Dilation [2]int // distance of the taps of rows and columns; at least 1
	Groups   int    // at least 1; divides C and K
	Extra    [2]int // more rows and columns at the end; less than Stride
}

// Kind is the name in files.
func (o ConvTranspose) Kind() string { return o.op().Kind() }

func (o ConvTranspose) op() nn.Op { return nn.ConvTranspose(o) }

var _ = twin(func(o nn.ConvTranspose) Op { return ConvTranspose(o) })

// MatMul is a product of matrices, a [M,K] · b [K,N] after the transposes, over equal
// leading dimensions or none. A third input is a float bias [N] added to every row.
type MatMul struct {
	TransA bool // a is [K,M]
	TransB bool // b is [N,K]
}

// Kind is the name in files.
func (o MatMul) Kind() string { return o.op().Kind() }

func (o MatMul) op() nn.Op { return nn.MatMul(o) }

var _ = twin(func(o nn.MatMul) Op { return MatMul(o) })

// Binary is an elementwise operation on two inputs, with NumPy's broadcasting.
type Binary struct {
	// Fn is add, sub, mul, div, pow, min or max; or a comparison, whose results are 1 and 0:
	// less, less_equal, greater, greater_equal, equal or not_equal.
	Fn string
}

// Kind is the name in files.
func (o Binary) Kind() string { return o.op().Kind() }

func (o Binary) op() nn.Op { return nn.Binary(o) }

var _ = twin(func(o nn.Binary) Op { return Binary(o) })

// Unary is an elementwise function of one input. It is also the activation of a Layer.
type Unary struct {
	// Fn is relu, clip (to [Min, Max]), leaky_relu (slope Alpha for x < 0), elu (Alpha),
	// selu, sigmoid, hard_sigmoid (Alpha·x + Beta limited to [0, 1]), silu, hard_swish, gelu,
	// gelu_tanh, tanh, softplus, exp, expm1, log, log2, log1p, erf, neg, abs, sign, ceil,
	// floor, sin, cos, square, cube, sqrt, inv or inv_sqrt.
	Fn    string
	Alpha float64 // as Beta, Min and Max: finite, and 0 where Fn has no such setting
	Beta  float64
	Min   float64
	Max   float64
}

// Kind is the name in files.
func (o Unary) Kind() string { return o.op().Kind() }

func (o Unary) op() nn.Op { return nn.Unary(o) }

var _ = twin(func(o nn.Unary) Op { return Unary(o) })

// Pool is maximum or average pooling of [N,C,H,W] over windows. Padding never wins a
// maximum. An average divides by the whole window, padding included.
type Pool struct {
	Average bool   // of a window, not its maximum
	Kernel  [2]int // rows and columns of a window; at least 1
	Stride  [2]int // of rows and columns; at least 1
	Pad     [4]int // top, left, bottom, right; each less than the kernel
	// ExcludePad divides an average by the elements inside the image only.
	ExcludePad bool
}

// Kind is the name in files.
func (o Pool) Kind() string { return o.op().Kind() }

func (o Pool) op() nn.Op { return nn.Pool(o) }

var _ = twin(func(o nn.Pool) Op { return Pool(o) })

// GlobalAvgPool averages [N,C,H,W] over H and W into [N,C,1,1].
type GlobalAvgPool struct{}

// Kind is the name in files.
func (o GlobalAvgPool) Kind() string { return o.op().Kind() }

func (o GlobalAvgPool) op() nn.Op { return nn.GlobalAvgPool(o) }

var _ = twin(func(o nn.GlobalAvgPool) Op { return GlobalAvgPool(o) })

// Where takes elements of its second input where those of the first are not 0, and of the
// third where they are, with NumPy's broadcasting.
type Where struct{}

// Kind is the name in files.
func (o Where) Kind() string { return o.op().Kind() }

func (o Where) op() nn.Op { return nn.Where(o) }

var _ = twin(func(o nn.Where) Op { return Where(o) })

// Reduce sums, averages or takes an extreme over axes and drops them. An extreme is NaN where
// there is one, and +0 for a zero of any sign.
type Reduce struct {
	Fn   string // sum, mean, max or min
	Axes []int  // at least one; sorted, distinct, counted from 0
}

// Kind is the name in files.
func (o Reduce) Kind() string { return o.op().Kind() }

func (o Reduce) op() nn.Op { return nn.Reduce(o) }

var _ = twin(func(o nn.Reduce) Op { return Reduce(o) })

// Reshape keeps the elements and changes the shape.
type Reshape struct {
	Shape []int // one dimension may be -1: it takes what is left
}

// Kind is the name in files.
func (o Reshape) Kind() string { return o.op().Kind() }

func (o Reshape) op() nn.Op { return nn.Reshape(o) }

var _ = twin(func(o nn.Reshape) Op { return Reshape(o) })

// Transpose permutes the axes: axis i of the result is axis Perm[i] of the input.
type Transpose struct {
	Perm []int // each axis once
}

// Kind is the name in files.
func (o Transpose) Kind() string { return o.op().Kind() }

func (o Transpose) op() nn.Op { return nn.Transpose(o) }

var _ = twin(func(o nn.Transpose) Op { return Transpose(o) })

// Concat joins its inputs along an axis.
type Concat struct {
	Axis int // from 0
}

// Kind is the name in files.
func (o Concat) Kind() string { return o.op().Kind() }

func (o Concat) op() nn.Op { return nn.Concat(o) }

var _ = twin(func(o nn.Concat) Op { return Concat(o) })

// Slice takes elements Start, Start+Step … below End along an axis.
type Slice struct {
	Axis    int  // from 0
	Start   int  // at least 0
	End     int  // above Start
	Step    int  // at least 1
	Squeeze bool // drops the axis, which has one element then
}

// Kind is the name in files.
func (o Slice) Kind() string { return o.op().Kind() }

func (o Slice) op() nn.Op { return nn.Slice(o) }

var _ = twin(func(o nn.Slice) Op { return Slice(o) })

// Softmax is exp(s)/Σ exp(s) along an axis, with the maximum taken off first, of
// s = x·Scale + mask. Inputs: x, optionally the mask, which broadcasts to x.
type Softmax struct {
	Axis  int     // from 0
	Log   bool    // its natural logarithm
	Scale float64 // finite; 0 is 1
}

// Kind is the name in files.
func (o Softmax) Kind() string { return o.op().Kind() }

func (o Softmax) op() nn.Op { return nn.Softmax(o) }

var _ = twin(func(o nn.Softmax) Op { return Softmax(o) })

// BatchNorm normalises each channel (axis 1 of rank 2 or 4) with fixed statistics:
// (x - mean) / sqrt(variance + Eps) · gamma + beta. Inputs: x, then gamma, beta, mean and
// variance, each [C].
type BatchNorm struct {
	Eps float64 // at least 0, finite
}

// Kind is the name in files.
func (o BatchNorm) Kind() string { return o.op().Kind() }

func (o BatchNorm) op() nn.Op { return nn.BatchNorm(o) }

var _ = twin(func(o nn.BatchNorm) Op { return BatchNorm(o) })

// LayerNorm normalises the elements of the axes from Axis on, for each index of those
// before: (x - mean)/sqrt(variance + Eps)·gamma + beta, or, with RMS,
// x/sqrt(mean square + Eps)·gamma + beta. Inputs: x, optionally gamma and, behind it, beta,
// both of the normalised axes' shape.
type LayerNorm struct {
	Axis int // at least 0
	Eps  float64
	RMS  bool
}

// Kind is the name in files.
func (o LayerNorm) Kind() string { return o.op().Kind() }

func (o LayerNorm) op() nn.Op { return nn.LayerNorm(o) }

var _ = twin(func(o nn.LayerNorm) Op { return LayerNorm(o) })

// GroupNorm normalises the channels of axis 1 in groups of neighbours, over all their
// elements in an image, as LayerNorm does. Inputs: x [N,C,…], optionally gamma [C] and,
// behind it, beta [C].
type GroupNorm struct {
	Groups int // at least 1; divides C
	Eps    float64
}

// Kind is the name in files.
func (o GroupNorm) Kind() string { return o.op().Kind() }

func (o GroupNorm) op() nn.Op { return nn.GroupNorm(o) }

var _ = twin(func(o nn.GroupNorm) Op { return GroupNorm(o) })

// Dropout passes its input on.
type Dropout struct {
	P float64 // the probability in training that an element is dropped; 0 <= P < 1
}

// Kind is the name in files.
func (o Dropout) Kind() string { return o.op().Kind() }

func (o Dropout) op() nn.Op { return nn.Dropout(o) }

var _ = twin(func(o nn.Dropout) Op { return Dropout(o) })

// Pad adds a border: of one value, or of elements of the input as Mode says.
type Pad struct {
	Before []int   // elements before each axis; at least 0
	After  []int   // elements behind each axis; at least 0
	Value  float64 // finite
	// Mode is empty, or reflect (the input mirrored at its ends, which are not repeated), edge
	// (the nearest element) or wrap (the other end); Value is 0 then.
	Mode string
}

// Kind is the name in files.
func (o Pad) Kind() string { return o.op().Kind() }

func (o Pad) op() nn.Op { return nn.Pad(o) }

var _ = twin(func(o nn.Pad) Op { return Pad(o) })

// Take picks elements along an axis: element j of the result is element Index[j].
type Take struct {
	Axis  int   // counted from 0
	Index []int // at least one, each any number of times; counted from 0
}

// Kind is the name in files.
func (o Take) Kind() string { return o.op().Kind() }

func (o Take) op() nn.Op { return nn.Take(o) }

var _ = twin(func(o nn.Take) Op { return Take(o) })

// Resize resamples axes, one after the other, in the words of ONNX's operator.
type Resize struct {
	Mode string // nearest, linear or cubic
	// Coordinates say where in the input an element lies: half_pixel, half_pixel_symmetric,
	// pytorch_half_pixel, align_corners or asymmetric.
	Coordinates string
	// Nearest is floor, ceil, round_prefer_floor or round_prefer_ceil; empty in other modes.
	Nearest string
	Axes    []int // sorted, distinct; at least one
	Size    []int // of each of Axes in the result; at least 1
	// Scale is nil, for Size divided by the size of the input, or the factor of each of Axes
	// that coordinates are computed with.
	Scale     []float64
	Cubic     float64 // the coefficient a of cubic; 0 in other modes
	Antialias bool    // linear and cubic average where the result is smaller
	Inside    bool    // taps outside of the input do not count; else they repeat the edge
}

// Kind is the name in files.
func (o Resize) Kind() string { return o.op().Kind() }

func (o Resize) op() nn.Op { return nn.Resize(o) }

var _ = twin(func(o nn.Resize) Op { return Resize(o) })

// LRN is local response normalisation over channels (axis 1):
// x / (Bias + Alpha/Size·Σ x²)^Beta, summed over the Size channels from (Size-1)/2 before
// to Size/2 behind, as far as they exist.
type LRN struct {
	Size  int     // at least 1
	Alpha float64 // at least 0
	Beta  float64 // finite
	Bias  float64 // above 0
}

// Kind is the name in files.
func (o LRN) Kind() string { return o.op().Kind() }

func (o LRN) op() nn.Op { return nn.LRN(o) }

var _ = twin(func(o nn.LRN) Op { return LRN(o) })

// Gather looks up rows of a table. Inputs: the table, and indices of any shape: whole
// numbers from -n to n-1 stored as float32, where n is the length of the table's axis and
// negative ones count from the end. The shape of the indices takes the axis's place.
type Gather struct {
	Axis int // of the table, from 0
}

// Kind is the name in files.
func (o Gather) Kind() string { return o.op().Kind() }

func (o Gather) op() nn.Op { return nn.Gather(o) }

var _ = twin(func(o nn.Gather) Op { return Gather(o) })
