package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// Forward computes the layer. out is allocated by the caller with the shape of
// [OutShape] and overwritten completely; it must not share memory with an
// input. It fails, with ErrSettings or ErrShape wrapped, before it writes anything.
func Forward[F Float](op Op, out Tensor[F], in []Tensor[F]) error {
	if err := checkTensors(op, out, in); err != nil {
		return err
	}
	x := in[0]
	switch o := op.(type) {
	case Conv:
		g := convGeometry(o, x.Shape, in[1].Shape, out.Shape)
		kern.ConvForward(&g, out.Data, x.Data, in[1].Data, biasOf(in))
	case MatMul:
		matMulForward(o, out, in)
	case Binary:
		binaryForward(o, out, x, in[1])
	case Unary:
		unaryForward(o, out.Data, x.Data)
	case Pool:
		g := o.Geometry(x.Shape, out.Shape)
		if o.Average {
			kern.AvgPool(&g, out.Data, x.Data)
		} else {
			kern.MaxPool(&g, out.Data, x.Data)
		}
	case GlobalAvgPool:
		g := globalGeometry(x.Shape)
		kern.AvgPool(&g, out.Data, x.Data)
	case Reduce:
		reduceForward(o, out, x)
	case Transpose:
		transposeForward(o, out, x)
	case Concat:
		concatForward(o, out, in)
	case Slice:
		sliceForward(o, out, x)
	case Softmax:
		softmaxForward(o, out, x)
	case BatchNorm:
		return batchNormForward(o, out, in)
	case Pad:
		padForward(o, out, x)
	case LRN:
		lrnForward(o, out, x)
	case Gather:
		return gatherForward(o, out, x, in[1])
	default: // Reshape, Dropout
		copy(out.Data, x.Data)
	}
	return nil
}

// Backward computes the gradients of a scalar loss with respect to the inputs
// from dout, its gradient with respect to the output. in and out are those of
// Forward. grads has one tensor per input; one with nil Data is not wanted, the
// others are overwritten and share no memory with each other or the rest. It
// fails, with ErrSettings or ErrShape wrapped, before it writes anything.
//
// Where a derivative does not exist: relu, leaky_relu and abs take the left
// side or 0 at 0 (relu 0, leaky_relu Alpha, abs 0), clip passes a gradient only
// strictly inside its limits, a maximum passes it to the first largest element in
// row-major order. The statistics of a BatchNorm get zeros.
func Backward[F Float](op Op, grads []Tensor[F], in []Tensor[F], out, dout Tensor[F]) error {
	if err := checkGrads(op, grads, in, out, dout); err != nil {
		return err
	}
	x, dx := in[0], grads[0]
	switch o := op.(type) {
	case Conv:
		convBackward(o, grads, in, dout)
		return nil
	case MatMul:
		matMulBackward(o, grads, in, dout)
		return nil
	case Binary:
		binaryBackward(o, grads, x, in[1], out, dout)
		return nil
	case Concat:
		concatBackward(o, grads, in, dout)
		return nil
	case BatchNorm:
		return batchNormBackward(o, grads, in, dout)
	case Gather:
		return gatherBackward(o, grads, in, dout)
	}
	if dx.Data == nil {
		return nil
	}
	switch o := op.(type) {
	case Unary:
		unaryBackward(o, dx.Data, x.Data, out.Data, dout.Data)
	case Pool:
		g := o.Geometry(x.Shape, out.Shape)
		if o.Average {
			kern.AvgPoolBackward(&g, dx.Data, dout.Data)
		} else {
			kern.MaxPoolBackward(&g, dx.Data, x.Data, out.Data, dout.Data)
		}
	case GlobalAvgPool:
		g := globalGeometry(x.Shape)
		kern.AvgPoolBackward(&g, dx.Data, dout.Data)
	case Reduce:
		reduceBackward(o, dx, x, out, dout)
	case Transpose:
		transposeBackward(o, dx, dout)
	case Slice:
		sliceBackward(o, dx, x, dout)
	case Softmax:
		softmaxBackward(o, dx, out, dout)
	case Pad:
		padBackward(o, dx, dout)
	case LRN:
		lrnBackward(o, dx, x, dout)
	default: // Reshape, Dropout
		copy(dx.Data, dout.Data)
	}
	return nil
}

func checkTensors[F Float](op Op, out Tensor[F], in []Tensor[F]) error {
	var few [3][]int // most layers have no more operands
	shapes := few[:0]
	for _, t := range in {
		shapes = append(shapes, t.Shape)
	}
	want, err := OutShape(op, shapes)
	if err != nil {
		return err
	}
	for i, t := range in {
		if err := checkData(op, inputName(i), t, t.Shape); err != nil {
			return err
		}
	}
	return checkData(op, "output", out, want)
}

// fits is checkData without the words.
func fits[F Float](t Tensor[F], shape []int) bool {
	return slices.Equal(t.Shape, shape) && len(t.Data) == product(shape)
}

func checkData[F Float](op Op, what string, t Tensor[F], shape []int) error {
	if !slices.Equal(t.Shape, shape) {
		return shapeErr(op, "%s has shape %v, want %v", what, t.Shape, shape)
	}
	if n := product(shape); len(t.Data) != n {
		return shapeErr(op, "%s has %d elements, want %d for shape %v", what, len(t.Data), n, shape)
	}
	return nil
}

func checkGrads[F Float](op Op, grads, in []Tensor[F], out, dout Tensor[F]) error {
	if err := checkTensors(op, out, in); err != nil {
		return err
	}
	if err := checkData(op, "gradient of the output", dout, out.Shape); err != nil {
		return err
	}
	if len(grads) != len(in) {
		return shapeErr(op, "got %d gradients for %d inputs", len(grads), len(in))
	}
	for i, g := range grads {
		if g.Data == nil {
			continue
		}
		if !fits(g, in[i].Shape) {
			return checkData(op, "gradient of "+inputName(i), g, in[i].Shape)
		}
	}
	return nil
}

// elementGrain is the number of elements that are worth a goroutine in loops
// that do little per element.
const elementGrain = 16 << 10

func biasOf[F Float](in []Tensor[F]) []F {
	if len(in) < 3 {
		return nil
	}
	return in[2].Data
}

func convGeometry(o Conv, x, w, out []int) kern.Conv {
	return kern.Conv{N: x[0], C: x[1], H: x[2], W: x[3], K: w[0], R: w[2], S: w[3], OH: out[2], OW: out[3],
		Groups: o.Groups, Stride: o.Stride, Dilation: o.Dilation, Pad: o.Pad}
}

// Geometry is the pooling of x into out, both shapes [N,C,H,W] that fit it.
func (o Pool) Geometry(x, out []int) kern.Pool {
	return kern.Pool{Planes: x[0] * x[1], H: x[2], W: x[3], OH: out[2], OW: out[3],
		Kernel: o.Kernel, Stride: o.Stride, Pad: o.Pad, ExcludePad: o.ExcludePad}
}

func globalGeometry(x []int) kern.Pool {
	return kern.Pool{Planes: x[0] * x[1], H: x[2], W: x[3], OH: 1, OW: 1,
		Kernel: [2]int{x[2], x[3]}, Stride: [2]int{1, 1}}
}

func convBackward[F Float](o Conv, grads, in []Tensor[F], dout Tensor[F]) {
	g := convGeometry(o, in[0].Shape, in[1].Shape, dout.Shape)
	if d := grads[0].Data; d != nil {
		kern.ConvBackwardData(&g, d, in[1].Data, dout.Data)
	}
	if d := grads[1].Data; d != nil {
		kern.ConvBackwardWeight(&g, d, in[0].Data, dout.Data)
	}
	if len(grads) == 3 && grads[2].Data != nil {
		kern.ChannelSumTo(grads[2].Data, dout.Data, g.N, g.K, g.OH*g.OW)
	}
}

func matMulForward[F Float](o MatMul, out Tensor[F], in []Tensor[F]) {
	a, b := in[0], in[1]
	batch, m, n, k, _ := matDims(o, a.Shape, b.Shape)
	bias := biasOf(in)
	par.For(batch, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			c := out.Data[i*m*n:][:m*n]
			kern.Gemm(m, n, k, matA(o, a.Data[i*m*k:], m, k), matB(o, b.Data[i*k*n:], n, k), c, n, false)
			for r := 0; bias != nil && r < m; r++ {
				row := c[r*n:][:n]
				kern.Add(row, row, bias)
			}
		}
	})
}

// matA views the first factor as m×k, matB the second as k×n.
func matA[T any](o MatMul, data []T, m, k int) kern.Matrix[T] {
	if o.TransA {
		return kern.RowMajor(data, m, true)
	}
	return kern.RowMajor(data, k, false)
}

func matB[T any](o MatMul, data []T, n, k int) kern.Matrix[T] {
	if o.TransB {
		return kern.RowMajor(data, k, true)
	}
	return kern.RowMajor(data, n, false)
}

func matMulBackward[F Float](o MatMul, grads, in []Tensor[F], dout Tensor[F]) {
	a, b := in[0], in[1]
	batch, m, n, k, _ := matDims(o, a.Shape, b.Shape)
	par.For(batch, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d := dout.Data[i*m*n:][:m*n]
			if g := grads[0].Data; g != nil {
				matGradA(o, g[i*m*k:][:m*k], b.Data[i*k*n:], d, m, n, k)
			}
			if g := grads[1].Data; g != nil {
				matGradB(o, g[i*k*n:][:k*n], a.Data[i*m*k:], d, m, n, k)
			}
		}
	})
	if len(grads) == 3 && grads[2].Data != nil {
		kern.ChannelSumTo(grads[2].Data, dout.Data, batch*m, n, 1)
	}
}

// matGradA is dout·bᵀ [m,k], stored as a is: its transpose is b·doutᵀ.
func matGradA[F Float](o MatMul, da, b, d []F, m, n, k int) {
	bv := matB(o, b, n, k)
	if o.TransA {
		kern.Gemm(k, m, n, bv, kern.RowMajor(d, n, true), da, m, false)
		return
	}
	bv.Row, bv.Col = bv.Col, bv.Row
	kern.Gemm(m, k, n, kern.RowMajor(d, n, false), bv, da, k, false)
}

// matGradB is aᵀ·dout [k,n], stored as b is: its transpose is doutᵀ·a.
func matGradB[F Float](o MatMul, db, a, d []F, m, n, k int) {
	av := matA(o, a, m, k)
	if o.TransB {
		kern.Gemm(n, k, m, kern.RowMajor(d, n, true), av, db, k, false)
		return
	}
	av.Row, av.Col = av.Col, av.Row
	kern.Gemm(k, n, m, av, kern.RowMajor(d, n, false), db, n, false)
}
