package coremlout_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/export/coremlout"
	"github.com/goqat/goqat/qat/frozen"
)

func ExampleWriteDir() {
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
	dir, err := os.MkdirTemp("", "coreml")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "digits.mlpackage")
	if err := coremlout.WriteDir(path, n, coremlout.Options{Target: coremlout.IOS17, Batch: 8}); err != nil {
		log.Fatal(err)
	}
	entries, err := os.ReadDir(path)
	fmt.Println(entries[0].Name(), entries[1].Name(), err)
	// Output: Data Manifest.json <nil>
}
