package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"text/tabwriter"

	"github.com/goqat/goqat/internal/ort"
	"github.com/goqat/goqat/qat/export/coremlout"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/testdata"
)

// files are the paths of what was exported.
type files struct {
	SafeTensors string `json:"safetensors"`
	ONNX        string `json:"onnx"`
	CoreML      string `json:"mlpackage"`
}

// runtime is what ONNX Runtime makes of the exported file.
type runtime struct {
	Accuracy float64 `json:"accuracy"` // percent of the test digits
	// Differing is how many of the test digits get another answer than from the frozen
	// network: integer kernels may round a sum the other way.
	Differing int `json:"differing"`
	Examples  int `json:"examples"`
}

// export writes the frozen network for goqat, ONNX and Core ML.
func (j *job) export(fz *frozen.Network) error {
	at := func(name string) string { return filepath.Join(j.o.out, name) }
	j.r.Files = files{SafeTensors: at("model.safetensors"), ONNX: at("model.onnx"), CoreML: at("model.mlpackage")}
	if err := fz.WriteFile(j.r.Files.SafeTensors); err != nil {
		return err
	}
	if err := onnxout.WriteFile(j.r.Files.ONNX, fz, onnxout.Options{}); err != nil {
		return err
	}
	if err := coremlout.WriteDir(j.r.Files.CoreML, fz, coremlout.Options{Description: "handwritten digits"}); err != nil {
		return err
	}
	var err error
	j.r.ORT, err = j.runORT(fz)
	if errors.Is(err, ort.ErrMissing) {
		return nil
	}
	return err
}

// runORT runs the exported ONNX file on the test digits, with integer kernels.
func (j *job) runORT(fz *frozen.Network) (*runtime, error) {
	test := j.data.test
	input := ort.Tensor{Dims: append([]int{test.Len()}, test.Shape...), Data: test.X}
	name := fz.Tensors[fz.Inputs[0]].Name
	results, err := ort.Run([]ort.Job{{Model: j.r.Files.ONNX, Level: ort.All, Inputs: map[string]ort.Tensor{name: input}}})
	if err != nil {
		return nil, err
	}
	if results[0].Err != nil {
		return nil, fmt.Errorf("ONNX Runtime: %w", results[0].Err)
	}
	want, err := fz.Run(test.X)
	if err != nil {
		return nil, err
	}
	r := &runtime{Examples: test.Len()}
	for _, y := range results[0].Outputs { // there is one
		if len(y.Data) != len(want[0]) {
			return nil, fmt.Errorf("ONNX Runtime: %d logits, want %d", len(y.Data), len(want[0]))
		}
		right := 0
		for i, label := range test.Y {
			row := func(logits []float32) int { return largest(logits[i*testdata.DigitClasses:][:testdata.DigitClasses]) }
			got := row(y.Data)
			if got == label {
				right++
			}
			if got != row(want[0]) {
				r.Differing++
			}
		}
		r.Accuracy = math.Round(1e4*float64(right)/float64(test.Len())) / 100
	}
	return r, nil
}

// largest returns the index of the largest value, the first of equal ones.
func largest(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// text prints the stages, then the files.
func (r *result) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "float\t%.2f %%\t%s, %d parameters\n", r.Float, r.Model, r.Parameters)
	fmt.Fprintf(w, "PTQ\t%.2f %%\tcalibrated on the training digits\n", r.PTQ)
	fmt.Fprintf(w, "QAT\t%.2f %%\ttrained with quantization in the loop\n", r.QAT)
	fmt.Fprintf(w, "frozen\t%.2f %%\t%d of %d codes differ from training\n", r.Frozen, r.CodesDiffering, r.CodesChecked)
	if r.ORT != nil {
		fmt.Fprintf(w, "ONNX Runtime\t%.2f %%\t%d of %d answers differ\n", r.ORT.Accuracy, r.ORT.Differing, r.ORT.Examples)
	} else {
		fmt.Fprintf(w, "ONNX Runtime\t-\tnot installed: set %s\n", ort.EnvFolder)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d bytes of parameters, %d in float32; %.1f s; %s, %s, %s\n", r.Bytes, r.FloatBytes, r.Seconds,
		r.Files.SafeTensors, r.Files.ONNX, r.Files.CoreML)
	return err
}
