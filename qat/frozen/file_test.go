package frozen

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/safetensors"
)

func encode(t testing.TB, n *Network) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := n.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(data []byte) (*Network, error) {
	return Read(bytes.NewReader(data), int64(len(data)))
}

// wantEqual compares all exported fields.
func wantEqual(t testing.TB, got, want *Network) {
	t.Helper()
	a := []any{got.Tensors, got.Layers, got.Inputs, got.Outputs, got.Notes}
	b := []any{want.Tensors, want.Layers, want.Inputs, want.Outputs, want.Notes}
	for i, name := range []string{"tensors", "layers", "inputs", "outputs", "notes"} {
		if !reflect.DeepEqual(a[i], b[i]) {
			t.Fatalf("%s differ:\n got %+v\nwant %+v", name, a[i], b[i])
		}
	}
}

func TestRoundTrip(t *testing.T) {
	n := sample(t)
	data := encode(t, n)
	if again := encode(t, sample(t)); !bytes.Equal(data, again) {
		t.Error("equal networks give different bytes")
	}
	got, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, got, sample(t))
	if !bytes.Equal(encode(t, got), data) {
		t.Error("the decoded network gives other bytes")
	}
	x := sampleInput(4)
	want, err := n.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	out, err := got.Run(x)
	if err != nil {
		t.Fatal(err)
	}
	wantBits(t, "Run", out[0], want[0])
}

// Every layer kind, spec and odd value that a file must carry.
func TestRoundTripOfEverything(t *testing.T) {
	b := build(t)
	x := b.input("ü \"<x>\"", []int{-1, 2, 4, 4}, nil)
	act := &Unary{Fn: "clip", Min: -0.1, Max: math.MaxFloat32}
	y := b.layer("conv & more", Conv{Stride: [2]int{1, 1}, Pad: [4]int{1, 0, 0, 1}, Dilation: [2]int{1, 1}, Groups: 2}, act,
		[]int{-1, 2, 4, 4}, nil, x, b.floats("w", []int{2, 1, 2, 2}))
	y = b.layer("max", Pool{Kernel: [2]int{2, 2}, Stride: [2]int{1, 1}, Pad: [4]int{0, 1, 1, 0}}, nil, []int{-1, 2, 4, 4}, nil, y)
	y = b.layer("avg", Pool{Average: true, ExcludePad: true, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, nil, []int{-1, 2, 2, 2}, nil, y)
	bn := []int{y, b.floats("gamma", []int{2}), b.floats("beta", []int{2}), b.floats("mean", []int{2}), 0}
	variance, err := NewConst("variance", []int{2}, []float32{math.MaxFloat32, math.SmallestNonzeroFloat32}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bn[4] = b.add(variance)
	y = b.layer("bn", BatchNorm{Eps: 1e-5}, &Unary{Fn: "leaky_relu", Alpha: 0.01}, []int{-1, 2, 2, 2}, nil, bn...)
	y = b.layer("slice", Slice{Axis: 3, Start: 1, End: 2, Step: 1, Squeeze: true}, nil, []int{-1, 2, 2}, nil, y)
	y = b.layer("transpose", Transpose{Perm: []int{0, 2, 1}}, nil, []int{-1, 2, 2}, nil, y)
	y = b.layer("scale", Binary{Fn: "mul"}, nil, []int{-1, 2, 2}, nil, y, b.floats("scalar", []int{}))
	y = b.layer("drop", Dropout{P: 0.25}, nil, []int{-1, 2, 2}, nil, y)
	y = b.layer("cat", Concat{Axis: 1}, nil, []int{-1, 4, 2}, on(int8s, 0.1, 0), y, y)
	sum := b.layer("sum", Reduce{Fn: "sum", Axes: []int{1, 2}}, nil, []int{-1}, on(uint8a, 0.1, 3), y)
	log := b.layer("log", Softmax{Axis: 2, Log: true}, nil, []int{-1, 4, 2}, nil, y)
	b.n.Outputs = []int{sum, log}
	for bits := 0; bits <= 8; bits++ {
		if bits == 1 {
			continue
		}
		for i, s := range []fakequant.Spec{
			{Granularity: fakequant.PerChannel, Axis: -1},
			{NarrowRange: true, Granularity: fakequant.PerBlock, Axis: 1, BlockSize: 2},
			{Unsigned: true, Scheme: fakequant.Affine},
			{Scheme: fakequant.Affine, Granularity: fakequant.PerBlock, Axis: 0, BlockSize: 3},
		} {
			s.Bits = bits
			b.codes(string(rune('a'+bits))+string(rune('0'+i)), []int{3, 5}, b.quant(s, 3, 5))
		}
	}
	data := encode(t, b.n)
	got, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, got, b.n)
}

// The layout that the package comment promises, read without Read.
func TestFileLayout(t *testing.T) {
	n := sample(t)
	f, err := safetensors.Read(bytes.NewReader(encode(t, n)), int64(len(encode(t, n))))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name  string
		dtype safetensors.DType
		shape []int
	}{
		{"dw.weight.qweight", safetensors.I8, []int{6, 1, 3, 3}},
		{"dw.weight.scale", safetensors.F32, []int{6, 1, 1, 1}},
		{"dw.weight.zero_point", safetensors.I8, []int{6, 1, 1, 1}},
		{"pw.weight.qweight", safetensors.U8, []int{18}},
		{"pw.weight.scale", safetensors.F32, []int{6, 2, 1, 1}},
		{"pw.weight.zero_point", safetensors.I8, []int{6, 2, 1, 1}},
		{"fc.weight.qweight", safetensors.U8, []int{15}},
		{"fc.weight.zero_point", safetensors.U8, []int{5, 1}},
		{"fc.bias", safetensors.F32, []int{5}},
		{"image.scale", safetensors.F32, []int{1}},
		{"image.zero_point", safetensors.I8, []int{1}},
		{"pw.out.zero_point", safetensors.U8, []int{1}},
	}
	for _, c := range cases {
		d, shape, _, err := f.Info(c.name)
		if err != nil || d != c.dtype || !slices.Equal(shape, c.shape) {
			t.Errorf("%s: %v %v, %v; want %v %v", c.name, d, shape, err, c.dtype, c.shape)
		}
	}
	packed, err := f.Bytes("pw.weight.qweight")
	if err != nil {
		t.Fatal(err)
	}
	codes, err := at(n, "pw.weight").Codes()
	if err != nil {
		t.Fatal(err)
	}
	if packed[0] != byte(codes[0])&15|byte(codes[1])<<4 {
		t.Errorf("first byte %#x for codes %d, %d", packed[0], codes[0], codes[1])
	}
	if f.Metadata["format"] != "goqat" || f.Metadata["version"] != "1" {
		t.Errorf("metadata %q", f.Metadata)
	}
	if want := `{"accuracy":"0.97 <test>","source":"by hand"}`; f.Metadata["notes"] != want {
		t.Errorf("notes %s", f.Metadata["notes"])
	}
	want := `{"name":"pw.weight","shape":[6,6,1,1],"quant":{"bits":4,"scheme":"symmetric","granularity":"per_block","axis":1,"block_size":4,"narrow_range":true},"const":true}`
	if !strings.Contains(f.Metadata["network"], want) {
		t.Errorf("network %s\nwant %s", f.Metadata["network"], want)
	}
}

func TestSaveAndLoadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.safetensors")
	n := sample(t)
	if err := n.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, got, n)
	// An invalid network leaves the file as it was.
	if err := (&Network{}).WriteFile(path); err == nil || !errors.Is(err, ErrNetwork) {
		t.Errorf("invalid network: %v", err)
	}
	if _, err := ReadFile(path); err != nil {
		t.Errorf("the old file is gone: %v", err)
	}
	if err := os.WriteFile(path, []byte("not a network"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), path) || !errors.Is(err, ErrFormat) {
		t.Errorf("not a network: %v", err)
	}
	if _, err := ReadFile(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

type brokenWriter struct{ room int }

var errFull = errors.New("disk full")

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.room -= len(b); w.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestEncodeErrors(t *testing.T) {
	if err := sample(t).Write(&brokenWriter{100}); !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}
	w := &brokenWriter{0}
	n := sample(t)
	n.Outputs = nil
	if err := n.Write(w); !errors.Is(err, ErrNetwork) {
		t.Errorf("invalid network: %v", err)
	}
}

// contents is a file taken apart, for the tests that put it together wrongly.
type contents struct {
	meta    map[string]string
	tensors []safetensors.Tensor
	forged  bool // the test wrote the checksum itself
}

func takeApart(t testing.TB, n *Network) *contents {
	t.Helper()
	meta, err := n.metadata()
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := n.stored()
	if err != nil {
		t.Fatal(err)
	}
	return &contents{meta: meta, tensors: tensors}
}

// bytes writes the file with a checksum that fits.
func (c *contents) bytes(t testing.TB) []byte {
	t.Helper()
	if !c.forged {
		sum := newChecksum(c.meta)
		for _, s := range c.tensors {
			sum.Write(s.Data)
		}
		c.meta[keyChecksum] = hex.EncodeToString(sum.Sum(nil))
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, c.tensors, c.meta); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (c *contents) tensor(name string) *safetensors.Tensor {
	for i := range c.tensors {
		if c.tensors[i].Name == name {
			return &c.tensors[i]
		}
	}
	panic("no tensor " + name)
}

// replace changes the first place in the network's JSON.
func (c *contents) replace(old, new string) {
	if !strings.Contains(c.meta[keyNetwork], old) {
		panic("no " + old + " in " + c.meta[keyNetwork])
	}
	c.meta[keyNetwork] = strings.Replace(c.meta[keyNetwork], old, new, 1)
}

func js(old, new string) func(*contents) { return func(c *contents) { c.replace(old, new) } }

var brokenFiles = []struct {
	name string
	do   func(c *contents)
	want string
}{
	{"no format", func(c *contents) { delete(c.meta, keyFormat) }, `format "" in the metadata, want "goqat"`},
	{"other format", func(c *contents) { c.meta[keyFormat] = "pt" }, `format "pt" in the metadata`},
	{"no version", func(c *contents) { delete(c.meta, keyVersion) }, `version "", this program reads version "1"`},
	{"newer version", func(c *contents) { c.meta[keyVersion] = "2" }, `version "2", this program reads version "1"`},
	{"unknown key", func(c *contents) { c.meta["licence"] = "" }, `unknown metadata key "licence"`},
	{"no network", func(c *contents) { delete(c.meta, keyNetwork) }, `metadata "network": missing or empty`},
	{"no JSON", func(c *contents) { c.meta[keyNetwork] = "tensors" }, `metadata "network": invalid character`},
	{"cut JSON", func(c *contents) { c.meta[keyNetwork] = c.meta[keyNetwork][:200] }, `metadata "network": unexpected EOF`},
	{"two values", func(c *contents) { c.meta[keyNetwork] += "{}" }, `metadata "network": data after the value at byte`},
	{"a list", func(c *contents) { c.meta[keyNetwork] = "[]" }, `metadata "network": json: cannot unmarshal array`},
	{"null", func(c *contents) { c.meta[keyNetwork] = "null" }, `metadata "network" is not spelt as Write spells it`},
	{"spaces", js(`"layers":`, `"layers": `), `metadata "network" is not spelt as Write spells it at byte`},
	{"key twice", js(`"name":"image"`, `"name":"x","name":"image"`), `metadata "network" is not spelt as Write spells it`},
	{"key in another case", js(`"name":"image"`, `"Name":"image"`), `metadata "network" is not spelt as Write spells it`},
	{"null for a number", js(`"inputs":[0]`, `"inputs":[null]`), `metadata "network" is not spelt as Write spells it`},
	{"null shape", js(`"shape":[-1,1,8,8]`, `"shape":null`), `metadata "network" is not spelt as Write spells it`},
	{"unknown field", js(`"shape":`, `"form":`), `metadata "network": json: unknown field "form"`},
	{"text for a number", js(`"bits":0`, `"bits":"8"`), `metadata "network": json: cannot unmarshal string`},
	{"fraction", js(`"shape":[-1,1,8,8]`, `"shape":[-1,1.5,8,8]`), `metadata "network": json: cannot unmarshal number 1.5`},
	{"huge number", js(`"shape":[-1,1,8,8]`, `"shape":[-1,1e30,8,8]`), `metadata "network": json: cannot unmarshal number 1e30`},
	{"unknown scheme", js(`"scheme":"symmetric"`, `"scheme":"Symmetric"`), `tensor 0, "image": scheme: "Symmetric", want one of [symmetric affine]`},
	{"unknown granularity", js(`"granularity":"per_tensor"`, `"granularity":"per_row"`), `tensor 0, "image": granularity: "per_row", want one of [per_tensor per_channel per_block]`},
	{"too many bits", js(`"bits":4`, `"bits":40`), `"pw.weight": invalid quantization spec: 40 bits`},
	{"unknown kind", js(`"kind":"conv"`, `"kind":"convolution"`), `layer 0, "stem": invalid settings: unknown layer kind "convolution"`},
	{"unknown setting", js(`"stride":`, `"strides":`), `layer 0, "stem": invalid settings of layer kind "conv"`},
	{"settings out of range", js(`"groups":6`, `"groups":0`), `"dw": conv: invalid settings: groups is 0`},
	{"activation of another kind", js(`"act":{"kind":"relu","op":{"fn":"relu"}}`, `"act":{"kind":"add","op":{"fn":"add"}}`), `layer 0, "stem": activation: "add" is not an elementwise function`},
	{"unknown activation", js(`"act":{"kind":"relu","op":{"fn":"relu"}}`, `"act":{"kind":"reluu","op":{"fn":"reluu"}}`), `layer 0, "stem": activation: invalid settings: unknown layer kind "reluu"`},
	{"index out of range", js(`"outputs":[`, `"outputs":[999,`), `output 0: no tensor 999`},
	{"no input", js(`"inputs":[0],"outputs"`, `"inputs":null,"outputs"`), `0 inputs and 1 outputs`},
	{"same names", js(`"name":"stem.bias"`, `"name":"stem.out"`), `two tensors have the name "stem.out"`},
	{"shape does not fit the layer", js(`"name":"dw.out","shape":[-1,6,4,4]`, `"name":"dw.out","shape":[-1,6,4,3]`), `layer "dw": invalid frozen network: the result has shape [2 6 4 4]`},
	{"huge constant", js(`"name":"stem.bias","shape":[6]`, `"name":"stem.bias","shape":[6000000000]`), `stored tensor "stem.bias": F32 of shape [6], want F32 of shape [6000000000]`},
	{"huge packed constant", js(`"name":"pw.weight","shape":[6,6,1,1]`, `"name":"pw.weight","shape":[999999,999999,1,1]`), `stored tensor "pw.weight.qweight": U8 of shape [18], want U8 of shape [499999000001]`},
	{"overflowing constant", js(`"name":"pw.weight","shape":[6,6,1,1]`, `"name":"pw.weight","shape":[9223372036854775807,6,1,1]`), `stored tensor "pw.weight.qweight": invalid quantization spec: shape`},
	{"open constant", js(`"name":"fc.weight","shape":[5,6]`, `"name":"fc.weight","shape":[-1,6]`), `stored tensor "fc.weight.qweight": invalid quantization spec: negative dimension`},
	{"axis out of range", js(`"axis":-2`, `"axis":-3`), `stored tensor "fc.weight.scale": invalid quantization spec: axis -3`},
	{"constant without data", js(`"shape":[-1,6,1,1],"quant":{"bits":0,"unsigned":true,"scheme":"symmetric","granularity":"per_tensor"}`, `"shape":[-1,6,1,1],"quant":{"bits":0,"unsigned":true,"scheme":"symmetric","granularity":"per_tensor"},"const":true`), `stored tensor "gap.out.qweight" is missing`},

	{"superfluous tensor", func(c *contents) {
		c.tensors = append(c.tensors, safetensors.FromFloat32s("zzz", []int{1}, []float32{1}))
	}, `stored tensor "zzz" belongs to no tensor of the network`},
	{"missing tensor", func(c *contents) { c.tensors = c.tensors[1:] }, `stored tensor "add.out.scale" is missing`},
	{"wrong type", func(c *contents) { c.tensor("dw.weight.qweight").DType = safetensors.U8 }, `stored tensor "dw.weight.qweight": U8 of shape [6 1 3 3], want I8 of shape [6 1 3 3]`},
	{"wrong shape", func(c *contents) { c.tensor("dw.weight.scale").Shape = []int{6} }, `stored tensor "dw.weight.scale": F32 of shape [6], want F32 of shape [6 1 1 1]`},
	{"float zero point", func(c *contents) {
		*c.tensor("image.zero_point") = safetensors.FromFloat32s("image.zero_point", []int{1}, []float32{0})
	}, `stored tensor "image.zero_point": F32 of shape [1], want I8 of shape [1]`},
	{"negative scale", func(c *contents) { c.tensor("image.scale").Data[3] |= 0x80 }, `tensor "image": invalid quantization parameters: scale -0.02`},
	{"scale of infinity", func(c *contents) { copy(c.tensor("image.scale").Data, "\x00\x00\x80\x7f") }, `tensor "image": invalid quantization parameters: scale +Inf`},
	{"symmetric with a zero point", func(c *contents) { c.tensor("image.zero_point").Data[0] = 1 }, `tensor "image": invalid frozen network: zero point 1`},
	{"zero point out of range", func(c *contents) { c.tensor("fc.weight.zero_point").Data[2] = 8 }, `tensor "fc.weight": invalid quantization parameters: zero point 8 of group 2`},
	{"code out of range", func(c *contents) { c.tensor("dw.weight.qweight").Data[0] = 0x80 }, `tensor "dw.weight": invalid frozen network: code -128 at 0`},
	{"packed code out of range", func(c *contents) { c.tensor("pw.weight.qweight").Data[0] = 0x08 }, `tensor "pw.weight": invalid frozen network: code -8 at 0`},

	{"notes are no object", func(c *contents) { c.meta[keyNotes] = `["a"]` }, `metadata "notes": json: cannot unmarshal array`},
	{"notes of numbers", func(c *contents) { c.meta[keyNotes] = `{"a":1}` }, `metadata "notes": json: cannot unmarshal number`},
	{"empty notes", func(c *contents) { c.meta[keyNotes] = `{}` }, `metadata "notes" is not spelt as Write spells it`},
	{"no checksum", func(c *contents) { c.forged = true }, `checksum "" does not fit`},
	{"wrong checksum", func(c *contents) { c.meta[keyChecksum] = strings.Repeat("0", 64); c.forged = true }, `checksum "0000`},
}

func TestDecodeBrokenFiles(t *testing.T) {
	for _, c := range brokenFiles {
		t.Run(c.name, func(t *testing.T) {
			f := takeApart(t, sample(t))
			if _, err := decode(f.bytes(t)); err != nil {
				t.Fatalf("before: %v", err)
			}
			f = takeApart(t, sample(t))
			c.do(f)
			_, err := decode(f.bytes(t))
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrFormat) {
				t.Errorf("error %v\nwant one with %q", err, c.want)
			}
		})
	}
}

// Every file that is cut short, and every file with one flipped bit, is refused.
func TestDecodeDamagedFiles(t *testing.T) {
	data := encode(t, sample(t))
	for size := 0; size < len(data); size += 1 + len(data)/997 {
		if _, err := decode(data[:size]); err == nil || !errors.Is(err, ErrFormat) {
			t.Fatalf("cut to %d of %d bytes: %v", size, len(data), err)
		}
	}
	if _, err := decode(append(slices.Clone(data), 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("one byte more: %v", err)
	}
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 1 << (i % 8)
		if _, err := decode(bad); err == nil || !errors.Is(err, ErrFormat) {
			t.Fatalf("bit %d of byte %d flipped: %v\n%q", i%8, i, err, bad[max(0, i-20):min(len(bad), i+20)])
		}
	}
	if _, err := Read(bytes.NewReader(data), int64(len(data))+1<<40); !errors.Is(err, ErrFormat) {
		t.Errorf("a size that is too large: %v", err)
	}
}
