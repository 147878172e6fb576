package nn

import (
	"reflect"
	"slices"
)

// Forward computes the layer. out is allocated by the caller with the shape of
// [OutShape] and overwritten completely; it must not share memory with an
// input. It fails, with ErrSettings or ErrShape wrapped, before it writes anything.
func Forward[F Float](op Op, out Tensor[F], in []Tensor[F]) error {
	if err := checkTensors(op, out, in); err != nil {
		return err
	}
	return passesOf[F](entries[reflect.TypeOf(op)]).forward(op, out, in)
}

// Backward computes the gradients of a scalar loss with respect to the inputs
// from dout, its gradient with respect to the output. in and out are those of
// Forward. grads has one tensor per input; one with nil Data is not wanted, the
// others are overwritten and share no memory with each other or the rest. It
// fails, with ErrSettings or ErrShape wrapped, before it writes anything.
//
// Where a derivative does not exist: relu, leaky_relu and abs take the left
// side or 0 at 0 (relu 0, leaky_relu Alpha, abs 0), clip passes a gradient only
// strictly inside its limits, an extreme of several elements passes it to the first in
// row-major order, and that of two equal operands to the first operand. The statistics of a
// BatchNorm, comparisons and conditions get zeros.
func Backward[F Float](op Op, grads []Tensor[F], in []Tensor[F], out, dout Tensor[F]) error {
	if err := checkGrads(op, grads, in, out, dout); err != nil {
		return err
	}
	if !slices.ContainsFunc(grads, func(g Tensor[F]) bool { return g.Data != nil }) {
		return nil
	}
	return passesOf[F](entries[reflect.TypeOf(op)]).backward(op, grads, in, out, dout)
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
