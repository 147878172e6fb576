package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func leaf(g *G.ExprGraph, name string, shape ...int) *G.Node {
	return G.NewTensor(g, G.Float32, len(shape), G.WithShape(shape...), G.WithName(name))
}

func weight(g *G.ExprGraph, name string, shape ...int) *G.Node {
	n := leaf(g, name, shape...)
	x := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range x { // of both signs, no two alike, as initial weights are
		x[i] = float32(i+1) * float32(1-i%2*2) / 8
	}
	if err := G.Let(n, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))); err != nil {
		panic(err)
	}
	return n
}

func unary(fn func(*G.Node) (*G.Node, error)) func(...*G.Node) (*G.Node, error) {
	return func(in ...*G.Node) (*G.Node, error) { return fn(in[0]) }
}

func pair(fn func(a, b *G.Node) (*G.Node, error)) func(...*G.Node) (*G.Node, error) {
	return func(in ...*G.Node) (*G.Node, error) { return fn(in[0], in[1]) }
}

type bcast func(a, b *G.Node, left, right []byte) (*G.Node, error)

func wide(fn bcast, left, right []byte) func(...*G.Node) (*G.Node, error) {
	return func(in ...*G.Node) (*G.Node, error) { return fn(in[0], in[1], left, right) }
}

func k(f float32) *G.Node { return G.NewConstant(f) }

// One row for each of Gorgonia's constructors: what the reader makes of it. The rows
// notice when another version of the library spells something differently. The first
// operand is data and the second a parameter.
func TestConstructors(t *testing.T) {
	type fn = func(in ...*G.Node) (*G.Node, error)
	im, mat, vec := []int{2, 3, 6, 6}, []int{4, 6}, []int{6}
	one := func(op nn.Op) []nn.Op { return []nn.Op{op} }
	un := func(name string) []nn.Op { return one(nn.Unary{Fn: name}) }
	bin := func(name string) []nn.Op { return one(nn.Binary{Fn: name}) }
	sh := func(s ...int) nn.Op { return nn.Reshape{Shape: s} }
	cases := []struct {
		name string
		in   [][]int
		fn   fn
		want []nn.Op
	}{
		{"Mul matrices", [][]int{mat, {6, 3}}, pair(G.Mul), one(nn.MatMul{})},
		{"Mul matrix vector", [][]int{mat, vec}, pair(G.Mul), []nn.Op{sh(6, 1), nn.MatMul{}, sh(-1)}},
		{"Mul vector matrix", [][]int{{4}, mat}, pair(G.Mul), []nn.Op{sh(1, 4), nn.MatMul{}, sh(6)}},
		{"Mul weight vector", [][]int{vec, mat}, func(in ...*G.Node) (*G.Node, error) { return G.Mul(in[1], in[0]) },
			[]nn.Op{sh(1, 6), nn.MatMul{TransB: true}, sh(4)}},
		{"Mul vectors", [][]int{vec, vec}, pair(G.Mul), []nn.Op{sh(1, 6), sh(6, 1), nn.MatMul{}, nn.Reshape{Shape: []int{}}}},
		{"OuterProd", [][]int{{4}, vec}, pair(G.OuterProd), []nn.Op{sh(4, 1), sh(1, 6), nn.MatMul{}}},
		{"BatchedMatMul", [][]int{{2, 3, 4}, {2, 5, 4}}, func(in ...*G.Node) (*G.Node, error) {
			return G.BatchedMatMul(in[0], in[1], false, true)
		}, one(nn.MatMul{TransB: true})},
		{"Mul by a scalar", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.Mul(in[0], k(2)) }, bin("mul")},
		{"Add", [][]int{mat, mat}, pair(G.Add), bin("add")},
		{"Sub", [][]int{mat, mat}, pair(G.Sub), bin("sub")},
		{"HadamardProd", [][]int{mat, mat}, pair(G.HadamardProd), bin("mul")},
		{"HadamardDiv", [][]int{mat, mat}, pair(G.HadamardDiv), bin("div")},
		{"Div", [][]int{mat, mat}, pair(G.Div), bin("div")},
		{"Pow", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.Pow(in[0], k(2)) }, bin("pow")},
		{"scalar on the left", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.Sub(k(3), in[0]) }, bin("sub")},
		{"BroadcastAdd", [][]int{mat, {1, 6}}, wide(G.BroadcastAdd, nil, []byte{0}), bin("add")},
		{"BroadcastAdd vector", [][]int{mat, vec}, wide(G.BroadcastAdd, nil, []byte{0}), bin("add")},
		{"BroadcastAdd channels", [][]int{im, {3}}, wide(G.BroadcastAdd, nil, []byte{0, 2, 3}), []nn.Op{sh(1, 3, 1, 1), nn.Binary{Fn: "add"}}},
		{"BroadcastAdd [1,C,1,1]", [][]int{im, {1, 3, 1, 1}}, wide(G.BroadcastAdd, nil, []byte{0, 2, 3}), bin("add")},
		{"BroadcastSub left", [][]int{{1, 6}, mat}, wide(G.BroadcastSub, []byte{0}, nil), bin("sub")},
		{"BroadcastHadamardProd", [][]int{mat, {1, 6}}, wide(G.BroadcastHadamardProd, nil, []byte{0}), bin("mul")},
		{"BroadcastHadamardDiv", [][]int{mat, {1, 6}}, wide(G.BroadcastHadamardDiv, nil, []byte{0}), bin("div")},
		{"BroadcastPow", [][]int{mat, {1, 6}}, wide(G.BroadcastPow, nil, []byte{0}), bin("pow")},
		{"Auto", [][]int{mat, {1, 6}}, func(in ...*G.Node) (*G.Node, error) {
			return G.Auto(G.BroadcastAdd, in[0], in[1])
		}, bin("add")},
		{"Conv2d", [][]int{im, {4, 3, 3, 2}}, func(in ...*G.Node) (*G.Node, error) {
			return G.Conv2d(in[0], in[1], tensor.Shape{3, 2}, []int{2, 1}, []int{1, 2}, []int{2, 1})
		}, one(nn.Conv{Stride: [2]int{1, 2}, Pad: [4]int{2, 1, 2, 1}, Dilation: [2]int{2, 1}, Groups: 1})},
		{"Conv1d", [][]int{{2, 3, 1, 8}, {4, 3, 1, 3}}, func(in ...*G.Node) (*G.Node, error) {
			return G.Conv1d(in[0], in[1], 3, 1, 2, 1)
		}, one(nn.Conv{Stride: [2]int{1, 2}, Pad: [4]int{0, 1, 0, 1}, Dilation: [2]int{1, 1}, Groups: 1})},
		{"MaxPool2D", [][]int{im}, func(in ...*G.Node) (*G.Node, error) {
			return G.MaxPool2D(in[0], tensor.Shape{3, 2}, []int{1, 0}, []int{2, 1})
		}, one(nn.Pool{Kernel: [2]int{3, 2}, Stride: [2]int{2, 1}, Pad: [4]int{1, 0, 1, 0}})},
		{"MaxPool2D with four paddings", [][]int{im}, func(in ...*G.Node) (*G.Node, error) {
			return G.MaxPool2D(in[0], tensor.Shape{3, 3}, []int{1, 0, 2, 1}, []int{1, 1})
		}, one(nn.Pool{Kernel: [2]int{3, 3}, Stride: [2]int{1, 1}, Pad: [4]int{0, 1, 1, 2}})},
		{"MaxPool1D", [][]int{{2, 3, 1, 8}}, func(in ...*G.Node) (*G.Node, error) { return G.MaxPool1D(in[0], 2, 0, 2) },
			one(nn.Pool{Kernel: [2]int{1, 2}, Stride: [2]int{1, 2}})},
		{"AveragePool2D", [][]int{im}, func(in ...*G.Node) (*G.Node, error) {
			return G.AveragePool2D(in[0], tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
		}, one(nn.Pool{Average: true, Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}})},
		{"GlobalAveragePool2D", [][]int{im}, unary(G.GlobalAveragePool2D), one(nn.GlobalAvgPool{})},
		{"Rectify", [][]int{mat}, unary(G.Rectify), un("relu")},
		{"LeakyRelu", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.LeakyRelu(in[0], 0.25) },
			one(nn.Unary{Fn: "leaky_relu", Alpha: 0.25})},
		{"Abs", [][]int{mat}, unary(G.Abs), un("abs")},
		{"Sign", [][]int{mat}, unary(G.Sign), un("sign")},
		{"Ceil", [][]int{mat}, unary(G.Ceil), un("ceil")},
		{"Floor", [][]int{mat}, unary(G.Floor), un("floor")},
		{"Sin", [][]int{mat}, unary(G.Sin), un("sin")},
		{"Cos", [][]int{mat}, unary(G.Cos), un("cos")},
		{"Exp", [][]int{mat}, unary(G.Exp), un("exp")},
		{"Log", [][]int{mat}, unary(G.Log), un("log")},
		{"Log2", [][]int{mat}, unary(G.Log2), un("log2")},
		{"Neg", [][]int{mat}, unary(G.Neg), un("neg")},
		{"Square", [][]int{mat}, unary(G.Square), un("square")},
		{"Sqrt", [][]int{mat}, unary(G.Sqrt), un("sqrt")},
		{"Inverse", [][]int{mat}, unary(G.Inverse), un("inv")},
		{"InverseSqrt", [][]int{mat}, unary(G.InverseSqrt), un("inv_sqrt")},
		{"Cube", [][]int{mat}, unary(G.Cube), un("cube")},
		{"Tanh", [][]int{mat}, unary(G.Tanh), un("tanh")},
		{"Sigmoid", [][]int{mat}, unary(G.Sigmoid), un("sigmoid")},
		{"Log1p", [][]int{mat}, unary(G.Log1p), un("log1p")},
		{"Expm1", [][]int{mat}, unary(G.Expm1), un("expm1")},
		{"Softplus", [][]int{mat}, unary(G.Softplus), un("softplus")},
		{"Mish", [][]int{mat}, unary(G.Mish), []nn.Op{nn.Unary{Fn: "softplus"}, nn.Unary{Fn: "tanh"}, nn.Binary{Fn: "mul"}}},
		{"SoftMax", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.SoftMax(in[0]) }, one(nn.Softmax{Axis: 1})},
		{"SoftMax of a column", [][]int{{4, 1}}, func(in ...*G.Node) (*G.Node, error) { return G.SoftMax(in[0]) }, one(nn.Softmax{Axis: 0})},
		{"SoftMax along 1", [][]int{{2, 3, 4}}, func(in ...*G.Node) (*G.Node, error) { return G.SoftMax(in[0], 1) }, one(nn.Softmax{Axis: 1})},
		{"LogSoftMax", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.LogSoftMax(in[0]) }, one(nn.Softmax{Axis: 1, Log: true})},
		{"Log of SoftMax", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) {
			return G.Log(G.Must(G.SoftMax(in[0])))
		}, one(nn.Softmax{Axis: 1, Log: true})},
		{"Reshape", [][]int{im}, func(in ...*G.Node) (*G.Node, error) { return G.Reshape(in[0], tensor.Shape{2, 108}) }, one(sh(-1, 108))},
		{"Ravel", [][]int{mat}, unary(G.Ravel), one(sh(-1))},
		{"Transpose", [][]int{{2, 3, 4}}, func(in ...*G.Node) (*G.Node, error) { return G.Transpose(in[0], 2, 0, 1) },
			one(nn.Transpose{Perm: []int{2, 0, 1}})},
		{"Concat", [][]int{mat, mat}, func(in ...*G.Node) (*G.Node, error) { return G.Concat(1, in...) }, one(nn.Concat{Axis: 1})},
		{"Slice", [][]int{{4, 6, 5}}, func(in ...*G.Node) (*G.Node, error) {
			return G.Slice(in[0], nil, G.S(1, 3), G.S(4))
		}, []nn.Op{nn.Slice{Axis: 1, Start: 1, End: 3, Step: 1}, nn.Slice{Axis: 2, Start: 4, End: 5, Step: 1, Squeeze: true}}},
		{"Slice squeezing twice", [][]int{{4, 6, 5}}, func(in ...*G.Node) (*G.Node, error) {
			return G.Slice(in[0], nil, G.S(2), G.S(1, 4))
		}, []nn.Op{nn.Slice{Axis: 1, Start: 2, End: 3, Step: 1, Squeeze: true}, nn.Slice{Axis: 1, Start: 1, End: 4, Step: 1}}},
		{"Sum", [][]int{{2, 3, 4}}, func(in ...*G.Node) (*G.Node, error) { return G.Sum(in[0], 1) }, one(nn.Reduce{Fn: "sum", Axes: []int{1}})},
		{"Sum of all", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.Sum(in[0]) }, one(nn.Reduce{Fn: "sum", Axes: []int{0, 1}})},
		{"Mean", [][]int{im}, func(in ...*G.Node) (*G.Node, error) { return G.Mean(in[0], 2, 3) }, one(nn.Reduce{Fn: "mean", Axes: []int{2, 3}})},
		{"Mean of all", [][]int{{2, 3, 4}}, func(in ...*G.Node) (*G.Node, error) { return G.Mean(in[0]) }, one(nn.Reduce{Fn: "mean", Axes: []int{0, 1, 2}})},
		{"Max", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.Max(in[0], 1) }, one(nn.Reduce{Fn: "max", Axes: []int{1}})},
		{"Dropout", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.Dropout(in[0], 0.25) }, one(nn.Dropout{P: 0.25})},
		{"BatchNorm 4-D", [][]int{im, {1, 3, 1, 1}, {1, 3, 1, 1}}, func(in ...*G.Node) (*G.Node, error) {
			y, _, _, _, err := G.BatchNorm(in[0], in[1], in[2], 0.1, 1e-3)
			return y, err
		}, one(nn.BatchNorm{Eps: 1e-3})},
		{"BatchNorm 2-D", [][]int{mat, {1, 6}, {1, 6}}, func(in ...*G.Node) (*G.Node, error) {
			y, _, _, _, err := G.BatchNorm(in[0], in[1], in[2], 0.1, 1e-3)
			return y, err
		}, one(nn.BatchNorm{Eps: 1e-3})},
		{"Upsample2D", [][]int{im}, func(in ...*G.Node) (*G.Node, error) { return G.Upsample2D(in[0], 2) }, one(nn.Resize{Mode: "nearest", Coordinates: "asymmetric", Nearest: "floor", Axes: []int{2, 3}, Size: []int{12, 12}})},
		{"Gt", [][]int{mat}, func(in ...*G.Node) (*G.Node, error) { return G.Gt(in[0], k(0), true) }, one(nn.Binary{Fn: "greater"})},
		{"own op", [][]int{mat, {6, 3}}, func(in ...*G.Node) (*G.Node, error) { return ops.Apply(nn.MatMul{}, in...) }, one(nn.MatMul{})},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := G.NewGraph()
			in := make([]*G.Node, len(c.in))
			for i, s := range c.in {
				in[i] = leaf(g, fmt.Sprint("x", i), s...)
				if i > 0 {
					in[i] = weight(g, fmt.Sprint("w", i), s...)
				}
			}
			out, err := c.fn(in...)
			if err != nil {
				t.Fatal(err)
			}
			net, err := Read(g, []*G.Node{out}, Options{Inputs: []string{"x0"}})
			if err != nil {
				t.Fatal(err)
			}
			got := make([]nn.Op, len(net.Layers))
			for i, l := range net.Layers {
				got[i] = l.Op
			}
			if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", c.want) {
				t.Errorf("got %#v\nwant %#v", got, c.want)
			}
			if v := net.Outputs[0]; !slices.Equal(v.Shape, out.Shape()) || v.Node != out {
				t.Errorf("output %v of node %v, want %v of %v", v.Shape, v.Node, out.Shape(), out)
			}
		})
	}
}

// Reading changes nothing in the user's graph.
func TestGraphUntouched(t *testing.T) {
	for _, c := range zoo.Nets() {
		m := c.Build()
		before := snapshot(m.Graph)
		if _, _, err := Rebuild(readCase(t, m), RebuildOptions{}); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if after := snapshot(m.Graph); after != before {
			t.Errorf("%s: the graph has changed", c.Name)
		}
	}
}

// snapshot is the graph with its private indexes, and what each node shows.
func snapshot(g *G.ExprGraph) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%#v", g)
	for _, n := range g.AllNodes() {
		fmt.Fprintf(&b, "\n%d %s %v %v %v %p", n.ID(), n.Name(), n.Shape(), n.Type(), n.Op(), n.Value())
	}
	return b.String()
}

func TestBatch(t *testing.T) {
	const other = 7
	for _, c := range zoo.Nets() {
		t.Run(c.Name, func(t *testing.T) {
			net := readCase(t, c.Build())
			if (net.Batch == 0) != c.FixedBatch || (net.BatchNote != "") != c.FixedBatch {
				t.Fatalf("batch %d (%s), want fixed: %v", net.Batch, net.BatchNote, c.FixedBatch)
			}
			if c.FixedBatch {
				if _, err := net.Shapes(other); err == nil {
					t.Error("no error for another batch size")
				}
				return
			}
			for _, n := range []int{net.Batch, other} {
				shapes, err := net.Shapes(n)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range net.Values {
					want := slices.Clone(v.Shape)
					if v.BatchAxis >= 0 {
						want[v.BatchAxis] = want[v.BatchAxis] / net.Batch * n
					}
					if !slices.Equal(shapes[v], want) {
						t.Errorf("%s at batch %d: %v, want %v", v.Name, n, shapes[v], want)
					}
				}
			}
			for _, v := range net.Inputs {
				if want := c.BatchAxis; v.BatchAxis != want {
					t.Errorf("input %s: batch axis %d, want %d", v.Name, v.BatchAxis, want)
				}
			}
		})
	}
}

// Every user node that an output needs is in exactly the layers that stand for it, and
// all names are unique.
func TestCoverageAndNames(t *testing.T) {
	for _, c := range zoo.Nets() {
		m := c.Build()
		net := readCase(t, m)
		values, layers := map[string]bool{}, map[string]bool{}
		made := map[*Value]bool{}
		for _, v := range net.Values {
			if values[v.Name] || v.Name == "" {
				t.Errorf("%s: value name %q", c.Name, v.Name)
			}
			values[v.Name] = true
			if v.Producer == nil {
				made[v] = true
			}
		}
		for _, l := range net.Layers {
			if layers[l.Name] || l.Name == "" {
				t.Errorf("%s: layer name %q", c.Name, l.Name)
			}
			layers[l.Name] = true
			for _, v := range l.In {
				if !made[v] {
					t.Errorf("%s: layer %s comes before its operand %s", c.Name, l.Name, v.Name)
				}
			}
			made[l.Out] = true
		}
		for _, n := range m.Learnables {
			if v := net.Value(n); v == nil || v.Role != Param {
				t.Errorf("%s: %s is %v", c.Name, n.Name(), v)
			}
		}
		for _, n := range m.Inputs {
			if v := net.Value(n); v == nil || v.Role != Input {
				t.Errorf("%s: %s is %v", c.Name, n.Name(), v)
			}
		}
	}
}

func layerNames(net *Net) string {
	var names []string
	for _, l := range net.Layers {
		names = append(names, l.Name)
	}
	return strings.Join(names, " ")
}

func TestLayerNames(t *testing.T) {
	for name, want := range map[string]string{
		"mlp":                   "fc1 add_0 relu_0 fc2 add_1 square_0 reduce_sum_0",
		"mlp_transposed_weight": "transpose_0 fc square_0 reduce_sum_0",
		"shared_weights":        "tower relu_0 tower#2 tower#3 add_0 square_0 reduce_sum_0",
		"named_nodes":           "fc hidden activation square_0 reduce_sum_0",
		"conv_vector_bias":      "conv reshape_0 add_0 square_0 reduce_sum_0",
	} {
		c, err := zoo.Net(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := layerNames(readCase(t, c.Build())); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestBatchNormState(t *testing.T) {
	c, err := zoo.Net("batchnorm_4d")
	if err != nil {
		t.Fatal(err)
	}
	m := c.Build()
	net := readCase(t, m)
	i := slices.IndexFunc(net.Layers, func(l *Layer) bool { return l.BN != nil })
	bn := net.Layers[i].BN
	if bn.Gamma.Name != "bn.gamma" || bn.Beta.Name != "bn.beta" || bn.Momentum != 0.1 || !bn.Training {
		t.Errorf("got %+v", bn)
	}
	stat := func(x ...float32) *tensor.Dense { return tensor.New(tensor.WithBacking(x)) }
	if err := bn.Stock.SetStats(stat(1, 2, 3, 4), stat(5, 6, 7, 8)); err != nil {
		t.Fatal(err)
	}
	mean, variance := bn.Stats()
	if fmt.Sprint(mean, variance) != "[1 2 3 4] [5 6 7 8]" {
		t.Errorf("stats %v %v", mean, variance)
	}

	g := G.NewGraph()
	st := ops.NewBNState(3, 0.2, 1e-4)
	y, err := ops.BatchNorm(leaf(g, "x", 2, 3), weight(g, "gamma", 3), weight(g, "beta", 3), st, true)
	if err != nil {
		t.Fatal(err)
	}
	net, err = Read(g, []*G.Node{y}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := net.Layers[0]
	if l.Op != (nn.BatchNorm{Eps: 1e-4}) || l.BN.State != st || l.BN.Gamma.Name != "gamma" || l.BN.Beta.Name != "beta" || l.Wrong != "" {
		t.Errorf("got %+v with %+v", l, l.BN)
	}
}
