package fakequant_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/observers"
)

// The grid of the package's picture: 3 bits, scale 0.5, zero point -2.
func Example() {
	spec := fakequant.Spec{Bits: 3, Scheme: fakequant.Affine}
	params, err := fakequant.ParamsFromRange(spec, []float32{-1}, []float32{2.5}, false)
	if err != nil {
		log.Fatal(err)
	}
	x := []float32{-3, -0.6, 0, 0.25, 0.75, 2, 9}
	layout, err := spec.Layout([]int{len(x)})
	if err != nil {
		log.Fatal(err)
	}
	codes, values := make([]int8, len(x)), make([]float32, len(x))
	if err := fakequant.Quantize(codes, x, layout, spec, params); err != nil {
		log.Fatal(err)
	}
	if err := fakequant.Dequantize(values, codes, layout, spec, params); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spec, params.Scale, params.ZeroPoint)
	fmt.Println(codes)
	fmt.Println(values)
	// Output:
	// int3 affine per_tensor [0.5] [-2]
	// [-4 -3 -2 -2 0 2 3]
	// [-1 -0.5 0 0 1 2 2.5]
}

// Weights of two output channels, each with its own scale, in 4 bits.
func ExamplePack4() {
	spec := fakequant.Spec{Bits: 4, NarrowRange: true, Granularity: fakequant.PerChannel}
	weights := []float32{0.7, -0.3, 0.1, -14, 2, 8}
	layout, err := spec.Layout([]int{2, 3})
	if err != nil {
		log.Fatal(err)
	}
	lo, hi := make([]float32, layout.Groups()), make([]float32, layout.Groups())
	if err := fakequant.GroupMinMax(lo, hi, weights, layout); err != nil {
		log.Fatal(err)
	}
	params, err := fakequant.ParamsFromRange(spec, lo, hi, false)
	if err != nil {
		log.Fatal(err)
	}
	codes := make([]int8, len(weights))
	if err := fakequant.Quantize(codes, weights, layout, spec, params); err != nil {
		log.Fatal(err)
	}
	packed, err := fakequant.Pack4(codes)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(params.Scale, codes)
	fmt.Printf("% x\n", packed)
	// Output:
	// [0.1 2] [7 -3 1 -7 1 4]
	// d7 91 41
}

// Blocks of 32 along the rows; the last one of each row is shorter.
func ExampleSpec_Layout() {
	spec := fakequant.Spec{Bits: 4, Granularity: fakequant.PerBlock, Axis: 1, BlockSize: 32}
	layout, err := spec.Layout([]int{10, 70})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(layout.ParamShape(), layout.Groups())
	_, err = spec.Layout([]int{10, 20})
	fmt.Println(errors.Is(err, fakequant.ErrSpec), err)
	// Output:
	// [10 3] 30
	// true invalid quantization spec: block size 32 is larger than axis 1 of shape [10 20]: use at most 20
}

// Calibration, then fake quantization with what was learned.
func ExampleQuantizer() {
	q, err := fakequant.New("relu1", fakequant.Spec{Unsigned: true}, &observers.MinMax{}, true)
	if err != nil {
		log.Fatal(err)
	}
	site := q.NewSite()
	x, y := []float32{0, 0.011, 5.1}, make([]float32, 3)

	q.SetPhase(fakequant.Quantizing)
	fmt.Println(site.Forward(y, x, []int{3}))

	q.SetPhase(fakequant.Observing)
	if err := site.Forward(y, x, []int{3}); err != nil {
		log.Fatal(err)
	}
	q.SetPhase(fakequant.Quantizing)
	if err := site.Forward(y, x, []int{3}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(y)
	// Output:
	// layer "relu1": quantizer has seen no data: show it calibration data (qat.Model.Calibrate, or training in an observing phase) first
	// [0 0.02 5.1]
}
