package frozen_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
)

// tiny is a network of one linear layer with two inputs and two outputs.
func tiny() *frozen.Network {
	scale := func(s ...float32) fakequant.Params {
		return fakequant.Params{Scale: s, ZeroPoint: make([]int32, len(s))}
	}
	act := frozen.Quant{Params: scale(0.5)} // int8, one step is 0.5
	perRow := fakequant.Spec{NarrowRange: true, Granularity: fakequant.PerChannel}
	weight, err := frozen.NewConst("fc.weight", []int{2, 2}, []float32{1, 2, -3, 0.5},
		&frozen.Quant{Spec: perRow, Params: scale(0.25, 0.5)})
	if err != nil {
		log.Fatal(err)
	}
	return &frozen.Network{
		Tensors: []frozen.Tensor{
			{Name: "x", Shape: []int{-1, 2}, Quant: &act},
			weight,
			{Name: "y", Shape: []int{-1, 2}, Quant: &act},
		},
		Layers: []frozen.Layer{{
			Name: "fc", Op: frozen.MatMul{TransB: true}, Inputs: []int{0, 1}, Output: 2,
			Act: &frozen.Unary{Fn: "relu"},
		}},
		Inputs: []int{0}, Outputs: []int{2},
	}
}

func ExampleNetwork_Run() {
	n := tiny()
	y, err := n.Run([]float32{
		1, 2.2, // 2.2 is 4.4 steps: it becomes 4 steps, 2.0
		-1, 0,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(y[0])
	fmt.Print(n)
	// Output:
	// [5 0 0 3]
	// frozen network: 1 layers, 14 bytes of constants (16 as float32)
	//   fc: matmul+relu, integer: x [-1 2] int8, fc.weight [2 2] int8 per_channel -> y [-1 2] int8
}

func ExampleNetwork_Call() {
	out, err := tiny().Call(frozen.Values{{Name: "x", Shape: []int{2, 2}, Float32: []float32{1, 2.2, -1, 0}}})
	if err != nil {
		log.Fatal(err)
	}
	y, _ := out.Get("y")
	fmt.Println(y.Shape, y.Float32)

	_, err = tiny().Call(frozen.Values{{Name: "image", Float32: []float32{1, 2}}})
	fmt.Println(err)
	// Output:
	// [2 2] [5 0 0 3]
	// invalid network input: no input "image": want "x" [-1 2]
}

func ExampleNetwork_Trace() {
	t, err := tiny().Trace([]float32{1, 2.2})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"x", "fc.weight", "y"} {
		codes, _ := t.Codes(name)
		values, _ := t.Values(name)
		fmt.Println(name, codes, values)
	}
	// Output:
	// x [2 4] [1 2]
	// fc.weight [4 8 -6 1] [1 2 -3 0.5]
	// y [10 0] [5 0]
}

func ExampleRead() {
	var file bytes.Buffer
	if err := tiny().Write(&file); err != nil {
		log.Fatal(err)
	}
	n, err := frozen.Read(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		log.Fatal(err)
	}
	y, err := n.Run([]float32{1, 2.2})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(y[0])

	file.Bytes()[file.Len()-1] ^= 1
	_, err = frozen.Read(bytes.NewReader(file.Bytes()), int64(file.Len()))
	fmt.Println(err != nil)
	// Output:
	// [5 0]
	// true
}
