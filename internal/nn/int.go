package nn

import (
	"math"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// Codes is a quantized tensor: a shape and its row-major centred codes
// q - zero_point, so that the code 0 is the real number 0.
type Codes struct {
	Shape []int
	Data  []int16
}

// Terms returns the number of products in one output element of a Conv or a
// MatMul with the given input and weight shapes, and 0 for other layers. An
// integer sum is exact in 32 bits when Terms·max|x|·max|w| < 2^31.
func Terms(op Op, xShape, wShape []int) int {
	switch o := op.(type) {
	case Conv:
		if len(wShape) == 4 {
			return product(wShape[1:])
		}
	case MatMul:
		if len(wShape) >= 2 {
			if o.TransB {
				return wShape[len(wShape)-1]
			}
			return wShape[len(wShape)-2]
		}
	}
	return 0
}

// IntForward computes a Conv or a MatMul on centred codes:
//
//	y = Σ_b float32(float32(acc_b) · float32(xScale·wScale[c·blocks+b])) + bias[c]
//
// in float32 and in the order of b, where acc_b is the exact integer sum over
// block b and c is the output channel: K of a Conv, the columns of a MatMul's
// product. wScale has one element, for all, or channels·blocks, channel-major.
// bias is nil or has one element per channel.
//
// Blocks cut the input channels of a group (Conv) or the contracted axis (MatMul)
// every blockSize elements; the last may be shorter, and blocks must be the
// number that results. blocks = 1 with blockSize = 0 is one sum.
//
// out has the shape of [OutShape] and is overwritten. Errors wrap ErrShape or
// ErrSettings; one of them says that the sums could exceed 32 bits.
func IntForward(op Op, out Tensor[float32], x, w Codes, xScale float32, wScale []float32, blocks, blockSize int, bias []float32) error {
	shapes := [][]int{x.Shape, w.Shape}
	if bias != nil {
		shapes = append(shapes, []int{len(bias)})
	}
	switch op.(type) {
	case Conv, MatMul:
	default:
		return settingsErr(orNone(op), "no integer form: only conv and matmul have one")
	}
	want, err := OutShape(op, shapes)
	if err != nil {
		return err
	}
	if err := checkData(op, "output", out, want); err != nil {
		return err
	}
	if len(x.Data) != product(x.Shape) || len(w.Data) != product(w.Shape) {
		return shapeErr(op, "%d input and %d weight codes for shapes %v and %v", len(x.Data), len(w.Data), x.Shape, w.Shape)
	}
	axis, channels := blockAxis(op, x.Shape, w.Shape)
	if err := checkBlocks(op, axis, channels, len(wScale), blocks, blockSize); err != nil {
		return err
	}
	if err := checkSum(op, Terms(op, x.Shape, w.Shape), kern.MaxAbs(x.Data), kern.MaxAbs(w.Data)); err != nil {
		return err
	}
	scale := make([]float32, len(wScale))
	for i, s := range wScale {
		scale[i] = xScale * s
	}
	d := kern.Dequant{Scale: scale, Blocks: blocks, Block: blockSize, Bias: bias}
	switch o := op.(type) {
	case Conv:
		g := convGeometry(o, x.Shape, w.Shape, out.Shape)
		d.Block *= g.R * g.S
		kern.IntConv(&g, out.Data, x.Data, w.Data, d)
	case MatMul:
		batch, m, n, k, _ := matDims(o, x.Shape, w.Shape)
		par.For(batch, 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				kern.IntGemm(m, n, k, matA(o, x.Data[i*m*k:], m, k), matB(o, w.Data[i*k*n:], n, k), out.Data[i*m*n:][:m*n], d)
			}
		})
	}
	return nil
}

// orNone makes a nil layer printable.
func orNone(op Op) Op {
	if op == nil {
		return Unary{Fn: "nil layer"}
	}
	return op
}

// blockAxis returns the length of the axis that blocks cut and the number of
// output channels.
func blockAxis(op Op, x, w []int) (axis, channels int) {
	if o, ok := op.(MatMul); ok {
		_, _, n, k, _ := matDims(o, x, w)
		return k, n
	}
	return w[1], w[0]
}

func checkBlocks(op Op, axis, channels, scales, blocks, blockSize int) error {
	want := 1
	switch {
	case blockSize < 0:
		return settingsErr(op, "block size is %d, want at least 0", blockSize)
	case blockSize > 0:
		want = (axis-1)/blockSize + 1
	}
	if blocks != want {
		return settingsErr(op, "%d blocks, but blocks of %d cut %d elements into %d", blocks, blockSize, axis, want)
	}
	if scales != 1 && scales != channels*blocks {
		return settingsErr(op, "%d weight scales, want 1 or %d (%d channels of %d blocks)", scales, channels*blocks, channels, blocks)
	}
	return nil
}

func checkSum(op Op, terms, x, w int) error {
	if largest := int64(x) * int64(w); largest > 0 && int64(terms) > math.MaxInt32/largest {
		return settingsErr(op, "%d products of codes up to %d and %d exceed a 32-bit sum: use fewer bits or a narrower layer", terms, x, w)
	}
	return nil
}

// IntAvgPool computes an average Pool or a GlobalAvgPool on centred codes:
//
//	y = float32(float32(sum) · xScale) / float32(count)
//
// in float32, where sum is the exact integer sum of the window and count is the
// divisor of the layer (see [Pool]). Errors as in [IntForward].
func IntAvgPool(op Op, out Tensor[float32], x Codes, xScale float32) error {
	want, err := OutShape(op, [][]int{x.Shape})
	if err != nil {
		return err
	}
	if err := checkData(op, "output", out, want); err != nil {
		return err
	}
	if len(x.Data) != product(x.Shape) {
		return shapeErr(op, "%d codes for shape %v", len(x.Data), x.Shape)
	}
	var g kern.Pool
	switch o := op.(type) {
	case GlobalAvgPool:
		g = globalGeometry(x.Shape)
	case Pool:
		g = poolGeometry(o, x.Shape, out.Shape)
		if !o.Average {
			return settingsErr(op, "not an average: maxima of codes need no arithmetic")
		}
	default:
		return settingsErr(op, "not an average pooling")
	}
	window := min(g.Kernel[0], g.H) * min(g.Kernel[1], g.W)
	if err := checkSum(op, window, kern.MaxAbs(x.Data), 1); err != nil {
		return err
	}
	kern.IntAvgPool(&g, out.Data, x.Data, xScale)
	return nil
}
