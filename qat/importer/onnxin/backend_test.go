package onnxin

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"google.golang.org/protobuf/proto"
)

// backendDir is the folder onnx/backend/test/data of a checkout of the ONNX project (up
// to release 1.19 it holds a test for every operator). The tests that need it are
// skipped without the variable.
func backendDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GOQAT_ONNX_BACKEND")
	if dir == "" {
		t.Skip("set GOQAT_ONNX_BACKEND to onnx/backend/test/data of a checkout of github.com/onnx/onnx")
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

// backendTol is that of the ONNX project's own runner, relative to the largest number.
const backendTol = 1e-3

// TestBackendNodes runs the ONNX project's tests of single operators: each with all
// float operands as inputs, and with all but the first as initializers.
func TestBackendNodes(t *testing.T) {
	var dirs []string
	for _, kind := range []string{"node", "pytorch-converted", "pytorch-operator", "simple"} {
		found, err := filepath.Glob(filepath.Join(backendDir(t), kind, "test_*", "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, found...)
	}
	passed, refused := 0, map[string][]string{}
	for _, path := range dirs {
		name := filepath.Base(filepath.Dir(path))
		ok := false
		var last error
		for _, constants := range []bool{false, true} {
			m := &onnxpb.ModelProto{}
			readProto(t, path, m)
			if !floatModel(m) {
				last = nil
				break
			}
			var err error
			t.Run(name, func(t *testing.T) { err = backendCase(t, m, filepath.Dir(path), constants) })
			ok = ok || err == nil
			last = err
		}
		if ok {
			passed++
		} else if last != nil {
			op := name
			refused[op] = append(refused[op], last.Error())
		}
	}
	t.Logf("%d of %d passed", passed, len(dirs))
	names := []string{}
	for n := range refused {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		t.Logf("refused %s: %.300s", n, refused[n][0])
	}
	if passed < 300 {
		t.Errorf("only %d operator tests passed", passed)
	}
}

// floatModel reports whether the model is one that goqat could be asked to read: its
// operators are known and some input and the outputs are floats.
func floatModel(m *onnxpb.ModelProto) bool {
	for _, n := range m.Graph.Node {
		if handlers[n.GetOpType()] == nil && folds[n.GetOpType()] == nil || !isStandard(n.GetDomain()) {
			return false
		}
	}
	isFloat := func(v *onnxpb.ValueInfoProto) bool {
		return dataType(v.GetType().GetTensorType().GetElemType()) == onnxpb.TensorProto_FLOAT
	}
	for _, o := range m.Graph.Output {
		if !isFloat(o) {
			return false
		}
	}
	if m.Graph.Node[0].GetOpType() == "Dropout" && len(m.Graph.Node[0].Input) == 3 {
		return false // drops at random: goqat imports the inference form
	}
	return slices.ContainsFunc(m.Graph.Input, isFloat)
}

// backendCase returns an error where the model is refused; wrong results fail the test.
func backendCase(t *testing.T, m *onnxpb.ModelProto, dir string, constants bool) error {
	set := filepath.Join(dir, "test_data_set_0")
	given := map[string]bool{}
	for _, init := range m.Graph.Initializer {
		given[init.GetName()] = true
	}
	var in [][]float32
	kept := m.Graph.Input[:0]
	k := 0
	for _, v := range m.Graph.Input {
		if given[v.GetName()] {
			continue
		}
		x := &onnxpb.TensorProto{}
		readProto(t, filepath.Join(set, "input_"+itoa(k)+".pb"), x)
		k++
		x.Name = v.Name
		c, err := decode(x, noFiles{})
		if err != nil {
			return err
		}
		if c.float && (len(in) == 0 || !constants) && len(m.Graph.Node) > 0 {
			kept = append(kept, v)
			in = append(in, c.f)
			continue
		}
		m.Graph.Initializer = append(m.Graph.Initializer, x)
	}
	m.Graph.Input = kept
	if m.OpsetImport[0].GetVersion() < minOpset {
		m.OpsetImport[0].Version = proto.Int64(minOpset)
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	model, err := Read(bytes.NewReader(data), Options{})
	if err != nil {
		if !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrFormat) {
			t.Errorf("%v", err)
		}
		return err
	}
	if len(in) != len(model.Inputs) {
		return errors.New("an input is not needed")
	}
	got := forward(t, model, in...)
	for i, y := range got {
		want := &onnxpb.TensorProto{}
		readProto(t, filepath.Join(set, "output_"+itoa(i)+".pb"), want)
		c, err := decode(want, noFiles{})
		if err != nil {
			t.Fatal(err)
		}
		if s := model.Outputs[i].Shape(); !slices.Equal([]int(s), c.shape) && product(s) == product(c.shape) && len(s) != 0 {
			t.Errorf("output %d has shape %v, want %v", i, s, c.shape)
		}
		near(t, "output "+itoa(i), y, c.f, backendTol)
	}
	return nil
}

func itoa(i int) string { return strconv.Itoa(i) }

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
			near(t, name, forward(t, m, x)[0], c.f, backendTol)
		})
	}
}
