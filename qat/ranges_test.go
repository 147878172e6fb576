package qat

import (
	"math"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// minMax has the ranges of the calibration data.
func minMax() qconfig.Config {
	return qconfig.Config{Global: &qconfig.Layer{Activations: qconfig.Tensor{Observer: "min_max"}}}
}

// relativeError calibrates and freezes the network, which must verify, and returns the
// root mean square of what quantization changes, relative to that of the float network's
// first output.
func (n *net) relativeError(float *net, inputs [][]float32) float64 {
	n.t.Helper()
	if err := n.m.Calibrate(inputs...); err != nil {
		n.t.Fatal(err)
	}
	fz := n.freeze()
	n.verify(fz, inputs)
	got, err := fz.Run(inputs...)
	if err != nil {
		n.t.Fatal(err)
	}
	want, err := float.m.Predict(inputs...)
	if err != nil {
		n.t.Fatal(err)
	}
	var noise, signal float64
	for i, w := range want[0] {
		noise += (float64(got[0][i]) - float64(w)) * (float64(got[0][i]) - float64(w))
		signal += float64(w) * float64(w)
	}
	return math.Sqrt(noise / signal)
}

// TestConcatKeepsGrids: a concatenation does not force its grid on the network's input or
// on what another layer computes with; steps of 1/127 in each leave about 0.01.
func TestConcatKeepsGrids(t *testing.T) {
	const limit = 0.02
	build := func(cfg qconfig.Config) (*net, *gorgonia.Node) {
		g := gorgonia.NewGraph()
		x := leaf(g, "x", 2, 3, 5, 5)
		small := conv("a", x, 4, 3)
		big := must(gorgonia.Mul(conv("big", small, 4, 1), gorgonia.NewConstant(float32(1000))))
		wide := conv("wide", must(gorgonia.Concat(1, big, x, small)), 2, 1)
		fine := conv("fine", x, 2, 3)
		return onlyPrepare(t, cfg, g, fine, wide), small
	}
	n, small := build(minMax())
	float, _ := build(qconfig.Config{Float: true})
	if e := n.relativeError(float, n.batch(1, 4)); e > limit {
		t.Errorf("relative error %.3f behind the input that the concatenation reads, want at most %v", e, limit)
	}
	if q := n.at(small); q == nil || q == n.at(n.m.plan.Net.Layers[len(n.m.plan.Net.Layers)-1].Out.Node) {
		t.Error("what a convolution reads has the grid of the concatenation")
	}
}

// attention is softmax(q·kᵀ/√d + mask)·v over keys.
func attention(t *testing.T, cfg qconfig.Config, keys int, mask *gorgonia.Node, g *gorgonia.ExprGraph) *net {
	const width = 8
	x := leaf(g, "x", keys, width)
	q, k, v := fc("q", x, width), fc("k", x, width), fc("v", x, width)
	s := must(gorgonia.Mul(must(gorgonia.Mul(q, must(gorgonia.Transpose(k)))), gorgonia.NewConstant(float32(1/math.Sqrt(width)))))
	if mask != nil {
		s = must(gorgonia.Add(s, mask))
	}
	return onlyPrepare(t, cfg, g, must(gorgonia.Mul(must(gorgonia.SoftMax(s)), v)))
}

// TestLongAttention: probabilities of many keys are all small, and their grid follows
// them; with settings that leave the softmax float they are float.
func TestLongAttention(t *testing.T) {
	const keys, limit = 600, 0.01 // four tensors with steps of 1/127 in a row
	float := attention(t, qconfig.Config{Float: true}, keys, nil, gorgonia.NewGraph())
	n := attention(t, minMax(), keys, nil, gorgonia.NewGraph())
	if e := n.relativeError(float, n.batch(1, 1)); e > limit {
		t.Errorf("relative error %.4f, want at most %v", e, limit)
	}
	free := minMax()
	free.Types = map[string]*qconfig.Layer{"softmax": nil}
	n = attention(t, free, keys, nil, gorgonia.NewGraph())
	for _, l := range n.m.plan.Layers {
		if l.Kind == "softmax" && n.m.plan.Families[l.Out] != nil {
			t.Error("settings that leave softmax float leave its results quantized")
		}
	}
	if e := n.relativeError(float, n.batch(1, 1)); e > limit {
		t.Errorf("float softmax: relative error %.4f, want at most %v", e, limit)
	}
}

// TestCausalAttention: behind a causal mask rows of one probability stand beside rows of
// hundreds, which no grid of 8 bits has both; they stay float, unless settings for softmax
// say otherwise.
func TestCausalAttention(t *testing.T) {
	const keys, limit = 400, 0.02
	build := func(cfg qconfig.Config) *net {
		g := gorgonia.NewGraph()
		data := make([]float32, keys*keys)
		for i := range data {
			if i%keys > i/keys {
				data[i] = -1e9
			}
		}
		return attention(t, cfg, keys, gorgonia.NodeFromAny(g, dense(data, keys, keys), gorgonia.WithName("mask")), g)
	}
	asked := minMax()
	asked.Types = map[string]*qconfig.Layer{"softmax": {Activations: qconfig.Tensor{Observer: "min_max"}}}
	float := build(qconfig.Config{Float: true})
	for _, c := range []struct {
		cfg    qconfig.Config
		floats bool
	}{{minMax(), true}, {asked, false}} {
		n := build(c.cfg)
		for _, l := range n.m.plan.Layers {
			if l.Kind == "softmax" && (n.m.plan.Families[l.Out] == nil) != c.floats {
				t.Errorf("probabilities of %d keys are float: %v, want %v", keys, !c.floats, c.floats)
			}
		}
		if e := n.relativeError(float, n.batch(1, 1)); c.floats && e > limit {
			t.Errorf("relative error %.4f, want at most %v", e, limit)
		}
	}
}

// TestMaskSetsNoRange: masked scores are a step inside of attention, whatever the mask.
func TestMaskSetsNoRange(t *testing.T) {
	const keys, limit = 12, 0.02
	for _, low := range []float32{-1e4, -1e9, -3.4e38, float32(math.Inf(-1))} {
		for _, how := range []string{"leaf", "constant", "input"} {
			build := func(cfg qconfig.Config) *net {
				g := gorgonia.NewGraph()
				data := make([]float32, keys*keys)
				for i := range data {
					if i%keys > i/keys {
						data[i] = low
					}
				}
				var mask *gorgonia.Node
				switch how {
				case "leaf":
					mask = gorgonia.NodeFromAny(g, dense(data, keys, keys), gorgonia.WithName("mask"))
				case "constant":
					mask = gorgonia.NewConstant(dense(data, keys, keys), gorgonia.WithName("mask"), gorgonia.In(g))
				default:
					mask = gorgonia.NodeFromAny(g, dense(data, keys, keys), gorgonia.WithName("mask"))
					cfg.Roles.Inputs = []string{"mask"}
				}
				return attention(t, cfg, keys, mask, g)
			}
			n, float := build(minMax()), build(qconfig.Config{Float: true})
			var inputs [][]float32
			for _, name := range n.m.Inputs() {
				if name == "mask" {
					inputs = append(inputs, nil) // its default
				} else {
					inputs = append(inputs, numbers(3, keys*8))
				}
			}
			inputs, err := n.m.plan.Fill(inputs)
			if err != nil {
				t.Fatal(err)
			}
			if how == "input" {
				for i, name := range n.m.Inputs() {
					if name == "mask" {
						inputs[i] = floats(t, byName(float.m.Graph(), "mask").Value())
					}
				}
			}
			if e := n.relativeError(float, inputs); e > limit {
				t.Errorf("%s of %v: relative error %.4f, want at most %v", how, low, e, limit)
			}
		}
	}
}
