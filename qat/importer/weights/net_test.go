package weights_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat/importer/weights"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func tiny(t testing.TB, seed uint64) *models.Net {
	t.Helper()
	net, err := models.New([]int{1, 4, 4}, models.Sequential(models.Conv2D{Out: 2, Kernel: 3}, models.BatchNorm{}, models.Flatten{},
		models.Linear{Out: 3}), seed)
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func bytesOf(t testing.TB, net *models.Net) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := net.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// foreign is a file of the network as another program would have it: under other names.
func foreign(t testing.TB, net *models.Net, edit func(*safetensors.Tensor)) []byte {
	t.Helper()
	raw := bytesOf(t, net)
	f, err := safetensors.Read(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	var ts []safetensors.Tensor
	for _, name := range f.Names() {
		d, shape, _, _ := f.Info(name)
		data, err := f.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		x := safetensors.Tensor{Name: name, DType: d, Shape: shape, Data: data}
		edit(&x)
		ts = append(ts, x)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, ts, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLoadNet: parameters and statistics of a models.Net, from a file with other names.
func TestLoadNet(t *testing.T) {
	a, b := tiny(t, 1), tiny(t, 2)
	raw := foreign(t, a, func(x *safetensors.Tensor) {
		x.Name = "module." + x.Name
		if x.Name == "module.bn1.running_mean" {
			x.Data = []byte{0, 0, 0, 0, 0, 0, 0x80, 0x3f} // 0 and 1
		}
	})
	opt := weights.Options{Prefixes: map[string]string{"module.": ""}}
	r, err := weights.ReadNet(bytes.NewReader(raw), int64(len(raw)), b, opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Loaded) != 8 {
		t.Errorf("report %v: want 6 parameters and 2 statistics", r)
	}
	if again := foreign(t, b, func(x *safetensors.Tensor) { x.Name = "module." + x.Name }); !bytes.Equal(again, raw) {
		t.Error("the network saves something else than what it loaded")
	}
}

// TestLoadNetPartly: a new head stays as it is.
func TestLoadNetPartly(t *testing.T) {
	a, b := tiny(t, 1), tiny(t, 2)
	raw := bytesOf(t, a)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := weights.ReadNetFile(path, b, weights.Options{Skip: []string{"fc1.*"}, AllowMissing: true})
	if err != nil || len(r.Missing) != 2 || len(r.Skipped) != 2 || len(r.Loaded) != 6 {
		t.Fatalf("%v, %v", r, err)
	}
	head := tiny(t, 2).Params()
	for i, p := range b.Params() {
		want := a.Params()[i].Data
		if strings.HasPrefix(p.Name, "fc1.") {
			want = head[i].Data
		}
		if fmt.Sprint(p.Data) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", p.Name, p.Data, want)
		}
	}
}

// TestLoadNetRefuses: also what only the network knows to be wrong. Nothing changes.
func TestLoadNetRefuses(t *testing.T) {
	a, b := tiny(t, 1), tiny(t, 2)
	before := bytesOf(t, b)
	negative := foreign(t, a, func(x *safetensors.Tensor) {
		if x.Name == "bn1.running_var" {
			x.Data[3] |= 0x80
		}
	})
	renamed := foreign(t, a, func(x *safetensors.Tensor) { x.Name = "m." + x.Name })
	for name, raw := range map[string][]byte{"running_var": negative, "missing": renamed} {
		if _, err := weights.ReadNet(bytes.NewReader(raw), int64(len(raw)), b, weights.Options{}); !errors.Is(err, weights.ErrWeights) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want ErrWeights with %q", err, name)
		}
	}
	if !bytes.Equal(bytesOf(t, b), before) {
		t.Error("the network changed")
	}
	broken := weights.Options{Skip: []string{"*"}}
	if _, err := weights.ReadNet(bytes.NewReader(before), int64(len(before)), b, broken); !errors.Is(err, weights.ErrOptions) {
		t.Errorf("%v, want ErrOptions", err)
	}
	if _, err := weights.ReadNetFile("none.safetensors", b, weights.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// TestGraphOfNet: the parameters of a models.Net are also nodes, on the same memory.
func TestGraphOfNet(t *testing.T) {
	a, b := tiny(t, 1), tiny(t, 2)
	g, err := b.Build(2, true)
	if err != nil {
		t.Fatal(err)
	}
	raw := bytesOf(t, a)
	r, err := weights.Read(bytes.NewReader(raw), int64(len(raw)), weights.Leaves(g.G, g.X), weights.Options{Skip: []string{"*.running_mean", "*.running_var"}})
	if err != nil || len(r.Loaded) != len(b.Params()) {
		t.Fatalf("%v, %v", r, err)
	}
	for i, p := range b.Params() {
		if fmt.Sprint(p.Data) != fmt.Sprint(a.Params()[i].Data) {
			t.Errorf("%s was not loaded", p.Name)
		}
	}
}

// Weights of another program, whose matrices are the other way round and whose names
// begin differently, go into a plain Gorgonia graph.
func ExampleRead() {
	var file bytes.Buffer
	err := safetensors.Write(&file, []safetensors.Tensor{
		safetensors.FromFloat32s("model.fc.weight", []int{1, 2}, []float32{3, 4}), // [out, in]
		safetensors.FromFloat32s("model.fc.bias", []int{1}, []float32{5}),
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(8, 2), gorgonia.WithName("x"))
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(2, 1), gorgonia.WithName("fc.weight"))
	b := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(1, 1), gorgonia.WithName("fc.bias"))

	report, err := weights.Read(bytes.NewReader(file.Bytes()), int64(file.Len()), weights.Leaves(g, x), weights.Options{
		Prefixes:  map[string]string{"model.": ""},
		Transpose: []string{"fc.weight"},
		UnitAxes:  true,
	})
	fmt.Println(report, err)
	fmt.Println(w.Value().Data(), b.Value().Data())
	// Output:
	// 2 loaded <nil>
	// [3 4] [5]
}
