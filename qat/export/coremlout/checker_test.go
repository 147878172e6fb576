package coremlout

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/frozen"
)

// checkerEnv names a program, written apart from this package, that checks a package
// and evaluates it with NumPy and PyTorch: "python3 PROGRAM M.mlpackage --in x.npy
// --want y.npy --tol T", last line PASS or FAIL.
const checkerEnv = "GOQAT_MLPKG_CHECK"

// TestChecker has the packages of TestPrograms checked by another program.
func TestChecker(t *testing.T) {
	program := os.Getenv(checkerEnv)
	if program == "" {
		t.Skipf("%s is not set: set it to a checker of .mlpackage folders", checkerEnv)
	}
	python := pythonWithTorch()
	if python == "" {
		t.Skip("no python3 with numpy and torch")
	}
	slots := make(chan bool, 2) // PyTorch takes memory
	for _, c := range slices.Concat(formatCases(), layerCases()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n, in := c.build(t)
			if why := beyondChecker(n); why != "" {
				t.Skip("the checker does not know ", why)
			}
			slots <- true
			defer func() { <-slots }()
			c.check(t, python, program, n, in)
		})
	}
}

// pythonWithTorch finds an interpreter.
func pythonWithTorch() string {
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import numpy, torch").Run() == nil {
			return p
		}
	}
	return ""
}

// beyondChecker says what in the network the checker cannot evaluate.
func beyondChecker(n *frozen.Network) string {
	for _, l := range n.Layers {
		switch op := l.Op.(type) {
		case frozen.Unary:
			switch op.Fn {
			case "sign", "ceil", "floor", "sin", "cos", "log", "log2", "log1p", "softplus":
				return op.Fn
			}
		case frozen.Pool:
			if op.Pad[0] != op.Pad[2] || op.Pad[1] != op.Pad[3] {
				return "uneven padding of pools"
			}
		case frozen.Softmax:
			if op.Log {
				return "log"
			}
		case frozen.Binary:
			if compareOps[op.Fn] != "" {
				return op.Fn
			}
		case frozen.Reduce:
			if op.Fn == "min" {
				return op.Fn
			}
		case frozen.Pad, frozen.LRN, frozen.Where:
			return l.Op.Kind()
		case frozen.Reshape:
			if len(op.Shape) == 0 {
				return "scalars"
			}
		}
	}
	return ""
}

func (c testCase) check(t *testing.T, python, program string, n *frozen.Network, in [][]float32) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.mlpackage")
	if err := WriteDir(path, n, c.opt); err != nil {
		t.Fatal(err)
	}
	shapes, err := n.Shapes(max(c.opt.Batch, 1))
	if err != nil {
		t.Fatal(err)
	}
	want, err := n.Run(in...)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for i, x := range in {
		name := fmt.Sprint("in", i, ".npy")
		writeNumPy(t, filepath.Join(dir, name), shapes[n.Inputs[i]], x)
		files = append(files, name)
	}
	writeNumPy(t, filepath.Join(dir, "want.npy"), shapes[n.Outputs[0]], want[0])
	var top float64
	for _, v := range want[0] {
		top = max(top, math.Abs(float64(v)))
	}
	// The checker's tolerance is relative to the largest result.
	tol := float64(c.tolerance(n, 0, want[0])) / top
	cmd := exec.Command(python, program, path, "--in", strings.Join(files, ","), "--want", "want.npy", "--tol", fmt.Sprint(tol))
	cmd.Dir = dir // names of temporary folders hold commas, which part the inputs
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// writeNumPy writes a .npy file, version 1.0.
func writeNumPy(t *testing.T, path string, shape []int, x []float32) {
	t.Helper()
	var dims strings.Builder
	for _, d := range shape {
		fmt.Fprintf(&dims, "%d,", d)
	}
	head := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", dims.String())
	head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), byte(len(head)>>8))
	b = append(b, head...)
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}
