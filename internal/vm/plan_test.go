package vm

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// net is a graph of the ops of package ops with a scalar cost.
type net struct {
	g      *gorgonia.ExprGraph
	params gorgonia.Nodes
	hidden gorgonia.Nodes // results on the way
	cost   *gorgonia.Node
}

type netBuilder struct {
	*testing.T
	n *net
}

func (b netBuilder) leaf(name string, shape ...int) *gorgonia.Node {
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32((i*37+len(name)*11)%64)/32 - 0.97
	}
	v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	return gorgonia.NewTensor(b.n.g, tensor.Float32, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...), gorgonia.WithValue(v))
}

func (b netBuilder) param(name string, shape ...int) *gorgonia.Node {
	n := b.leaf(name, shape...)
	b.n.params = append(b.n.params, n)
	return n
}

func (b netBuilder) op(op nn.Op, in ...*gorgonia.Node) *gorgonia.Node {
	b.Helper()
	return b.keep(ops.Apply(op, in...))
}

func (b netBuilder) keep(n *gorgonia.Node, err error) *gorgonia.Node {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	b.n.hidden = append(b.n.hidden, n)
	return n
}

func (b netBuilder) relu(x *gorgonia.Node) *gorgonia.Node { return b.op(nn.Unary{Fn: "relu"}, x) }

func (b netBuilder) norm(name string, x *gorgonia.Node) *gorgonia.Node {
	c := x.Shape()[1]
	return b.keep(ops.BatchNorm(x, b.param(name+".gamma", c), b.param(name+".beta", c), ops.NewBNState(c, 0.1, 1e-3), true))
}

func (b netBuilder) conv(name string, x *gorgonia.Node, out int) *gorgonia.Node {
	c := nn.Conv{Stride: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
	return b.op(c, x, b.param(name, out, x.Shape()[1], 3, 3))
}

func (b netBuilder) sum(x *gorgonia.Node) *gorgonia.Node {
	axes := make([]int, x.Shape().Dims())
	for i := range axes {
		axes[i] = i
	}
	return b.op(nn.Reduce{Fn: "mean", Axes: axes}, b.op(nn.Unary{Fn: "square"}, x))
}

// nets are small networks with what the planner has to get right.
var nets = map[string]func(b netBuilder) *gorgonia.Node{
	"residual": func(b netBuilder) *gorgonia.Node {
		h := b.relu(b.norm("n1", b.conv("c1", b.leaf("x", 2, 3, 6, 5), 4)))
		r := b.norm("n3", b.conv("c3", b.relu(b.norm("n2", b.conv("c2", h, 4))), 4))
		s := b.relu(b.op(nn.Binary{Fn: "add"}, r, h))
		p := b.op(nn.Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, s)
		return b.op(nn.MatMul{TransB: true}, b.op(nn.Reshape{Shape: []int{2, -1}}, p), b.param("fc", 3, 24))
	},
	"pooled": func(b netBuilder) *gorgonia.Node {
		two := nn.Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}
		h := b.op(two, b.relu(b.conv("c1", b.leaf("x", 2, 3, 10, 21), 4)))
		r := b.relu(b.conv("c2", h, 4))
		// The second pooling shares its operand, the third has no activation before it.
		p := b.op(two, r)
		return b.op(nn.Concat{Axis: 1}, p, b.op(two, b.op(nn.Unary{Fn: "neg"}, r)))
	},
	"shared gradients": func(b netBuilder) *gorgonia.Node {
		x, y := b.param("x", 4, 6), b.param("y", 4, 6)
		s := b.op(nn.Binary{Fn: "add"}, x, y)
		return b.op(nn.Binary{Fn: "add"}, b.op(nn.Binary{Fn: "add"}, s, s), b.op(nn.Unary{Fn: "tanh"}, s))
	},
	"views": func(b netBuilder) *gorgonia.Node {
		x := b.op(nn.Reshape{Shape: []int{6, 4}}, b.param("x", 4, 6))
		a := b.relu(b.op(nn.Reshape{Shape: []int{2, 12}}, x))
		c := b.op(nn.Dropout{P: 0.5}, b.op(nn.Reshape{Shape: []int{2, 12}}, b.op(nn.Unary{Fn: "sin"}, x)))
		return b.op(nn.Concat{Axis: 1}, a, b.relu(b.op(nn.Binary{Fn: "sub"}, c, a)))
	},
	"stock ops between": func(b netBuilder) *gorgonia.Node {
		x := b.relu(b.norm("n", b.param("x", 4, 6)))
		y := b.keep(gorgonia.Reshape(x, tensor.Shape{6, 4}))
		z := b.keep(gorgonia.Tanh(b.keep(gorgonia.Mul(y, b.param("w", 4, 6)))))
		return b.relu(b.keep(gorgonia.Add(z, b.keep(gorgonia.Sigmoid(z)))))
	},
	"many readers": func(b netBuilder) *gorgonia.Node {
		x := b.param("x", 2, 3, 4, 4)
		h := b.norm("n", x)
		a, c := b.relu(h), b.op(nn.Unary{Fn: "clip", Min: -0.5, Max: 0.5}, h)
		m := b.op(nn.Binary{Fn: "mul"}, a, b.op(nn.Binary{Fn: "mul"}, b.param("k", 1, 3, 1, 1), c))
		return b.op(nn.Binary{Fn: "add"}, b.op(nn.Binary{Fn: "add"}, m, a), h)
	},
}

func buildNet(t *testing.T, f func(b netBuilder) *gorgonia.Node) *net {
	t.Helper()
	n := &net{g: gorgonia.NewGraph()}
	b := netBuilder{t, n}
	n.cost = b.sum(f(b))
	if _, err := gorgonia.Grad(n.cost, n.params...); err != nil {
		t.Fatal(err)
	}
	return n
}

// results returns the cost and all gradients after a few runs; the statistics of the
// normalisations move in between.
func (n *net) results(t *testing.T, m gorgonia.VM, runs int) map[string][]float32 {
	t.Helper()
	for range runs {
		runAll(t, m)
		m.Reset()
	}
	out := map[string][]float32{"cost": floats(t, n.cost.Value())}
	for _, p := range n.params {
		g, err := p.Grad()
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name()] = floats(t, g)
	}
	return out
}

func sameResults(t *testing.T, what string, got, want map[string][]float32) {
	t.Helper()
	for k, w := range want {
		if !slices.Equal(got[k], w) {
			t.Errorf("%s: %s is %v, want %v", what, k, got[k], w)
		}
	}
}

// TestFusedAndShared: a machine that fuses ops and shares memory gives the bits of
// one that keeps every result, and of TapeMachine, whatever else it is asked for.
func TestFusedAndShared(t *testing.T) {
	for name, f := range nets {
		t.Run(name, func(t *testing.T) {
			n := buildNet(t, f)
			want := n.results(t, compile(t, n.g), 3)
			n = buildNet(t, f)
			sameResults(t, "TapeMachine", n.results(t, gorgonia.NewTapeMachine(n.g), 3), want)
			for i := -1; i < len(n.hidden); i++ {
				n := buildNet(t, f)
				all := buildNet(t, f)
				outputs := gorgonia.Nodes{n.cost}
				if i >= 0 {
					outputs = append(outputs, n.hidden[i])
				}
				m := compile(t, n.g, outputs...)
				m.Poison()
				sameResults(t, fmt.Sprintf("with result %d", i), n.results(t, m, 3), want)
				if i >= 0 {
					all.results(t, compile(t, all.g), 3)
					if got, want := floats(t, n.hidden[i].Value()), floats(t, all.hidden[i].Value()); !slices.Equal(got, want) {
						t.Errorf("result %d is %v, want %v", i, got, want)
					}
				}
			}
		})
	}
}

// TestFusedSteps: what is fused and what is not.
func TestFusedSteps(t *testing.T) {
	for name, steps := range map[string]map[string]int{
		"residual": {"batch_norm, relu": 4, "add, relu": 2, "\nrelu": 0, "gradient of relu": 0, "+ false": 1},
		"pooled":   {"relu, max_pool": 2, "\nrelu\n": 1, "\nmax_pool\n": 2, "gradient of max_pool": 2},
	} {
		n := buildNet(t, nets[name])
		m := compile(t, n.g, n.cost)
		var names []string
		for i := range m.steps {
			if op := m.steps[i].op; op != nil {
				names = append(names, fmt.Sprint(op))
			}
		}
		all := "\n" + strings.Join(names, "\n") + "\n"
		for s, times := range steps {
			if got := strings.Count(all, s); got != times {
				t.Errorf("%s: %q is there %d times, want %d:%s", name, s, got, times, all)
			}
		}
	}
}

// TestGradientsOfTheirOwn: gradients that leave the machine never share memory, or a
// solver that clears one would clear the other.
func TestGradientsOfTheirOwn(t *testing.T) {
	n := buildNet(t, nets["shared gradients"])
	n.results(t, compile(t, n.g, n.cost), 1)
	a, _ := n.params[0].Grad()
	b, _ := n.params[1].Grad()
	if &a.Data().([]float32)[0] == &b.Data().([]float32)[0] {
		t.Error("two parameters share a gradient")
	}
}

// TestMemoryIsShared: a chain of n ops needs the memory of a few, not of n.
func TestMemoryIsShared(t *testing.T) {
	const length, size = 40, 1 << 14
	chain := func(b netBuilder) *gorgonia.Node {
		h := b.param("x", size)
		for range length {
			h = b.op(nn.Unary{Fn: "neg"}, h)
		}
		return h
	}
	n := &net{g: gorgonia.NewGraph()}
	b := netBuilder{t, n}
	y := chain(b)
	m := compile(t, n.g, y)
	if got := m.Memory(); got > 2*size {
		t.Errorf("evaluation holds %d elements, want at most two tensors of %d", got, size)
	}
	if got := compile(t, n.g).Memory(); got != length*size {
		t.Errorf("with every result kept it holds %d elements, want %d", got, length*size)
	}
}

// TestUnneededFactors: where nobody asks for the gradient of one factor, the other need
// not be kept for the backward pass, and the results are those of a machine that keeps
// all.
func TestUnneededFactors(t *testing.T) {
	const length, size = 40, 1 << 14
	for _, fn := range []string{"mul", "div"} {
		n := &net{g: gorgonia.NewGraph()}
		b := netBuilder{t, n}
		h, by := b.param("x", size), b.leaf("by", size)
		for range length {
			h = b.op(nn.Binary{Fn: fn}, h, by)
		}
		n.cost = b.op(nn.Reduce{Fn: "mean", Axes: []int{0}}, h)
		if _, err := gorgonia.Grad(n.cost, n.params...); err != nil {
			t.Fatal(err)
		}
		m := compile(t, n.g, n.cost)
		m.Poison()
		if got := m.Memory(); got > 4*size {
			t.Errorf("%s: training holds %d elements, want at most four tensors of %d", fn, got, size)
		}
		got, want := n.results(t, m, 1), n.results(t, compile(t, n.g), 1)
		for name := range want {
			if !slices.Equal(got[name], want[name]) {
				t.Errorf("%s: other %s", fn, name)
			}
		}
	}
}

// stepBytes is what a step may allocate: small slices and headers, far below the
// tensors of the test.
const stepBytes = 1 << 15

// TestNoTensorGarbage: after the first run a step allocates nothing of tensor size.
func TestNoTensorGarbage(t *testing.T) {
	n := buildNet(t, func(b netBuilder) *gorgonia.Node {
		h := b.relu(b.norm("n1", b.param("x", 4, 8, 64, 64)))
		return b.relu(b.op(nn.Binary{Fn: "add"}, b.norm("n2", h), h))
	})
	m := compile(t, n.g, n.cost)
	runAll(t, m)
	var before, after runtime.MemStats
	const runs = 5
	runtime.ReadMemStats(&before)
	for range runs {
		runAll(t, m)
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > stepBytes {
		t.Errorf("a step allocates %d bytes, want at most %d", got, stepBytes)
	}
}

// BenchmarkCompile compiles a network of about 2,000 nodes.
func BenchmarkCompile(b *testing.B) {
	for range b.N {
		g := gorgonia.NewGraph()
		x := gorgonia.NewTensor(g, tensor.Float32, 2, gorgonia.WithShape(2, 3), gorgonia.WithName("x"))
		h := x
		for i := 0; i < 1000; i++ {
			var err error
			if h, err = ops.Apply(nn.Unary{Fn: "tanh"}, h); err != nil {
				b.Fatal(err)
			}
		}
		cost, err := ops.Apply(nn.Reduce{Fn: "sum", Axes: []int{0, 1}}, h)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := gorgonia.Grad(cost, x); err != nil {
			b.Fatal(err)
		}
		if _, err := New(g, cost); err != nil {
			b.Fatal(err)
		}
	}
}
