package onnxout

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/onnxpb"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/internal/frozentest"
)

func TestDeterministic(t *testing.T) {
	n := goldenNet(t)
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := Write(w, n, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same network gave different bytes")
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := WriteFile(path, n, Options{}); err != nil {
		t.Fatal(err)
	}
	if file, err := os.ReadFile(path); err != nil || !bytes.Equal(file, a.Bytes()) {
		t.Errorf("WriteFile and Write differ (%v)", err)
	}
}

func TestExternalData(t *testing.T) {
	m := frozentest.New(t)
	x := m.Input("x", []int{-1, 40}, nil)
	h := m.Layer("one", frozen.MatMul{}, nil, nil, x, m.Weight("w", []int{40, 50}, nil), m.Weight("b", []int{50}, nil))
	n := m.Net(m.Layer("two", frozen.MatMul{}, nil, nil, h, m.Weight("v", []int{50, 30}, frozentest.PerChannel(8, 1))))
	opt := Options{ExternalAbove: 5000}
	if err := Write(&bytes.Buffer{}, n, opt); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Write gave %v, want ErrTooLarge", err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := WriteFile(path, n, opt); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path + ".data")
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string][]byte{}
	for _, c := range export(t, n, Options{}).Graph.Initializer {
		whole[c.GetName()] = c.RawData
	}
	var outside []string
	for _, c := range readModel(t, path).Graph.Initializer {
		raw := c.RawData
		if c.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
			outside = append(outside, c.GetName())
			var offset, length int
			if c.ExternalData[0].GetValue() != "m.onnx.data" {
				t.Errorf("%s is in %q", c.GetName(), c.ExternalData[0].GetValue())
			}
			fmt.Sscan(c.ExternalData[1].GetValue(), &offset)
			fmt.Sscan(c.ExternalData[2].GetValue(), &length)
			if offset%pageSize != 0 || offset+length > len(data) {
				t.Fatalf("%s: %d bytes at %d of %d", c.GetName(), length, offset, len(data))
			}
			raw = data[offset : offset+length]
		}
		if !bytes.Equal(raw, whole[c.GetName()]) {
			t.Errorf("%s differs", c.GetName())
		}
	}
	if want := []string{"w", "v_quantized"}; !slices.Equal(outside, want) {
		t.Errorf("outside are %q, want %q", outside, want)
	}
}

func TestRefusals(t *testing.T) {
	good := goldenNet(t)
	bad := goldenNet(t)
	bad.Layers[1].Inputs = []int{99, 0}
	for name, c := range map[string]struct {
		n    *frozen.Network
		opt  Options
		want error
	}{
		"nil network":        {nil, Options{}, frozen.ErrNetwork},
		"bad network":        {bad, Options{}, frozen.ErrNetwork},
		"negative threshold": {good, Options{ExternalAbove: -1}, ErrOptions},
		"large threshold":    {good, Options{ExternalAbove: 1 << 31}, ErrOptions},
		"bias":               {good, Options{Bias: 3}, ErrOptions},
		"graph name":         {good, Options{GraphName: "\xff"}, ErrOptions},
		"too large":          {good, Options{ExternalAbove: 1}, ErrTooLarge},
	} {
		var b bytes.Buffer
		if err := Write(&b, c.n, c.opt); !errors.Is(err, c.want) || b.Len() > 0 {
			t.Errorf("%s: %v after %d bytes, want %v", name, err, b.Len(), c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := WriteFile(path, bad, Options{}); !errors.Is(err, frozen.ErrNetwork) {
		t.Errorf("WriteFile gave %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("WriteFile left a file of a bad network")
	}
	b := &builder{model: &onnxpb.ModelProto{Graph: &onnxpb.GraphProto{}}, names: map[string]bool{}, nodes: map[string]bool{}}
	if err := b.unary(frozen.Unary{Fn: "gamma"}, "n", "x", "y"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an unknown function gave %v", err)
	}
}

// TestResizeRefused: a size that runtimes do not get from the scale would be another network.
func TestResizeRefused(t *testing.T) {
	m := frozentest.New(t)
	up := frozen.Resize{Mode: "nearest", Coordinates: "asymmetric", Nearest: "floor", Axes: []int{1}, Size: []int{5}, Scale: []float64{1.6}}
	n := m.Net(m.Layer("up", up, nil, nil, m.Input("x", []int{-1, 3}, nil)))
	if err := Write(&bytes.Buffer{}, n, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), `"up"`) {
		t.Errorf("got %v, want ErrUnsupported that names the layer", err)
	}
}
