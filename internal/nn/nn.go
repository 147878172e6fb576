// Package nn says what each kind of layer computes: its settings, its output
// shape, its forward and its backward pass on plain tensors. The graph ops, the
// typed network and the frozen network all use these definitions, so a layer
// means the same in training and after it.
//
// Tensors are row-major; images are NCHW. All functions are generic over float32
// (what ships) and float64 (for gradient checks). Sums have a fixed order that
// depends on neither the batch size nor the number of goroutines.
package nn

// Float is the element type of a tensor.
type Float interface{ ~float32 | ~float64 }

// Tensor is a shape and its row-major elements. len(Data) is the product of Shape;
// the empty shape is a scalar.
type Tensor[F Float] struct {
	Shape []int
	Data  []F
}

// Op is one of the layer kinds below: a plain value that holds settings only.
// Kind is the name used in files, reports and configurations.
type Op interface{ Kind() string }

// Conv is a 2-D cross-correlation with groups. Inputs: x [N,C,H,W],
// w [K,C/Groups,R,S], optionally bias [K]. Output [N,K,OH,OW], with
// OH = (H + Pad[0] + Pad[2] - Dilation[0]*(R-1) - 1)/Stride[0] + 1.
type Conv struct {
	Stride   [2]int `json:"stride"`   // rows, columns; at least 1
	Pad      [4]int `json:"pad"`      // top, left, bottom, right; at least 0; pads with zeros
	Dilation [2]int `json:"dilation"` // at least 1
	Groups   int    `json:"groups"`   // at least 1; divides C and K
}

// MatMul is a product of matrices, a [M,Kd] · b [Kd,N] after the transposes, over
// equal leading dimensions (or none: rank 2). An optional third input is a bias
// [N] added to every row.
type MatMul struct {
	TransA bool `json:"trans_a,omitempty"` // a is [Kd,M]
	TransB bool `json:"trans_b,omitempty"` // b is [N,Kd]
}

// Binary is an elementwise operation with NumPy's broadcasting.
type Binary struct {
	Fn string `json:"fn"` // add sub mul div pow
}

// Unary is an elementwise function of one input.
type Unary struct {
	// Fn is relu, clip (to [Min, Max]), leaky_relu (slope Alpha for x < 0), sigmoid,
	// tanh, exp, log, log2, neg, abs, sign, ceil, floor, sin, cos, square, sqrt,
	// cube, inv, inv_sqrt, log1p, expm1, softplus or erf.
	Fn    string  `json:"fn"`
	Alpha float64 `json:"alpha,omitempty"`
	Min   float64 `json:"min,omitempty"`
	Max   float64 `json:"max,omitempty"`
}

// Pool is max or average pooling over windows of [N,C,H,W]; padding never wins a
// maximum. An average divides by the full window, padding included, unless
// ExcludePad is set, when it divides by the elements inside the image.
type Pool struct {
	Average    bool   `json:"average,omitempty"`
	Kernel     [2]int `json:"kernel"`
	Stride     [2]int `json:"stride"`
	Pad        [4]int `json:"pad"` // top, left, bottom, right; each less than the kernel
	ExcludePad bool   `json:"exclude_pad,omitempty"`
}

// GlobalAvgPool averages [N,C,H,W] over H and W into [N,C,1,1].
type GlobalAvgPool struct{}

// Reduce sums, averages or takes the maximum over Axes (sorted, distinct) and drops them.
// All axes reduced leaves a scalar.
type Reduce struct {
	Fn   string `json:"fn"` // sum mean max
	Axes []int  `json:"axes"`
}

// Reshape keeps the elements and changes the shape. One dimension may be -1: it
// takes what is left.
type Reshape struct {
	Shape []int `json:"shape"`
}

// Transpose permutes the axes: output axis i is input axis Perm[i].
type Transpose struct {
	Perm []int `json:"perm"`
}

// Concat joins its inputs along Axis.
type Concat struct {
	Axis int `json:"axis"`
}

// Slice takes elements Start, Start+Step … below End along Axis. With Squeeze
// (which wants exactly one element) the axis is dropped.
type Slice struct {
	Axis    int  `json:"axis"`
	Start   int  `json:"start"`
	End     int  `json:"end"`
	Step    int  `json:"step"` // at least 1
	Squeeze bool `json:"squeeze,omitempty"`
}

// Softmax is exp(x)/sum(exp(x)) along Axis, or its logarithm, computed with the
// maximum taken off first.
type Softmax struct {
	Axis int  `json:"axis"`
	Log  bool `json:"log,omitempty"`
}

// BatchNorm normalises each channel (axis 1 of rank 2 or 4) with given statistics.
// Inputs: x, gamma [C], beta [C], mean [C], variance [C]:
// y = (x - mean) / sqrt(variance + Eps) * gamma + beta (Ioffe and Szegedy 2015).
type BatchNorm struct {
	Eps float64 `json:"eps"`
}

// Dropout passes values on when a network is evaluated; training is the graph
// op's business.
type Dropout struct {
	P float64 `json:"p"` // probability that an element is dropped, 0 <= P < 1
}

// Pad adds Before[i] and After[i] elements of the given Value along axis i.
type Pad struct {
	Before []int   `json:"before"` // one per axis, at least 0
	After  []int   `json:"after"`  // the same
	Value  float64 `json:"value,omitempty"`
}

// LRN is local response normalisation over channels (axis 1, Krizhevsky et al. 2012,
// section 3.3, as ONNX scales it): y = x / (Bias + Alpha/Size·Σ x²)^Beta. The sum
// takes the Size channels from (Size-1)/2 before to Size/2 behind (whole divisions),
// as far as they exist.
type LRN struct {
	Size  int     `json:"size"`  // at least 1
	Alpha float64 `json:"alpha"` // at least 0
	Beta  float64 `json:"beta"`
	Bias  float64 `json:"bias"` // above 0
}

// Gather looks up rows of a table: an embedding. Inputs: the table, and indices of
// any shape, whole numbers from -n to n-1 stored as floats, where n is the length of
// the table's Axis and negative ones count from the end. The indices' shape takes the
// place of that axis. Indices get a gradient of zeros.
type Gather struct {
	Axis int `json:"axis"`
}

func (Conv) Kind() string          { return "conv" }
func (MatMul) Kind() string        { return "matmul" }
func (b Binary) Kind() string      { return b.Fn }
func (u Unary) Kind() string       { return u.Fn }
func (GlobalAvgPool) Kind() string { return "global_avg_pool" }
func (r Reduce) Kind() string      { return "reduce_" + r.Fn }
func (Reshape) Kind() string       { return "reshape" }
func (Transpose) Kind() string     { return "transpose" }
func (Concat) Kind() string        { return "concat" }
func (Slice) Kind() string         { return "slice" }
func (BatchNorm) Kind() string     { return "batch_norm" }
func (Dropout) Kind() string       { return "dropout" }
func (Pad) Kind() string           { return "pad" }
func (LRN) Kind() string           { return "lrn" }
func (Gather) Kind() string        { return "gather" }

func (p Pool) Kind() string {
	if p.Average {
		return "avg_pool"
	}
	return "max_pool"
}

func (s Softmax) Kind() string {
	if s.Log {
		return "log_softmax"
	}
	return "softmax"
}
