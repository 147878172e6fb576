package coremlout

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/mlpb"
	"google.golang.org/protobuf/proto"
)

// tensor is a value of a decoded program. Numbers of all types are kept as float32:
// the integers of these programs are small.
type tensor struct {
	dtype mlpb.DataType
	shape []int
	data  []float32
	text  string
}

func (v tensor) String() string { return fmt.Sprintf("%v %v", v.dtype, v.shape) }

// program is a decoded package.
type program struct {
	t        *testing.T
	manifest manifest
	model    *mlpb.Model
	weights  []byte
	used     map[uint64]bool // offsets of blobs
	function *mlpb.Function
	block    *mlpb.Block
	opset    string
	env      map[string]tensor
	ops      map[string]int // how often each operation occurs
}

// open reads a package and checks its frame: manifest, version, blobs, description.
func open(t *testing.T, path string) *program {
	t.Helper()
	p := &program{t: t, model: &mlpb.Model{}, used: map[uint64]bool{}, env: map[string]tensor{}, ops: map[string]int{}}
	text := read(t, filepath.Join(path, "Manifest.json"))
	if err := json.Unmarshal(text, &p.manifest); err != nil {
		t.Fatal(err)
	}
	p.checkManifest(path)
	root := filepath.Join(path, "Data", "com.apple.CoreML")
	if err := proto.Unmarshal(read(t, filepath.Join(root, "model.mlmodel")), p.model); err != nil {
		t.Fatal(err)
	}
	p.weights = read(t, filepath.Join(root, "weights", "weight.bin"))
	p.checkBlobs()
	versions := map[int32]string{7: "CoreML6", 8: "CoreML7", 9: "CoreML8"}
	p.opset = versions[p.model.SpecificationVersion]
	p.function = p.model.GetMlProgram().GetFunctions()["main"]
	p.block = p.function.GetBlockSpecializations()[p.opset]
	if p.block == nil || p.function.Opset != p.opset || p.model.GetMlProgram().Version != 1 || len(p.function.BlockSpecializations) != 1 {
		t.Fatalf("specification version %d, function %v", p.model.SpecificationVersion, p.function)
	}
	return p
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p *program) checkManifest(path string) {
	p.t.Helper()
	id := regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`)
	m := p.manifest
	if m.Version != "1.0.0" || len(m.Items) != 2 || m.Items[m.Root].Path != "com.apple.CoreML/model.mlmodel" {
		p.t.Errorf("manifest %+v", m)
	}
	for k, e := range m.Items {
		if _, err := os.Stat(filepath.Join(path, "Data", e.Path)); err != nil || !id.MatchString(k) || e.Author == "" || e.Name == "" || e.Description == "" {
			p.t.Errorf("manifest item %q: %+v, %v", k, e, err)
		}
	}
}

// checkBlobs walks the weight file from record to record.
func (p *program) checkBlobs() {
	p.t.Helper()
	le := binary.LittleEndian
	if len(p.weights) < 64 || le.Uint32(p.weights[4:]) != 2 {
		p.t.Fatalf("weight file of %d bytes, version wrong", len(p.weights))
	}
	at := uint64(64)
	for range le.Uint32(p.weights) {
		r := p.weights[at:]
		size, start := le.Uint64(r[8:]), le.Uint64(r[16:])
		if at%64 != 0 || le.Uint32(r) != 0xDEADBEEF || start != at+64 {
			p.t.Fatalf("record at %d: sentinel %x, data at %d", at, le.Uint32(r), start)
		}
		for _, pad := range r[32:64] {
			if pad != 0 {
				p.t.Errorf("record at %d: reserved bytes are not 0", at)
			}
		}
		p.used[at] = false
		if at = start + size; at != uint64(len(p.weights)) {
			at = (at + 63) / 64 * 64
		}
	}
	if at != uint64(len(p.weights)) {
		p.t.Errorf("weight file has %d bytes, records end at %d", len(p.weights), at)
	}
}

func typeOf(v *mlpb.ValueType) (mlpb.DataType, []int) {
	t := v.GetTensorType()
	shape := []int{}
	for _, d := range t.GetDimensions() {
		shape = append(shape, int(d.GetConstant().GetSize()))
	}
	if int(t.GetRank()) != len(shape) {
		shape = append(shape, -999)
	}
	return t.GetDataType(), shape
}

// value decodes a constant.
func (p *program) value(v *mlpb.Value) tensor {
	dtype, shape := typeOf(v.GetType())
	out := tensor{dtype: dtype, shape: shape}
	n := elements(shape)
	if blob := v.GetBlobFileValue(); blob != nil {
		out.data = p.numbers(dtype, n, p.blob(blob, dtype, n))
		return out
	}
	switch x := v.GetImmediateValue().GetTensor().GetValue().(type) {
	case *mlpb.TensorValue_Floats:
		out.data = x.Floats.Values
		p.want(dtype, mlpb.DataType_FLOAT32)
	case *mlpb.TensorValue_Ints:
		for _, i := range x.Ints.Values {
			out.data = append(out.data, float32(i))
		}
		p.want(dtype, mlpb.DataType_INT32)
	case *mlpb.TensorValue_Bools:
		for _, b := range x.Bools.Values {
			out.data = append(out.data, map[bool]float32{true: 1}[b])
		}
		p.want(dtype, mlpb.DataType_BOOL)
	case *mlpb.TensorValue_Strings:
		out.text, out.data = x.Strings.Values[0], make([]float32, len(x.Strings.Values))
		p.want(dtype, mlpb.DataType_STRING)
	case *mlpb.TensorValue_Bytes:
		out.data = p.numbers(dtype, n, x.Bytes.Values)
		if dtype == mlpb.DataType_FLOAT32 || dtype == mlpb.DataType_INT32 {
			p.t.Errorf("%v stored as bytes", dtype)
		}
	}
	if len(out.data) != n {
		p.t.Fatalf("%d elements for %v", len(out.data), out)
	}
	return out
}

func (p *program) want(got, want mlpb.DataType) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("type %v, want %v", got, want)
	}
}

func (p *program) blob(v *mlpb.Value_BlobFileValue, dtype mlpb.DataType, n int) []byte {
	types := map[mlpb.DataType]uint32{mlpb.DataType_FLOAT16: 1, mlpb.DataType_FLOAT32: 2, mlpb.DataType_UINT8: 3,
		mlpb.DataType_INT8: 4, mlpb.DataType_INT4: 8, mlpb.DataType_UINT4: 11, mlpb.DataType_INT32: 14}
	if _, ok := p.used[v.Offset]; !ok || v.FileName != "@model_path/weights/weight.bin" {
		p.t.Fatalf("no blob at %d of %s", v.Offset, v.FileName)
	}
	p.used[v.Offset] = true
	if p.opset != "CoreML8" && (dtype == mlpb.DataType_INT32 || bitsOf(dtype) == 4) {
		p.t.Errorf("a blob of %v in %s", dtype, p.opset)
	}
	le, r := binary.LittleEndian, p.weights[v.Offset:]
	size, pad := le.Uint64(r[8:]), le.Uint64(r[24:])
	if bits := uint64(n * bitsOf(dtype)); le.Uint32(r[4:]) != types[dtype] || 8*size-pad != bits || pad > 7 {
		p.t.Fatalf("blob of type %d, %d bytes, %d padding bits for %d elements of %v", le.Uint32(r[4:]), size, pad, n, dtype)
	}
	return r[64:][:size]
}

// numbers decodes little-endian elements.
func (p *program) numbers(dtype mlpb.DataType, n int, raw []byte) []float32 {
	le := binary.LittleEndian
	out := make([]float32, n)
	if bitsOf(dtype) == 4 {
		codes := make([]int32, n)
		if err := fakequant.Unpack4(codes, raw, dtype == mlpb.DataType_INT4); err != nil {
			p.t.Fatal(err)
		}
		for i, c := range codes {
			out[i] = float32(c)
		}
		return out
	}
	if len(raw)*8 != n*bitsOf(dtype) {
		p.t.Fatalf("%d bytes for %d elements of %v", len(raw), n, dtype)
	}
	for i := range out {
		switch dtype {
		case mlpb.DataType_UINT8:
			out[i] = float32(raw[i])
		case mlpb.DataType_INT8:
			out[i] = float32(int8(raw[i]))
		case mlpb.DataType_FLOAT16:
			out[i] = fromHalf(le.Uint16(raw[2*i:]))
		case mlpb.DataType_INT32:
			out[i] = float32(int32(le.Uint32(raw[4*i:])))
		default:
			out[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		}
	}
	return out
}

// fromHalf is the value of a binary16: written apart from half, by the definition.
func fromHalf(h uint16) float32 {
	sign, exp, frac := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	switch exp {
	case 0:
		return float32(math.Copysign(math.Ldexp(frac, -24), sign))
	case 31:
		if frac > 0 {
			return float32(math.NaN())
		}
		return float32(math.Inf(int(sign)))
	}
	return float32(sign * math.Ldexp(1024+frac, exp-25))
}

var identifierForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// run evaluates the program and checks every declared name and type on the way.
func (p *program) run(inputs ...[]float32) []tensor {
	p.t.Helper()
	if len(p.model.Description.Input) != len(p.function.Inputs) {
		p.t.Fatal("description and function have different inputs")
	}
	for i, in := range p.function.Inputs {
		dtype, shape := typeOf(in.Type)
		p.want(dtype, mlpb.DataType_FLOAT32)
		p.describes(p.model.Description.Input[i], in.Name, shape)
		p.define(in.Name, tensor{dtype: dtype, shape: shape, data: inputs[i]})
	}
	for _, op := range p.block.Operations {
		p.ops[op.Type]++
		if len(op.Outputs) != 1 || p.value(op.Attributes["name"]).text != op.Outputs[0].Name {
			p.t.Fatalf("%s: outputs %v", op.Type, op.Outputs)
		}
		got := p.evaluate(op)
		dtype, shape := typeOf(op.Outputs[0].Type)
		if got.dtype != dtype || !slices.Equal(got.shape, shape) || elements(shape) != len(got.data) {
			p.t.Fatalf("%s %s: declared %v %v, computed %v of %d elements", op.Type, op.Outputs[0].Name, dtype, shape, got, len(got.data))
		}
		p.define(op.Outputs[0].Name, got)
	}
	var out []tensor
	for i, name := range p.block.Outputs {
		v := p.env[name]
		p.want(v.dtype, mlpb.DataType_FLOAT32)
		p.describes(p.model.Description.Output[i], name, v.shape)
		out = append(out, v)
	}
	for at, used := range p.used {
		if !used {
			p.t.Errorf("nothing refers to the blob at %d", at)
		}
	}
	return out
}

func (p *program) define(name string, v tensor) {
	if _, twice := p.env[name]; twice || !identifierForm.MatchString(name) || len(v.shape) > 5 {
		p.t.Fatalf("name %q, defined before: %v, %v", name, twice, v)
	}
	p.env[name] = v
}

func (p *program) describes(f *mlpb.FeatureDescription, name string, shape []int) {
	p.t.Helper()
	a := f.GetType().GetMultiArrayType()
	var got []int
	for _, d := range a.GetShape() {
		got = append(got, int(d))
	}
	if f.Name != name || !slices.Equal(got, shape) || a.GetDataType() != mlpb.ArrayFeatureType_FLOAT32 {
		p.t.Errorf("description %v, want %s of shape %v", f, name, shape)
	}
}
