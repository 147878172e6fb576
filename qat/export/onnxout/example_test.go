package onnxout_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
)

func ExampleWrite() {
	act := &frozen.Quant{Params: fakequant.Params{Scale: []float32{0.5}, ZeroPoint: []int32{0}}}
	weight, err := frozen.NewConst("fc.weight", []int{2, 2}, []float32{1, 2, -3, 0.5}, act)
	if err != nil {
		log.Fatal(err)
	}
	n := &frozen.Network{
		Tensors: []frozen.Tensor{
			{Name: "x", Shape: []int{-1, 2}, Quant: act},
			weight,
			{Name: "y", Shape: []int{-1, 2}, Quant: act},
		},
		Layers: []frozen.Layer{{Name: "fc", Op: frozen.MatMul{TransB: true}, Inputs: []int{0, 1}, Output: 2}},
		Inputs: []int{0}, Outputs: []int{2},
		Notes: map[string]string{"accuracy": "98.5 %"},
	}
	var model bytes.Buffer // or onnxout.WriteFile("model.onnx", n, onnxout.Options{})
	if err := onnxout.Write(&model, n, onnxout.Options{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(model.Len() > 0, bytes.Contains(model.Bytes(), []byte("98.5 %")))
	// Output: true true
}
