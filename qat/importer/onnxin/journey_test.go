package onnxin

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/goqat/goqat/internal/ort"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
)

// journeys are operators between a convolution, h of shape [N,4,6,8], and the output. Each
// goes all the way: read, prepared, calibrated, frozen, verified, written, read back, and
// through ONNX Runtime as a float file and as the quantized one.
var journeys = []struct {
	name  string
	opset int
	build func(f *file, h string) string
	moves bool // it keeps codes
}{
	{"pad reflect", 17, func(f *file, h string) string {
		return f.node("Pad", []string{h, f.list(0, 0, 1, 2, 0, 0, 3, 1)}, "mode", "reflect")
	}, true},
	{"pad edge", 17, func(f *file, h string) string {
		return f.node("Pad", []string{h, f.list(0, 1, 1, 0, 0, 0, 3, 9)}, "mode", "edge")
	}, true},
	{"pad wrap", 19, func(f *file, h string) string {
		return f.node("Pad", []string{h, f.list(1, 2, 1, 2), "", f.list(-1, 2)}, "mode", "wrap")
	}, true},
	{"pad cut", 17, func(f *file, h string) string {
		return f.node("Pad", []string{h, f.list(0, 0, -1, 2, 0, 0, 0, -3), f.init(floatTensor("fill", nil, 0.5))})
	}, false},
	{"slice backwards", 17, func(f *file, h string) string {
		return f.node("Slice", []string{h, f.list(-1, 5), f.list(math.MinInt64, 0), f.list(1, 3), f.list(-1, -2)})
	}, true},
	{"gather", 17, func(f *file, h string) string {
		return f.node("Gather", []string{h, f.init(intTensor("at", []int{2, 2}, 3, 0, -1, 3))}, "axis", 1)
	}, true},
	{"tile", 17, func(f *file, h string) string { return f.node("Tile", []string{h, f.list(1, 2, 1, 3)}) }, true},
	{"depth to space", 17, func(f *file, h string) string { return f.node("DepthToSpace", []string{h}, "blocksize", 2) }, true},
	{"depth to space by columns", 17, func(f *file, h string) string {
		return f.node("DepthToSpace", []string{h}, "blocksize", 2, "mode", "CRD")
	}, true},
	{"space to depth", 17, func(f *file, h string) string { return f.node("SpaceToDepth", []string{h}, "blocksize", 2) }, true},
	{"upsample", 9, func(f *file, h string) string {
		return f.node("Upsample", []string{h, f.init(floatTensor("s", []int{4}, 1, 1, 2, 3))})
	}, true},
	{"upsample linear", 9, func(f *file, h string) string {
		return f.node("Upsample", []string{h, f.init(floatTensor("s", []int{4}, 1, 1, 2, 2))}, "mode", "linear")
	}, false},
	{"resize by asymmetric floor", 13, resizing([]float32{1, 1, 2, 2}, nil, "mode", "nearest", "coordinate_transformation_mode", "asymmetric", "nearest_mode", "floor"), true},
	{"resize to sizes", 13, resizing(nil, []int64{2, 4, 9, 5}, "mode", "nearest"), true},
	{"resize down", 13, resizing([]float32{1, 1, 0.6, 0.7}, nil, "mode", "nearest", "nearest_mode", "ceil"), true},
	{"resize corners", 13, resizing(nil, []int64{2, 4, 11, 13}, "mode", "linear", "coordinate_transformation_mode", "align_corners"), false},
	{"resize linear", 13, resizing([]float32{1, 1, 2, 2}, nil, "mode", "linear", "coordinate_transformation_mode", "half_pixel"), false},
	{"resize linear of pytorch", 13, resizing([]float32{1, 1, 1.5, 0.4}, nil, "mode", "linear", "coordinate_transformation_mode", "pytorch_half_pixel"), false},
	{"resize cubic", 13, resizing([]float32{1, 1, 1.5, 2}, nil, "mode", "cubic", "coordinate_transformation_mode", "half_pixel"), false},
	{"resize cubic corners", 13, resizing(nil, []int64{2, 4, 4, 15}, "mode", "cubic", "coordinate_transformation_mode", "align_corners", "exclude_outside", 0), false},
	{"conv transpose", 17, func(f *file, h string) string {
		return f.node("ConvTranspose", []string{h, f.weight("t", 0.4, 4, 5, 2, 2), f.weight("c", 0.1, 5)}, "strides", []int{2, 2})
	}, false},
	{"conv transpose groups", 17, func(f *file, h string) string {
		return f.node("ConvTranspose", []string{h, f.weight("t", 0.4, 4, 3, 3, 2)}, "strides", []int{3, 2}, "dilations", []int{1, 2}, "pads", []int{1, 0, 2, 1}, "output_padding", []int{2, 1}, "group", 2)
	}, false},
	{"conv transpose to a size", 17, func(f *file, h string) string {
		return f.node("ConvTranspose", []string{h, f.weight("t", 0.4, 4, 2, 3, 3)}, "strides", []int{2, 2}, "output_shape", []int{12, 17})
	}, false},
	{"conv transpose same", 17, func(f *file, h string) string {
		return f.node("ConvTranspose", []string{h, f.weight("t", 0.4, 4, 2, 3, 3)}, "strides", []int{2, 2}, "auto_pad", "SAME_UPPER")
	}, false},
	{"conv transpose 1-D", 17, func(f *file, h string) string {
		y := f.node("Reshape", []string{h, f.list(0, 4, 48)})
		return f.node("ConvTranspose", []string{y, f.weight("t", 0.4, 4, 3, 4), f.weight("c", 0.1, 3)}, "strides", []int{2}, "pads", []int{1, 1})
	}, true}, // ends with a reshape
	{"max pool dilated", 17, func(f *file, h string) string {
		return f.node("MaxPool", []string{h}, "kernel_shape", []int{2, 3}, "dilations", []int{3, 2}, "strides", []int{1, 2}, "pads", []int{0, 1, 1, 1}, "ceil_mode", 1)
	}, true},
	{"average pool dilated", 19, func(f *file, h string) string {
		return f.node("AveragePool", []string{h}, "kernel_shape", []int{2, 3}, "dilations", []int{3, 2}, "pads", []int{0, 1, 1, 1})
	}, false}, // what lies inside is counted apart
	{"average pool dilated with padding", 19, func(f *file, h string) string {
		return f.node("AveragePool", []string{h}, "kernel_shape", []int{2, 3}, "dilations", []int{3, 2}, "pads", []int{0, 1, 1, 1}, "count_include_pad", 1)
	}, true},
	// From here on the last layer is a reshape.
	{"gather elements", 17, func(f *file, h string) string {
		return f.node("GatherElements", []string{h, f.init(intTensor("at", []int{2, 4, 1, 2}, 7, 0, 1, -1, 2, 2, 3, 4, 7, 0, 1, -1, 2, 2, 3, 4))}, "axis", 3)
	}, true},
	{"scatter rows", 17, func(f *file, h string) string {
		y := f.node("Reshape", []string{h, f.list(0, 192)})
		u := f.node("Slice", []string{y, f.list(100), f.list(103), f.list(1)})
		return f.node("ScatterElements", []string{y, f.init(intTensor("at", []int{2, 3}, 5, 0, -1, 5, 0, -1)), u}, "axis", 1)
	}, true},
	{"max pool 3-D", 17, deep("MaxPool", "kernel_shape", []int{2, 2, 3}, "strides", []int{1, 2, 2}, "pads", []int{1, 0, 1, 0, 0, 1}), true},
	{"average pool 3-D", 19, deep("AveragePool", "kernel_shape", []int{2, 2, 3}, "strides", []int{1, 2, 2}, "pads", []int{1, 0, 1, 0, 0, 1}), true},
	{"average pool 3-D with padding", 19, deep("AveragePool", "kernel_shape", []int{2, 2, 3}, "pads", []int{1, 0, 1, 0, 0, 1}, "count_include_pad", 1), true},
	{"global average pool 3-D", 17, deep("GlobalAveragePool"), true},
	{"global max pool 3-D", 17, deep("GlobalMaxPool"), true},
	{"sum of squares", 18, func(f *file, h string) string {
		return f.node("LpPool", []string{h}, "kernel_shape", []int{2, 3}, "pads", []int{0, 1, 1, 1})
	}, false},
	{"conv 3-D", 17, func(f *file, h string) string {
		y := f.node("Reshape", []string{h, f.list(0, 2, 4, 4, 6)})
		return f.node("Conv", []string{y, f.weight("t", 0.4, 3, 2, 2, 3, 2), f.weight("c", 0.1, 3)}, "strides", []int{2, 1, 2}, "pads", []int{1, 1, 0, 0, 1, 1}, "dilations", []int{1, 1, 2})
	}, true},
	{"conv 3-D groups", 17, func(f *file, h string) string {
		y := f.node("Reshape", []string{h, f.list(0, 2, 4, 4, 6)})
		return f.node("Conv", []string{y, f.weight("t", 0.4, 4, 1, 3, 1, 1)}, "group", 2)
	}, true},
	{"resize that keeps its aspect", 18, resizing(nil, []int64{5, 6}, "mode", "nearest", "axes", []int{2, 3}, "keep_aspect_ratio_policy", "not_larger"), true},
	{"resize antialiased", 18, resizing(nil, []int64{3, 4}, "mode", "linear", "antialias", 1, "axes", []int{2, 3}), false},
}

// resizing is a Resize to scales or sizes.
func resizing(scales []float32, sizes []int64, attrs ...any) func(f *file, h string) string {
	return func(f *file, h string) string {
		if sizes != nil {
			return f.node("Resize", []string{h, "", "", f.list(sizes...)}, attrs...)
		}
		return f.node("Resize", []string{h, "", f.init(floatTensor("scales", []int{len(scales)}, scales...))}, attrs...)
	}
}

// deep is an operator on an image of two channels, of depth, rows and columns.
func deep(op string, attrs ...any) func(f *file, h string) string {
	return func(f *file, h string) string {
		return f.node(op, []string{f.node("Reshape", []string{h, f.list(0, 2, 4, 4, 6)})}, attrs...)
	}
}

const (
	// journeyTol: float32 sums of up to 54 products and of the operator, in another order.
	journeyTol = 1e-5
	// journeySteps: integer kernels round the result of the convolution and that of the
	// operator in other places, by a step each; scales of both may differ by half.
	journeySteps = 3
)

func TestJourneys(t *testing.T) {
	_, missing := ort.Find()
	dir, x := t.TempDir(), numbers(5, 2*3*6*8)
	var jobs []ort.Job
	var judge []func(t *testing.T, r ort.Result)
	for i, j := range journeys {
		t.Run(j.name, func(t *testing.T) {
			f := newFile(j.opset)
			in := f.input("x", "N", 3, 6, 8)
			h := f.node("Conv", []string{in, f.weight("w", 0.4, 4, 3, 3, 3), f.weight("b", 0.1, 4)}, "pads", []int{1, 1, 1, 1})
			f.output(j.build(f, h))
			m, err := f.read(t, Options{Batch: 2})
			if err != nil {
				t.Fatal(err)
			}
			y := forward(t, m, x)[0]
			paths := []string{filepath.Join(dir, fmt.Sprint(i, ".onnx")), filepath.Join(dir, fmt.Sprint(i, "-int8.onnx"))}
			if err := os.WriteFile(paths[0], f.bytes(t), 0o600); err != nil {
				t.Fatal(err)
			}
			if m, err = f.read(t, Options{Batch: 2}); err != nil { // without the float run's values
				t.Fatal(err)
			}
			fz := frozenOf(t, m, qconfig.Config{QuantizeOutputs: true}, x)
			if s := fz.Tensors[fz.Outputs[0]].Shape; s[0] >= 0 {
				t.Errorf("the output has shape %v, no open batch", s)
			}
			last := len(fz.Layers) - 1
			if moved := fz.Mode(last) == frozen.Codes; moved != j.moves {
				t.Errorf("the last layer, %s, is in mode %v", fz.Layers[last].Op.Kind(), fz.Mode(last))
			}
			var file bytes.Buffer
			if err := onnxout.Write(&file, fz, onnxout.Options{Bias: onnxout.BiasFloat}); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(paths[1], file.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			back, err := ReadFrozen(&file)
			if err != nil {
				t.Fatal(err)
			}
			sameNetwork(t, back, fz)
			sameRun(t, back, fz, x)
			q, err := fz.Run(x)
			if err != nil {
				t.Fatal(err)
			}
			input := map[string]ort.Tensor{"x": {Dims: []int{2, 3, 6, 8}, Data: x}}
			for k, path := range []string{paths[0], paths[1], paths[1]} {
				jobs = append(jobs, ort.Job{Model: path, Level: []string{ort.Disabled, ort.Disabled, ort.All}[k], Inputs: input})
			}
			step := float64(fz.Tensors[fz.Layers[0].Output].Quant.Params.Scale[0])
			judge = append(judge, nearEach("float", y, journeyTol*float64(largest(y))), nearEach("quantized", q[0], journeySteps*step), nearEach("optimised", q[0], journeySteps*step))
		})
	}
	if errors.Is(missing, ort.ErrMissing) {
		t.Skip(missing)
	}
	results, err := ort.Run(jobs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		t.Run(filepath.Base(jobs[i].Model)+" "+jobs[i].Level, func(t *testing.T) { judge[i](t, r) })
	}
}

// nearEach compares the only output of a run.
func nearEach(what string, want []float32, tol float64) func(t *testing.T, r ort.Result) {
	return func(t *testing.T, r ort.Result) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		for _, y := range r.Outputs {
			if len(y.Data) != len(want) {
				t.Fatalf("%s: %d elements of shape %v, want %d", what, len(y.Data), y.Dims, len(want))
			}
			for i, v := range y.Data {
				if d := math.Abs(float64(v) - float64(want[i])); !(d <= tol) {
					t.Fatalf("%s: ONNX Runtime's element %d is %v, ours %v", what, i, v, want[i])
				}
			}
		}
	}
}
