package main

import (
	"fmt"
	"strings"

	"github.com/goqat/goqat/qat/export/coreml"
	"github.com/goqat/goqat/qat/export/onnx"
	"github.com/goqat/goqat/qat/frozen"
)

// export writes the frozen network beside its file for the runtimes of other people: as
// ONNX model and as Core ML package, under the same name.
func (o options) export(file string, fz *frozen.Network) error {
	if o.noExport {
		return nil
	}
	base := strings.TrimSuffix(file, ".safetensors")
	err := onnx.WriteFile(base+".onnx", fz, onnx.Options{})
	if err == nil {
		err = coreml.Write(base+".mlpackage", fz, coreml.Options{Description: "handwritten digits"})
	}
	if err != nil {
		return fmt.Errorf("%w (-export=false goes without)", err)
	}
	return nil
}
