package packedout

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/frozen"
)

// TestRefused: what does not fit is refused by name, with the reason, before anything is
// written.
func TestRefused(t *testing.T) {
	q := fakequant.Spec{Bits: 4}
	per := func(g fakequant.Granularity, axis, block int) fakequant.Spec {
		return fakequant.Spec{Bits: 4, Granularity: g, Axis: axis, BlockSize: block}
	}
	linear := func(s fakequant.Spec) func(m *maker) int {
		return func(m *maker) int {
			return m.layer("fc", frozen.MatMul{TransB: true}, []int{-1, 3}, m.input("x", -1, 8), m.weight("fc.weight", s, 3, 8))
		}
	}
	for _, c := range []struct {
		name  string
		build func(m *maker) int
		opt   Options
		says  []string
	}{
		{"convolution", func(m *maker) int {
			op := frozen.Conv{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
			return m.layer("c1", op, []int{-1, 2, 4, 4}, m.input("x", -1, 3, 4, 4), m.weight("c1.weight", q, 2, 3, 1, 1))
		}, Options{}, []string{"c1.weight", "kind conv"}},
		{"nothing but a convolution, dense", func(m *maker) int {
			op := frozen.Conv{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
			return m.layer("c1", op, []int{-1, 2, 4, 4}, m.input("x", -1, 3, 4, 4), m.weight("c1.weight", q, 2, 3, 1, 1))
		}, Options{Dense: true}, []string{"nothing can be packed", "c1.weight"}},
		{"no quantized weights", func(m *maker) int {
			return m.layer("fc", frozen.MatMul{}, []int{-1, 3}, m.input("x", -1, 8), m.float("fc.weight", 8, 3))
		}, Options{Dense: true}, []string{"no quantized weights"}},
		{"scale per input", linear(per(fakequant.PerChannel, 1, 0)), Options{}, []string{"fc.weight", "input channel"}},
		{"blocks of outputs", linear(per(fakequant.PerBlock, 0, 3)), Options{}, []string{"fc.weight", "output channels"}},
		{"ragged blocks", linear(per(fakequant.PerBlock, 1, 3)), Options{}, []string{"blocks of 3", "8 inputs"}},
		{"left factor", func(m *maker) int {
			return m.layer("fc", frozen.MatMul{}, []int{4, 3}, m.weight("fc.weight", q, 4, 8), m.input("x", 8, 3))
		}, Options{}, []string{"fc.weight", "left factor"}},
		{"both constant", func(m *maker) int {
			y := m.layer("fc", frozen.MatMul{}, []int{4, 4}, m.weight("a", q, 4, 4), m.weight("b", q, 4, 4))
			return m.layer("sum", frozen.Binary{Fn: "add"}, []int{4, 4}, m.input("x", 4, 4), y)
		}, Options{}, []string{`"a"`, "operand 0"}},
		{"transposed x", func(m *maker) int {
			return m.layer("fc", frozen.MatMul{TransA: true}, []int{4, 3}, m.input("x", 8, 4), m.weight("fc.weight", q, 8, 3))
		}, Options{}, []string{"fc.weight", "transposes"}},
		{"batched", func(m *maker) int {
			return m.layer("fc", frozen.MatMul{}, []int{2, 4, 3}, m.input("x", 2, 4, 8), m.weight("fc.weight", q, 2, 8, 3))
		}, Options{}, []string{"fc.weight", "[2 8 3]"}},
		{"shared", func(m *maker) int {
			w := m.weight("w.weight", q, 4, 4)
			h := m.layer("fc1", frozen.MatMul{}, []int{-1, 4}, m.input("x", -1, 4), w)
			return m.layer("fc2", frozen.MatMul{}, []int{-1, 4}, h, w, m.float("b", 4))
		}, Options{}, []string{"w.weight", "2 layers"}},
		{"computed bias", func(m *maker) int {
			b := m.layer("neg", frozen.Unary{Fn: "neg"}, []int{3}, m.input("b", 3))
			return m.layer("fc", frozen.MatMul{}, []int{4, 3}, m.input("x", 4, 8), m.weight("fc.weight", q, 8, 3), b)
		}, Options{}, []string{"fc.weight", "bias"}},
		{"quantized operand of a sum", func(m *maker) int {
			h := m.layer("fc", frozen.MatMul{}, []int{-1, 3}, m.input("x", -1, 8), m.weight("fc.weight", q, 8, 3))
			return m.layer("sum", frozen.Binary{Fn: "add"}, []int{-1, 3}, h, m.weight("by", q, 3))
		}, Options{}, []string{`"by"`, "kind add"}},
		{"regular expression", func(m *maker) int {
			return m.layer("re:x", frozen.MatMul{}, []int{-1, 3}, m.input("x", -1, 8), m.weight("w", q, 8, 3))
		}, Options{}, []string{"regular expression"}},
		{"name taken by a constant", func(m *maker) int {
			h := m.layer("fc", frozen.MatMul{}, []int{-1, 3}, m.input("x", -1, 8), m.weight("fc.weight", q, 8, 3))
			return m.layer("sum", frozen.Binary{Fn: "add"}, []int{-1, 3}, h, m.float("fc.weight_shape", 3))
		}, Options{}, []string{"fc.weight_shape", "rename"}},
		{"two of a module", func(m *maker) int {
			h := m.layer("fc", frozen.MatMul{}, []int{-1, 3}, m.input("x", -1, 8), m.weight("w", q, 8, 3))
			return m.layer("fc2", frozen.MatMul{}, []int{-1, 3}, h, m.weight("fc.weight", q, 3, 3))
		}, Options{}, []string{"fc.weight_packed", "rename"}},
	} {
		m := newMaker(t)
		n := m.end(c.build(m))
		var b bytes.Buffer
		_, err := Write(&b, n, c.opt)
		if !errors.Is(err, ErrUnsupported) || b.Len() > 0 {
			t.Errorf("%s: %v and %d bytes, want ErrUnsupported and none", c.name, err, b.Len())
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", c.name, err, s)
			}
		}
		dir := filepath.Join(t.TempDir(), "new")
		if _, err := WriteDir(dir, n, c.opt); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: WriteDir: %v", c.name, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: WriteDir made the folder", c.name)
		}
		if _, err := Config(n, c.opt); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: Config: %v", c.name, err)
		}
	}
}

func TestBadNetwork(t *testing.T) {
	for name, n := range map[string]*frozen.Network{"nil": nil, "empty": {}} {
		if _, err := Write(&bytes.Buffer{}, n, Options{}); !errors.Is(err, frozen.ErrNetwork) {
			t.Errorf("%s network: %v, want ErrNetwork", name, err)
		}
	}
	bad := newMaker(t)
	out := bad.layer("\xff", frozen.MatMul{}, []int{-1, 3}, bad.input("x", -1, 8), bad.weight("w", fakequant.Spec{}, 8, 3))
	bad.n.Outputs = []int{out}
	if _, err := Write(&bytes.Buffer{}, bad.n, Options{}); !errors.Is(err, frozen.ErrNetwork) {
		t.Errorf("name that is not UTF-8: %v, want ErrNetwork", err)
	}
	reserved := linearNet(t, fakequant.Spec{}, true, 2, 4)
	reserved.Tensors[reserved.Layers[0].Inputs[2]].Name = "b"
	reserved.Tensors[reserved.Layers[0].Inputs[1]].Name = "__metadata__.weight"
	if _, err := Write(&bytes.Buffer{}, reserved, Options{}); err != nil {
		t.Errorf("only the bare word is reserved: %v", err)
	}
}

type full struct{}

var errFull = errors.New("disk full")

func (full) Write([]byte) (int, error) { return 0, errFull }

// TestManyReasons: the list of reasons is cut.
func TestManyReasons(t *testing.T) {
	m := newMaker(t)
	h := m.input("x", -1, 4)
	for i := range 12 {
		name := string(rune('a' + i))
		h = m.layer(name, frozen.Binary{Fn: "add"}, []int{-1, 4}, h, m.weight("w"+name, fakequant.Spec{}, 4))
	}
	_, err := Write(&bytes.Buffer{}, m.end(h), Options{})
	if err == nil || !strings.Contains(err.Error(), "and 4 more") || !strings.Contains(err.Error(), `"wh"`) || strings.Contains(err.Error(), `"wi"`) {
		t.Errorf("error %v", err)
	}
}

func TestBadDisk(t *testing.T) {
	if _, err := Write(full{}, linearNet(t, fakequant.Spec{}, true, 2, 4), Options{}); !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}
}
