package onnxin_test

import (
	"fmt"
	"log"

	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/importer/onnxin"
	"github.com/goqat/goqat/qat/qconfig"
)

func Example() {
	m, err := onnxin.ReadFile("testdata/torch/mlp_13_eval.onnx", onnxin.Options{Batch: 16})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Inputs[0].Name(), m.Inputs[0].Shape(), "to", m.OutputNames[0], m.Outputs[0].Shape())
	fmt.Println(m.ParamNames())
	p, err := qat.Prepare(m.Graph, qconfig.Config{}, m.Outputs...)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready to train, batch", p.Batch())
	// Output:
	// x (16, 8) to y (16, 4)
	// [0.bias 0.weight 3.bias 3.weight]
	// ready to train, batch 16
}
