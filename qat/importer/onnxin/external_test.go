package onnxin

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
)

// external1 moves the weights of small into another file.
func external1(location string, pairs ...string) *file {
	f := small()
	w := f.Graph.Initializer[0]
	w.FloatData, w.DataLocation = nil, onnxpb.TensorProto_EXTERNAL.Enum()
	for i, v := range append([]string{"location", location}, pairs...) {
		if i%2 == 1 {
			w.ExternalData[i/2].Value = &v
		} else {
			w.ExternalData = append(w.ExternalData, &onnxpb.StringStringEntryProto{Key: &v})
		}
	}
	return f
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	write := func(path string, data []byte) string {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("secret", make([]byte, 1000))
	write("model/w.bin", make([]byte, 100))
	write("model/sub/w.bin", make([]byte, 48))
	for link, to := range map[string]string{"model/link": "../secret", "model/fine": "sub/w.bin", "model/up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	for _, c := range []struct {
		text  string // of the error; empty for none
		pairs []string
	}{
		{"", []string{"w.bin"}}, {"", []string{"w.bin", "offset", "52", "length", "48"}}, {"", []string{"sub/w.bin"}}, {"", []string{"fine"}}, {"", []string{"./w.bin"}},
		{"leaves the folder", []string{"../secret"}},
		{"leaves the folder", []string{"sub/../../secret"}},
		{"absolute", []string{filepath.ToSlash(filepath.Join(dir, "secret"))}},
		{"backslashes", []string{`..\secret`}},
		{"colons", []string{"C:secret"}},
		{"external data", []string{"link"}},
		{"external data", []string{"up/secret"}},
		{"plain file", []string{"sub"}},
		{"plain file", []string{"."}},
		{"external data", []string{"missing"}},
		{"no location", []string{""}},
		{"bytes 53 to 101", []string{"w.bin", "offset", "53"}},
		{"offset", []string{"w.bin", "offset", "-1"}},
		{"offset", []string{"w.bin", "offset", "9223372036854775808"}},
		{"bytes 9223372036854775807", []string{"w.bin", "offset", "9223372036854775807"}},
		{"length is 47", []string{"w.bin", "length", "47"}},
		{"length", []string{"w.bin", "length", "many"}},
		{"twice", []string{"w.bin", "location", "w.bin"}},
	} {
		f := external1(c.pairs[0], c.pairs[1:]...)
		_, err := ReadFile(write("model/m.onnx", f.bytes(t)), Options{})
		if c.text == "" {
			if err != nil {
				t.Errorf("%q: %v", c.pairs, err)
			}
			continue
		}
		wantFault(t, err, ErrFormat, c.text)
		wantFault(t, err, ErrFormat, `"w"`)
	}
	// A shape that promises more than the file has is refused before memory is taken.
	f := external1("w.bin")
	f.Graph.Initializer[0].Dims = []int64{1 << 20, 1 << 20}
	_, err := ReadFile(write("model/m.onnx", f.bytes(t)), Options{})
	wantFault(t, err, ErrFormat, "which has 100")
	if _, err := ReadFile(filepath.Join(dir, "none.onnx"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing model: %v", err)
	}
}
