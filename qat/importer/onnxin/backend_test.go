package onnxin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"google.golang.org/protobuf/proto"
)

// backendDir is the folder backend/test/data of the Python package onnx, which has a test
// for every operator. The tests that need it are skipped without the variable.
func backendDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GOQAT_ONNX_BACKEND")
	if dir == "" {
		t.Skip("set GOQAT_ONNX_BACKEND to onnx/backend/test/data of the Python package onnx")
	}
	return dir
}

func readProto(t *testing.T, path string, m proto.Message) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestBackendNetworks runs the ONNX project's copies of published networks, whose weights
// are all alike, at full size against the outputs that come with them.
func TestBackendNetworks(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(backendDir(t), "light", "*.onnx"))
	if err != nil || len(paths) < 9 {
		t.Fatalf("%d networks, want 9 or more: %v", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		t.Run(name, func(t *testing.T) {
			m, err := ReadFile(path, Options{MaxElements: 1 << 28})
			if err != nil {
				t.Fatal(err)
			}
			want := &onnxpb.TensorProto{}
			readProto(t, strings.TrimSuffix(path, ".onnx")+"_output_0.pb", want)
			c, err := decode(want, noFiles{})
			if err != nil {
				t.Fatal(err)
			}
			// The ONNX project's runner fills the input with ones, divided by their number.
			x := make([]float32, product(m.Inputs[0].Shape()))
			for i := range x {
				x[i] = 1 / float32(len(x))
			}
			near(t, name, forward(t, m, x)[0], c.f, conformRel)
		})
	}
}
