package models

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/safetensors"
)

// tiny has a parameter of each kind and statistics that are not the initial ones.
func tiny(seed uint64) *Net {
	n := must(New([]int{1, 4, 4}, Sequential(Conv2D{Out: 2, Kernel: 3}, BatchNorm{}, Flatten{}, Linear{Out: 3}), seed))
	n.norms[0].state.Mean[1], n.norms[0].state.Variance[1] = float32(seed), float32(seed)+0.5
	return n
}

// contents joins everything that a weights file holds.
func contents(n *Net) (out []float32) {
	for _, s := range n.saved() {
		out = append(out, s.Data...)
	}
	return out
}

func TestSaveLoad(t *testing.T) {
	a, b := tiny(1), tiny(2)
	var file, again bytes.Buffer
	if err := a.Write(&file); err != nil {
		t.Fatal(err)
	}
	if err := b.Read(bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(contents(a), contents(b)) {
		t.Error("loaded weights differ")
	}
	if err := b.Write(&again); err != nil || !bytes.Equal(file.Bytes(), again.Bytes()) {
		t.Errorf("equal networks give different files (%v)", err)
	}
	x := ramp(16)
	if !slices.Equal(logits(t, a, false, x), logits(t, b, false, x)) {
		t.Error("logits differ after loading")
	}

	path, c := filepath.Join(t.TempDir(), "w.safetensors"), tiny(3)
	if err := a.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if err := c.ReadFile(path); err != nil || !slices.Equal(contents(a), contents(c)) {
		t.Errorf("weights from the file differ (%v)", err)
	}
	if err := c.ReadFile(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := a.WriteFile(filepath.Join(path, "x")); err == nil {
		t.Error("saved under a file as if it were a folder")
	}
	if err := a.Write(failing{}); !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}
	if err := c.Read(failing{}); !errors.Is(err, errFull) {
		t.Errorf("bad disk: %v", err)
	}
}

var errFull = errors.New("disk full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }
func (failing) Read([]byte) (int, error)  { return 0, errFull }

// tensorsOf lists the tensors of a network, to be changed.
func tensorsOf(n *Net) (ts []safetensors.Tensor) {
	for _, s := range n.saved() {
		ts = append(ts, safetensors.FromFloat32s(s.Name, s.Shape, s.Data))
	}
	return ts
}

func fileOf(ts []safetensors.Tensor) []byte {
	var buf bytes.Buffer
	must(0, safetensors.Write(&buf, ts, nil))
	return buf.Bytes()
}

// PyTorch counts batches; other float types are converted.
func TestLoadForeignFile(t *testing.T) {
	a, b := tiny(1), tiny(2)
	ts := append(tensorsOf(a), safetensors.FromInt64s("bn1.num_batches_tracked", nil, []int64{7}))
	for i := range ts {
		if ts[i].Name == "fc1.bias" {
			ts[i].DType = safetensors.BF16
			ts[i].Data = []byte{0x80, 0x3f, 0x00, 0x40, 0x80, 0xbf} // the upper halves of 1, 2 and -1
		}
	}
	if err := b.Read(bytes.NewReader(fileOf(ts))); err != nil {
		t.Fatal(err)
	}
	for _, p := range b.Params() {
		if p.Name == "fc1.bias" && !slices.Equal(p.Data, []float32{1, 2, -1}) {
			t.Errorf("bfloat16 bias %v, want 1, 2, -1", p.Data)
		}
	}
}

func TestLoadErrorsChangeNothing(t *testing.T) {
	good := tensorsOf(tiny(1))
	at := func(name string) int {
		return slices.IndexFunc(good, func(s safetensors.Tensor) bool { return s.Name == name })
	}
	replace := func(name string, by safetensors.Tensor) []byte {
		ts := slices.Clone(good)
		ts[at(name)] = by
		return fileOf(ts)
	}
	f := safetensors.FromFloat32s
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	var many []safetensors.Tensor
	for i := range 30 {
		many = append(many, f(strings.Repeat("x", i+1), []int{1}, []float32{0}))
	}
	whole := fileOf(good)
	for _, c := range []struct {
		name string
		file []byte
		says []string
	}{
		{"empty", nil, nil},
		{"not a weights file", []byte("PK\x03\x04 something else altogether"), nil},
		{"truncated", whole[:len(whole)-1], nil},
		{"too long", append(slices.Clone(whole), 0), nil},
		{"missing", fileOf(good[1:]), []string{"missing", good[0].Name, "unexpected none"}},
		{"unexpected", fileOf(append(slices.Clone(good), f("fc9.bias", []int{1}, []float32{0}))), []string{"missing none", "unexpected", "fc9.bias"}},
		{"another network", fileOf(many), []string{"fc1.weight", "and 20 more"}},
		{"shape", replace("fc1.weight", f("fc1.weight", []int{8, 3}, make([]float32, 24))), []string{"fc1.weight", "[8 3]", "[3 8]"}},
		{"flat", replace("fc1.weight", f("fc1.weight", []int{24}, make([]float32, 24))), []string{"fc1.weight", "[24]"}},
		{"integers", replace("fc1.bias", safetensors.FromInt32s("fc1.bias", []int{3}, []int32{1, 2, 3})), []string{"fc1.bias"}},
		{"nan", replace("fc1.bias", f("fc1.bias", []int{3}, []float32{0, nan, 0})), []string{"fc1.bias", "element 1", "NaN"}},
		{"inf", replace("conv1.bias", f("conv1.bias", []int{2}, []float32{-inf, 0})), []string{"conv1.bias", "element 0"}},
		{"negative variance", replace("bn1.running_var", f("bn1.running_var", []int{2}, []float32{1, -1})), []string{"bn1.running_var", "element 1"}},
	} {
		n := tiny(2)
		before := contents(n)
		path := filepath.Join(t.TempDir(), "w")
		must(0, os.WriteFile(path, c.file, 0o600))
		for how, err := range map[string]error{"Read": n.Read(bytes.NewReader(c.file)), "ReadFile": n.ReadFile(path)} {
			if !errors.Is(err, ErrWeights) {
				t.Errorf("%s: %s: error %v, want ErrWeights", c.name, how, err)
				continue
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%s: %s: error %q does not say %q", c.name, how, err, s)
				}
			}
		}
		if !slices.Equal(contents(n), before) {
			t.Errorf("%s: the network changed", c.name)
		}
	}
	if err := tiny(1).Read(endless{}); !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), "too much") {
		t.Errorf("endless input: %v", err)
	}
}

// endless is a stream of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

var _ io.Reader = endless{}

// FuzzRead: no file makes Read panic, and a file that loads is loaded again the
// same from what Write makes of it.
func FuzzRead(f *testing.F) {
	good := fileOf(tensorsOf(tiny(1)))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		a, b := tiny(2), tiny(3)
		if a.Read(bytes.NewReader(file)) != nil {
			return
		}
		var buf bytes.Buffer
		must(0, a.Write(&buf))
		if err := b.Read(&buf); err != nil || !slices.Equal(contents(a), contents(b)) {
			t.Errorf("what was loaded and saved does not load again: %v", err)
		}
	})
}
