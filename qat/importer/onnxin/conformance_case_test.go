package onnxin

// What becomes of one of the ONNX project's tests?

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/internal/ort"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/qconfig"
	"google.golang.org/protobuf/proto"
)

// conformCase is one test: a model with its input and its outputs.
type conformCase struct {
	name, dir string
	single    bool
	in, out   []*onnxpb.TensorProto
}

// conformResult says what became of a test.
type conformResult struct {
	*conformCase
	verdict string // match, refused or wrong
	ops     string // operators, joined
	why     string // of a refusal or a wrong result
	frozen  string // of the W8A8 form of a match
	job     *ort.Job
}

// conformCases lists the tests with float32 among inputs and outputs.
func conformCases(t *testing.T) []*conformCase {
	var cases []*conformCase
	for _, kind := range []string{"node", "pytorch-converted", "pytorch-operator", "simple"} {
		paths, err := filepath.Glob(filepath.Join(backendDir(t), kind, "test_*", "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			c := &conformCase{name: filepath.Base(filepath.Dir(path)), dir: filepath.Dir(path)}
			if c.examine(t) {
				cases = append(cases, c)
			}
		}
	}
	slices.SortFunc(cases, func(a, b *conformCase) int { return strings.Compare(a.name, b.name) })
	return cases
}

func (c *conformCase) model(t *testing.T) *onnxpb.ModelProto {
	m := &onnxpb.ModelProto{}
	readProto(t, filepath.Join(c.dir, "model.onnx"), m)
	return m
}

// inputsOf are the model's inputs that are no initializers.
func inputsOf(m *onnxpb.ModelProto) []*onnxpb.ValueInfoProto {
	var in []*onnxpb.ValueInfoProto
	for _, v := range m.Graph.Input {
		if !slices.ContainsFunc(m.Graph.Initializer, func(t *onnxpb.TensorProto) bool { return t.GetName() == v.GetName() }) {
			in = append(in, v)
		}
	}
	return in
}

// examine tells which group the test is of; false: none.
func (c *conformCase) examine(t *testing.T) bool {
	m := c.model(t)
	kind := func(v *onnxpb.ValueInfoProto) dataType { return dataType(v.GetType().GetTensorType().GetElemType()) }
	isFloat := func(v *onnxpb.ValueInfoProto) bool { return kind(v) == typeFloat }
	notFloat := func(v *onnxpb.ValueInfoProto) bool { return kind(v) != typeFloat }
	foreign := func(v *onnxpb.ValueInfoProto) bool { // other floats, texts, sequences
		return bits[kind(v)] == 0 || isFloatType(kind(v)) && !isFloat(v)
	}
	in, out := inputsOf(m), m.Graph.Output
	live := 0
	for _, n := range m.Graph.Node {
		if n.GetOpType() != "Constant" {
			live++
		}
	}
	c.single = live == 1 && len(in) > 0 && isFloat(in[0]) && !slices.ContainsFunc(out, notFloat)
	if c.single {
		return true
	}
	all := slices.Concat(in, out)
	return slices.ContainsFunc(all, isFloat) && !slices.ContainsFunc(all, foreign) && !slices.ContainsFunc(m.Graph.Node, func(n *onnxpb.NodeProto) bool { return !isStandard(n.GetDomain()) })
}

// load reads the test's numbers.
func (c *conformCase) load(t *testing.T, m *onnxpb.ModelProto) error {
	read := func(kind string, count int) ([]*onnxpb.TensorProto, error) {
		var list []*onnxpb.TensorProto
		for i := range count {
			x := &onnxpb.TensorProto{}
			data, err := os.ReadFile(filepath.Join(c.dir, "test_data_set_0", kind+"_"+itoa(i)+".pb"))
			if err != nil {
				t.Fatal(err)
			}
			if err := proto.Unmarshal(data, x); err != nil || bits[dataType(x.GetDataType())] == 0 {
				return nil, fmt.Errorf("%w: %s %d is not a tensor of numbers", ErrUnsupported, kind, i)
			}
			list = append(list, x)
		}
		return list, nil
	}
	var err error
	if c.in, err = read("input", len(inputsOf(m))); err == nil {
		c.out, err = read("output", len(m.Graph.Output))
	}
	return err
}

// run tries the test with all operands as inputs, then with whole numbers as initializers,
// then with all but the first float ones. The first way that is not refused counts.
func (c *conformCase) run(t *testing.T, dir string) (r conformResult) {
	m := c.model(t)
	r = conformResult{conformCase: c}
	for _, n := range m.Graph.Node {
		if !strings.Contains(r.ops+" ", n.GetOpType()+" ") {
			r.ops = strings.TrimSpace(r.ops + " " + n.GetOpType())
		}
	}
	if err := c.load(t, m); err != nil {
		r.verdict, r.why = "refused", err.Error()
		return r
	}
	for _, keep := range []func(float bool, seen int) bool{
		func(bool, int) bool { return true },
		func(float bool, _ int) bool { return float },
		func(float bool, seen int) bool { return float && seen == 0 },
	} {
		model, in, err := c.read(t, keep)
		if err != nil {
			if !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "building the graph") {
				t.Errorf("%s: no refusal but a fault: %v", c.name, err)
			}
			r.verdict, r.why = "refused", err.Error()
			continue
		}
		r.verdict, r.why = "match", ""
		if err := c.compare(t, model, in); err != nil {
			r.verdict, r.why = "wrong", err.Error()
			return r
		}
		r.quantize(dir, model, in)
		return r
	}
	return r
}

// read reads the model with the inputs that keep picks; the others become initializers.
func (c *conformCase) read(t *testing.T, keep func(float bool, seen int) bool) (*Model, [][]float32, error) {
	m := c.model(t)
	in, empty := map[string][]float32{}, map[string][]int{}
	var kept []*onnxpb.ValueInfoProto
	for i, v := range inputsOf(m) {
		x := proto.CloneOf(c.in[i])
		x.Name = v.Name
		data, err := decode(x, noFiles{})
		if err != nil {
			return nil, nil, err
		}
		numbers, err := data.floats()
		if err != nil || !keep(data.float, len(kept)) {
			m.Graph.Initializer = append(m.Graph.Initializer, x)
			continue
		}
		// The file may leave dimensions open: the test's data give them.
		kept = append(kept, info(v.GetName(), dataType(x.GetDataType()), anys(data.shape)...))
		in[v.GetName()] = numbers
		if data.size() == 0 { // a size of 0 in the file counts as open
			empty[v.GetName()] = data.shape
		}
	}
	m.Graph.Input = kept
	for _, o := range m.OpsetImport {
		if isStandard(o.GetDomain()) {
			o.Version = proto.Int64(max(o.GetVersion(), minOpset))
		}
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	model, err := Read(bytes.NewReader(data), Options{Shapes: empty})
	if err != nil {
		return nil, nil, err
	}
	var used [][]float32
	for _, n := range model.Inputs {
		used = append(used, in[n.Name()])
	}
	return model, used, nil
}

func anys(shape []int) []any {
	var out []any
	for _, d := range shape {
		out = append(out, d)
	}
	return out
}

// compare runs the model in float.
func (c *conformCase) compare(t *testing.T, m *Model, in [][]float32) error {
	for i, y := range forward(t, m, in...) {
		want, err := decode(c.out[i], noFiles{})
		if err != nil {
			t.Fatal(err)
		}
		// Gorgonia has one number where a tensor of one is asked for.
		if s := m.Outputs[i].Shape(); !slices.Equal([]int(s), want.shape) && (len(y) != 1 || want.size() != 1) {
			return fmt.Errorf("output %d has shape %v, want %v", i, s, want.shape)
		}
		numbers, err := want.floats()
		if err != nil {
			return err
		}
		top := 0.0
		for _, v := range numbers {
			if a := math.Abs(float64(v)); a < math.Inf(1) {
				top = max(top, a)
			}
		}
		for k, v := range numbers {
			if d := math.Abs(float64(y[k]) - float64(v)); !(d <= conformRel*math.Abs(float64(v))+conformTop*top) && y[k] != v && (v == v || y[k] == y[k]) {
				return fmt.Errorf("output %d: element %d is %v, want %v (the largest is %v)", i, k, y[k], v, top)
			}
		}
	}
	return nil
}

// quantize makes the W8A8 form, and a job for ONNX Runtime of it.
func (r *conformResult) quantize(dir string, m *Model, in [][]float32) {
	p, err := qat.Prepare(m.Graph, qconfig.Config{}, m.Outputs...)
	if err != nil {
		r.frozen = "not prepared: " + err.Error()
		return
	}
	if err := p.Calibrate(in...); err != nil {
		r.frozen = "not calibrated: " + err.Error()
		return
	}
	fz, err := p.Freeze()
	if err != nil {
		r.frozen = "not frozen: " + err.Error()
		return
	}
	v, err := p.Verify(fz, in...)
	if err != nil {
		r.frozen = "not verified: " + err.Error()
		return
	}
	r.frozen = fmt.Sprintf("verify %d", v.Differing+v.FloatsOff)
	path := filepath.Join(dir, r.name+".onnx")
	if err := onnxout.WriteFile(path, fz, onnxout.Options{}); err != nil {
		r.frozen += ", not exported: " + err.Error()
		return
	}
	r.job = &ort.Job{Model: path, Level: ort.All, Inputs: map[string]ort.Tensor{}}
	for k, t := range fz.Inputs {
		r.job.Inputs[fz.Tensors[t].Name] = ort.Tensor{Dims: []int(m.Inputs[k].Shape()), Data: in[k]}
	}
}
