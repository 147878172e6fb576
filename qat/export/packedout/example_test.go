package packedout_test

import (
	"bytes"
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/export/packedout"
	"github.com/goqat/goqat/qat/frozen"
)

// A network of one linear layer with 4-bit weights, as qat.Model.Freeze returns it.
func ExampleWrite() {
	w, err := frozen.NewConst("fc.weight", []int{2, 3}, []float32{-0.7, 0, 0.7, 1.4, 0.2, 0}, &frozen.Quant{
		Spec:   fakequant.Spec{Bits: 4, Granularity: fakequant.PerChannel, NarrowRange: true},
		Params: fakequant.Params{Scale: []float32{0.1, 0.2}, ZeroPoint: []int32{0, 0}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	net := &frozen.Network{
		Tensors: []frozen.Tensor{{Name: "x", Shape: []int{-1, 3}}, w, {Name: "y", Shape: []int{-1, 2}}},
		Layers:  []frozen.Layer{{Name: "fc", Op: frozen.MatMul{TransB: true}, Inputs: []int{0, 1}, Output: 2}},
		Inputs:  []int{0}, Outputs: []int{2},
	}
	var file bytes.Buffer
	report, err := packedout.Write(&file, net, packedout.Options{})
	fmt.Print(report)
	fmt.Println(err)
	// Output:
	// fc: 4 bits, per channel, symmetric, 16 bytes
	// <nil>
}
