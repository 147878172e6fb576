package onnxin

import (
	"bytes"
	"embed"
	"encoding/binary"
	"fmt"
	"math"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/vm"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

//go:embed testdata
var testdata embed.FS

func readData(t testing.TB, name string) []byte {
	t.Helper()
	data, err := testdata.ReadFile(path.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var npyShape = regexp.MustCompile(`'descr': '<(f4|i8)', 'fortran_order': False, 'shape': \(([0-9, ]*)\)`)

// readNPY reads a NumPy file of float32 or int64 elements.
func readNPY(t testing.TB, name string) (shape []int, x []float32) {
	t.Helper()
	data := readData(t, name)
	head := 10 + int(binary.LittleEndian.Uint16(data[8:]))
	m := npyShape.FindSubmatch(data[:head])
	if m == nil {
		t.Fatalf("%s: header %q", name, data[:head])
	}
	for d := range strings.SplitSeq(string(m[2]), ",") {
		if d = strings.TrimSpace(d); d != "" {
			v := 0
			if _, err := fmt.Sscan(d, &v); err != nil {
				t.Fatal(err)
			}
			shape = append(shape, v)
		}
	}
	x = make([]float32, product(shape))
	for i := range x {
		if string(m[1]) == "i8" {
			x[i] = float32(int64(binary.LittleEndian.Uint64(data[head+8*i:])))
		} else {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[head+4*i:]))
		}
	}
	return shape, x
}

// forward runs the model's graph on goqat's machine.
func forward(t testing.TB, m *Model, in ...[]float32) [][]float32 {
	t.Helper()
	if len(in) != len(m.Inputs) {
		t.Fatalf("%d inputs, the model has %d", len(in), len(m.Inputs))
	}
	for i, x := range in {
		if err := gorgonia.Let(m.Inputs[i], tensor.New(tensor.WithShape(m.Inputs[i].Shape()...), tensor.WithBacking(x))); err != nil {
			t.Fatal(err)
		}
	}
	vm, err := vm.New(m.Graph, m.Outputs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	var out [][]float32
	for _, y := range m.Outputs {
		switch v := y.Value().(type) {
		case *gorgonia.F32:
			out = append(out, []float32{float32(*v)})
		case *tensor.Dense:
			out = append(out, append([]float32(nil), v.Float32s()...))
		default:
			t.Fatalf("output is a %T", v)
		}
	}
	return out
}

// near compares with a tolerance relative to the largest expected number.
func near(t testing.TB, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	top := 0.0
	for _, v := range want {
		if a := math.Abs(float64(v)); a < math.Inf(1) {
			top = max(top, a)
		}
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - float64(v)); !(d <= tol*top) && got[i] != v && (v == v || got[i] == got[i]) {
			t.Fatalf("%s: element %d is %v, want %v (the largest is %v)", what, i, got[i], v, top)
		}
	}
}

// torchTol: PyTorch sums in another order. The longest sums here have 144 terms and
// meet in a dozen layers: 12·144·2^-24 of the largest number is just above 1e-4; what is
// measured is below 1e-6.
const torchTol = 1e-4

var torchModels = []string{"cnn_13_eval", "cnn_17_train", "lin3d_17_eval", "mlp_13_eval", "mlp_17_train", "res_17_eval", "tf_17_eval", "view_13_train"}

// TestTorch: models that PyTorch exported compute what PyTorch computes, at the batch
// of the reference, and one row at a time in a graph for one row.
func TestTorch(t *testing.T) {
	for _, name := range torchModels {
		t.Run(name, func(t *testing.T) {
			shape, x := readNPY(t, "torch/"+name+".x.npy")
			_, want := readNPY(t, "torch/"+name+".y.npy")
			for _, batch := range []int{shape[0], 1} {
				m, err := Read(bytes.NewReader(readData(t, "torch/"+name+".onnx")), Options{Batch: batch})
				if err != nil {
					t.Fatal(err)
				}
				for i := 0; i < shape[0]; i += batch {
					row, out := len(x)/shape[0], len(want)/shape[0]
					got := forward(t, m, x[i*row:(i+batch)*row])
					near(t, fmt.Sprintf("batch of %d, row %d", batch, i), got[0], want[i*out:(i+batch)*out], torchTol)
				}
			}
		})
	}
}

// TestTorchQuantized: the models survive preparation, calibration and freezing, with an
// open batch, and the frozen network is what was prepared.
func TestTorchQuantized(t *testing.T) {
	for _, name := range torchModels {
		t.Run(name, func(t *testing.T) {
			_, x := readNPY(t, "torch/"+name+".x.npy")
			_, want := readNPY(t, "torch/"+name+".y.npy")
			m, err := Read(bytes.NewReader(readData(t, "torch/"+name+".onnx")), Options{})
			if err != nil {
				t.Fatal(err)
			}
			p, err := qat.Prepare(m.Graph, qconfig.Config{}, m.Outputs...)
			if err != nil {
				t.Fatal(err)
			}
			if p.Batch() != 1 {
				t.Errorf("the batch axis was lost: batch %d", p.Batch())
			}
			if err := p.Calibrate(x); err != nil {
				t.Fatal(err)
			}
			fz, err := p.Freeze()
			if err != nil {
				t.Fatal(err)
			}
			v, err := p.Verify(fz, x)
			if err != nil {
				t.Fatal(err)
			}
			if !v.OK() || v.Checked == 0 {
				t.Errorf("%+v", v)
			}
			got, err := fz.Run(x)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "quantized", got[0], want, quantTol)
		})
	}
}

// quantTol: eight bits leave 1/255 of the range in each of up to ten quantized tensors
// in a row, so 4 % if they all add up; narrow layers and 50 logits in a small range
// double that.
const quantTol = 0.08
