package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// build puts a header and data together, with the header's true length.
func build(header string, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func open(b []byte) (*File, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func write(t *testing.T, tensors []Tensor, meta map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sample has one tensor of each type that can be read as numbers, given out of order.
func sample() []Tensor {
	return []Tensor{
		FromInt8s("w", []int{3}, []int8{-128, 0, 127}),
		FromFloat32s("b", []int{1, 2}, []float32{1, -0.5}),
		FromInt32s("z<", []int{}, []int32{-2}),
		FromInt64s("n", []int{1}, []int64{math.MinInt64}),
		FromUint8s("a", []int{2, 0}, nil),
		{Name: "h", DType: BF16, Shape: []int{1}, Data: []byte{0x80, 0x3f}},
	}
}

func TestWriteExactBytes(t *testing.T) {
	got := write(t, sample(), map[string]string{"v": "1", "format": "tést"})
	header := `{"__metadata__":{"format":"tést","v":"1"},` +
		`"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},` +
		`"b":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},` +
		`"z<":{"dtype":"I32","shape":[],"data_offsets":[16,20]},` +
		`"h":{"dtype":"BF16","shape":[1],"data_offsets":[20,22]},` +
		`"a":{"dtype":"U8","shape":[2,0],"data_offsets":[22,22]},` +
		`"w":{"dtype":"I8","shape":[3],"data_offsets":[22,25]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	data := "\x00\x00\x00\x00\x00\x00\x00\x80" + "\x00\x00\x80\x3f\x00\x00\x00\xbf" + "\xfe\xff\xff\xff" + "\x80\x3f" + "\x80\x00\x7f"
	if want := build(header, data); !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(header)%8 != 0 {
		t.Errorf("data begins at %d", 8+len(header))
	}
	reversed := sample()
	slices.Reverse(reversed)
	if again := write(t, reversed, map[string]string{"format": "tést", "v": "1"}); !bytes.Equal(again, got) {
		t.Error("the order of the tensors changes the file")
	}
}

func TestWriteEmpty(t *testing.T) {
	if got, want := write(t, nil, nil), build("{}      ", ""); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadBack(t *testing.T) {
	meta := map[string]string{"": "empty", "q": "\"\\\n\x00\u2028"}
	f, err := open(write(t, sample(), meta))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(f.Metadata, meta) {
		t.Errorf("metadata %q", f.Metadata)
	}
	if got, want := f.Names(), []string{"a", "b", "h", "n", "w", "z<"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	for _, want := range sample() {
		d, shape, size, err := f.Info(want.Name)
		if err != nil || d != want.DType || !slices.Equal(shape, want.Shape) || size != int64(len(want.Data)) {
			t.Errorf("%s: %v %v %d, %v", want.Name, d, shape, size, err)
		}
		if b, err := f.Bytes(want.Name); err != nil || !bytes.Equal(b, want.Data) {
			t.Errorf("%s: %v, %v", want.Name, b, err)
		}
	}
	wantSlice(t, f.Int8s, "w", []int8{-128, 0, 127})
	wantSlice(t, f.Uint8s, "a", []uint8{})
	wantSlice(t, f.Int32s, "z<", []int32{-2})
	wantSlice(t, f.Int64s, "n", []int64{math.MinInt64})
	wantSlice(t, f.Float32s, "b", []float32{1, -0.5})
	wantSlice(t, f.Float32s, "h", []float32{1})
	if !f.Has("a") || f.Has("A") {
		t.Error("Has is wrong")
	}
	if _, err := f.Int8s("b"); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), `tensor "b" is F32: want [I8]`) {
		t.Errorf("wrong type: %v", err)
	}
	for _, read := range []func(string) error{
		func(n string) error { _, _, _, err := f.Info(n); return err },
		func(n string) error { _, err := f.Bytes(n); return err },
		func(n string) error { _, err := f.Float32s(n); return err },
	} {
		if err := read("A"); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), `no tensor "A" among 6`) {
			t.Errorf("absent tensor: %v", err)
		}
	}
	f.Names()[0] = "changed"
	if f.Names()[0] != "a" {
		t.Error("Names hands out its own slice")
	}
}

func wantSlice[T comparable](t *testing.T, read func(string) ([]T, error), name string, want []T) {
	t.Helper()
	if got, err := read(name); err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: %v, %v, want %v", name, got, err, want)
	}
}

// A reader must take what the format allows, not only what our writer makes.
func TestReadLenient(t *testing.T) {
	for _, tc := range []struct {
		name, header, data string
		names              []string
	}{
		{"header length not a multiple of 8", `{}`, "", nil},
		{"null-free padding", "{} \n\t", "", nil},
		{"empty metadata", `{"__metadata__":{}}`, "", nil},
		{"file order unlike header order", `{"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"a":{"shape":[1],"data_offsets":[0,2],"dtype":"F16"}}`, "xyz", []string{"a", "b"}},
		{"misaligned", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}`, "12345", []string{"a", "b"}},
		{"empty tensors in between", `{"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[1,1]}}`, "1", []string{"a", "b", "c"}},
		{"six bits four times", `{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}`, "123", []string{"a"}},
		{"half bytes", `{"a":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]}}`, "123", []string{"a"}},
		{"escaped name", `{"\u00e9\ud83d\ude00\\ud800":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]}}`, "1", []string{`é😀\ud800`}},
	} {
		f, err := open(build(tc.header, tc.data))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if !slices.Equal(f.Names(), tc.names) {
			t.Errorf("%s: names %q, want %q", tc.name, f.Names(), tc.names)
		}
	}
}

func TestFloat32s(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	f64 := []float64{0, math.Copysign(0, -1), 1 + 0x1p-25, inf, -inf, 0x1p-149, 0x1p-151, math.MaxFloat32}
	var data []byte
	for _, v := range f64 {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	data = binary.LittleEndian.AppendUint64(data, math.Float64bits(nan))
	f, err := open(write(t, []Tensor{
		{Name: "d", DType: F64, Shape: []int{len(data) / 8}, Data: data},
		{Name: "big", DType: F64, Shape: []int{1}, Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(-1e39))},
		FromFloat32s("s", []int{2}, []float32{math.Float32frombits(0x7f800001), math.Float32frombits(1)}),
	}, nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Float32s("d")
	if err != nil {
		t.Fatal(err)
	}
	want := []uint32{0, 1 << 31, 0x3f800000, 0x7f800000, 0xff800000, 1, 0, 0x7f7fffff}
	for i, w := range want {
		if g := math.Float32bits(got[i]); g != w {
			t.Errorf("%v: bits %08x, want %08x", f64[i], g, w)
		}
	}
	if last := got[len(want)]; last == last {
		t.Errorf("NaN became %v", last)
	}
	if _, err := f.Float32s("big"); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), `tensor "big": element 0 is -1e+39, beyond float32`) {
		t.Errorf("too large: %v", err)
	}
	s, err := f.Float32s("s")
	if err != nil || math.Float32bits(s[0]) != 0x7f800001 || math.Float32bits(s[1]) != 1 {
		t.Errorf("bits of a NaN and a denormal: %x, %v", s, err)
	}
}

func TestWriteErrors(t *testing.T) {
	one := FromUint8s("a", []int{1}, []uint8{1})
	for _, tc := range []struct {
		name    string
		tensors []Tensor
		meta    map[string]string
		want    string
	}{
		{"twice", []Tensor{one, FromInt8s("a", []int{1}, []int8{1})}, nil, `two tensors have the name "a"`},
		{"reserved", []Tensor{{Name: "__metadata__", DType: U8, Shape: []int{0}}}, nil, `a tensor may not have the name __metadata__`},
		{"name not UTF-8", []Tensor{{Name: "\xff", DType: U8, Shape: []int{0}}}, nil, `tensor name "\xff" is not valid UTF-8`},
		{"no dtype", []Tensor{{Name: "a", Shape: []int{0}}}, nil, `tensor "a": unknown dtype ""`},
		{"dtype", []Tensor{{Name: "a", DType: "I4", Shape: []int{0}}}, nil, `tensor "a": unknown dtype "I4"`},
		{"negative dimension", []Tensor{{Name: "a", DType: U8, Shape: []int{1, -1}}}, nil, `tensor "a": dimension 1 is -1: want at least 0`},
		{"overflow", []Tensor{{Name: "a", DType: U8, Shape: []int{math.MaxInt, math.MaxInt}}}, nil, `too large: its size overflows`},
		{"too little data", []Tensor{{Name: "a", DType: F32, Shape: []int{2}, Data: make([]byte, 7)}}, nil, `tensor "a": 7 bytes of data for F32 of shape [2], which takes 8`},
		{"scalar without data", []Tensor{{Name: "a", DType: U8}}, nil, `0 bytes of data for U8 of shape [], which takes 1`},
		{"half a byte", []Tensor{{Name: "a", DType: F4, Shape: []int{3}, Data: make([]byte, 2)}}, nil, `shape [3] of F4 takes 12 bits: want whole bytes`},
		{"metadata key", nil, map[string]string{"\xff": ""}, `metadata "\xff" is not valid UTF-8`},
		{"metadata value", nil, map[string]string{"k": "\xff"}, `metadata "k" is not valid UTF-8`},
		{"header too large", nil, map[string]string{"k": strings.Repeat("x", MaxHeader)}, `want at most 100000000`},
	} {
		var b bytes.Buffer
		err := Write(&b, tc.tensors, tc.meta)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if b.Len() > 0 {
			t.Errorf("%s: %d bytes written", tc.name, b.Len())
		}
	}
}

// Errors of the writer come back wherever they occur.
func TestWriteToFailingWriter(t *testing.T) {
	tensors := sample()
	whole := len(write(t, tensors, nil))
	for limit := range whole {
		if err := Write(&limitedWriter{limit}, tensors, nil); !errors.Is(err, errFull) {
			t.Fatalf("after %d of %d bytes: %v", limit, whole, err)
		}
	}
	if err := Write(&limitedWriter{whole}, tensors, nil); err != nil {
		t.Fatal(err)
	}
}

var errFull = errors.New("disk full")

type limitedWriter struct{ left int }

func (w *limitedWriter) Write(b []byte) (int, error) {
	n := min(w.left, len(b))
	w.left -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

// A file that shrinks after it was opened, and a reader that fails.
func TestReadFailingReader(t *testing.T) {
	whole := write(t, sample(), nil)
	for n := range whole {
		f, err := Read(bytes.NewReader(whole[:n]), int64(len(whole)))
		if err == nil {
			_, err = f.Bytes("w") // the last tensor
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := Read(failingReader{}, 1000); !errors.Is(err, errFull) {
		t.Errorf("failing reader: %v", err)
	}
}

type failingReader struct{}

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, errFull }

// FuzzRead feeds anything to the reader. What it accepts must read whole, and
// writing it and reading that gives the same tensors and texts.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, sample(), map[string]string{"format": "pt"}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	for _, tc := range hostile {
		if len(tc.file) < 10_000 {
			f.Add(tc.file)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		first, err := open(in)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error %v is no ErrFormat", err)
			}
			return
		}
		tensors := content(t, first)
		var out bytes.Buffer
		if err := Write(&out, tensors, first.Metadata); err != nil {
			t.Fatal(err)
		}
		second, err := open(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if again := content(t, second); !reflect.DeepEqual(again, tensors) || !maps.Equal(second.Metadata, first.Metadata) {
			t.Fatalf("got %v %q, want %v %q", again, second.Metadata, tensors, first.Metadata)
		}
		var twice bytes.Buffer
		if err := Write(&twice, content(t, second), second.Metadata); err != nil || !bytes.Equal(twice.Bytes(), out.Bytes()) {
			t.Fatalf("written twice: %v, %q and %q", err, out.Bytes(), twice.Bytes())
		}
	})
}

func content(t *testing.T, f *File) []Tensor {
	var all []Tensor
	for _, name := range f.Names() {
		d, shape, size, err := f.Info(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := f.Bytes(name)
		if err != nil || int64(len(data)) != size {
			t.Fatalf("%q: %d bytes of %d, %v", name, len(data), size, err)
		}
		all = append(all, Tensor{Name: name, DType: d, Shape: append([]int{}, shape...), Data: data})
	}
	return all
}

func Example() {
	var file bytes.Buffer
	err := Write(&file, []Tensor{
		FromFloat32s("fc.scale", []int{2}, []float32{0.5, 0.25}),
		FromInt8s("fc.weight", []int{2, 2}, []int8{1, -1, 127, -127}),
	}, map[string]string{"format": "goqat"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", bytes.TrimRight(file.Bytes()[8:file.Len()-12], " "))

	f, err := Read(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	codes, err := f.Int8s("fc.weight")
	fmt.Println(f.Metadata["format"], f.Names(), codes, err)
	// Output:
	// {"__metadata__":{"format":"goqat"},"fc.scale":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"fc.weight":{"dtype":"I8","shape":[2,2],"data_offsets":[8,12]}}
	// goqat [fc.scale fc.weight] [1 -1 127 -127] <nil>
}
