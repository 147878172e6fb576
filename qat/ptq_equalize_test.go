package qat

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/internal/tune"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// equalizeRounding bounds how far equalizing moves the float network's result, relative
// to its largest element. Scaling rounds each parameter twice (fold and write, 2^-24
// each), and the sums' own roundings differ too: 8·2^-24 per layer, 6 layers, up to 36
// terms with little cancellation.
const equalizeRounding = 8 * 6 * 36 * 0x1p-24

func TestEqualizeKeepsTheFunction(t *testing.T) {
	g, y := allKinds()
	cfg := rounded(4, qconfig.PerTensor)
	cfg.Milestones = qconfig.MilestonesAt(qconfig.Never, qconfig.Never, qconfig.Never, qconfig.Never) // Predict is in float
	n := onlyPrepare(t, cfg, g, y)
	in := n.batch(1, 20)
	before, err := n.m.Predict(in...)
	fatal(t, err)
	r, err := n.m.Equalize(ptq.EqualizeOptions{})
	fatal(t, err)
	after, err := n.m.Predict(in...)
	fatal(t, err)
	largest := 0.0
	for _, v := range before[0] {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i, v := range before[0] {
		if d := math.Abs(float64(v) - float64(after[0][i])); d > equalizeRounding*largest {
			t.Fatalf("element %d was %v and is %v", i, v, after[0][i])
		}
	}
	var names []string
	for _, x := range r.Pairs {
		names = append(names, x.From+">"+x.To)
		if x.From == "c1" && !(x.After < x.Before) {
			t.Errorf("%s: spread %v before, %v after", x.From, x.Before, x.After)
		}
	}
	if got, want := strings.Join(names, " "), "c1>depthwise depthwise>grouped grouped>fc1 fc1>fc2"; got != want {
		t.Errorf("pairs %q, want %q", got, want)
	}
	if len(r.Broken) != 1 || r.Broken[0].Layer != "fc2" || !strings.Contains(r.Broken[0].Why, "leaves the network") {
		t.Errorf("broken: %+v", r.Broken)
	}
	if r.Sweeps < 2 || r.Sweeps >= tune.EqualizeSweeps {
		t.Errorf("%d sweeps", r.Sweeps)
	}
	g, y = allKinds()
	n = onlyPrepare(t, rounded(4, qconfig.PerTensor), g, y)
	n.calibrate()
	_, err = n.m.Equalize(ptq.EqualizeOptions{})
	fatal(t, err)
	if _, err := n.m.Freeze(); !errors.Is(err, fakequant.ErrNotCalibrated) {
		t.Errorf("ranges outlived Equalize: %v", err)
	}
	n.calibrate()
	n.verified()
}

// convergedTo: balance moved less than the tolerance of 1e-4 in its last sweep, so the
// two ranges, whose ratio is the square of that, differ by at most about twice it.
const convergedTo = 3e-4

// TestEqualizeBalances: in the end each channel has the same range on both sides.
func TestEqualizeBalances(t *testing.T) {
	g, y := allKinds()
	n := onlyPrepare(t, rounded(4, qconfig.PerTensor), g, y)
	_, err := n.m.Equalize(ptq.EqualizeOptions{})
	fatal(t, err)
	e, err := n.m.plan.Constants()
	fatal(t, err)
	pairs, _ := tune.FindPairs(n.m.plan)
	for _, pr := range pairs {
		a, err := tune.NewSide(e, pr.From)
		fatal(t, err)
		b, err := tune.NewSide(e, pr.To)
		fatal(t, err)
		behind := make([]float64, len(a.OutRanges()))
		b.Geo.Each(func(i, _, in int) { behind[pr.Owner[in]] = max(behind[pr.Owner[in]], math.Abs(b.W[i])) })
		for c, r := range a.OutRanges() {
			if math.Abs(r/behind[c]-1) > convergedTo {
				t.Errorf("%s > %s: channel %d: %v before, %v behind", pr.From.Name, pr.To.Name, c, r, behind[c])
			}
		}
	}
}

func TestEqualizeLowersTheError(t *testing.T) {
	noise := func(equalize bool) float64 {
		g, y := allKinds()
		n := onlyPrepare(t, rounded(4, qconfig.PerTensor), g, y)
		if equalize {
			_, err := n.m.Equalize(ptq.EqualizeOptions{})
			fatal(t, err)
		}
		n.calibrate()
		return n.noise(false)
	}
	if plain, equal := noise(false), noise(true); !(equal < plain/2) {
		t.Errorf("squared error %v before, %v after", plain, equal)
	}
}

// TestEqualizeBroken: what stands between two layers and breaks the pair.
func TestEqualizeBroken(t *testing.T) {
	sigmoid := func(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Sigmoid(x)) }
	for _, c := range []struct {
		name string
		mid  func(x *gorgonia.Node) *gorgonia.Node
		want string
	}{
		{"clip", func(x *gorgonia.Node) *gorgonia.Node { return apply(nn.Unary{Fn: "clip", Max: 6}, x) }, "clip (ReLU6)"},
		{"sigmoid", sigmoid, "sigmoid does not pass a scale on"},
		{"clip behind a pool", func(x *gorgonia.Node) *gorgonia.Node {
			return apply(nn.Unary{Fn: "clip", Max: 6}, apply(nn.GlobalAvgPool{}, x))
		}, "clip (ReLU6)"},
		{"two readers", func(x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Add(relu(x), sigmoid(x))) }, "2 layers read"},
		{"concat", func(x *gorgonia.Node) *gorgonia.Node {
			return apply(nn.Concat{Axis: 1}, x, leaf(x.Graph(), "x2", x.Shape()...))
		}, "does not keep channels apart"},
		{"rows mixed", func(x *gorgonia.Node) *gorgonia.Node {
			return apply(nn.Reshape{Shape: []int{-1, 4, 2, 2}}, x)
		}, "mixes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			h := c.mid(conv("c1", leaf(g, "x", 2, 2, 4, 4), 3, 3))
			if h.Shape()[0] != 2 && c.name != "rows mixed" {
				t.Fatal(h.Shape())
			}
			n := onlyPrepare(t, qconfig.Config{}, g, conv("c2", h, 2, 1))
			before := n.snapshot()
			r, err := n.m.Equalize(ptq.EqualizeOptions{})
			fatal(t, err)
			if len(r.Pairs) != 0 || len(r.Broken) != 2 || !strings.Contains(r.Broken[0].Why, c.want) {
				t.Errorf("%+v, want %q", r, c.want)
			}
			sameSnapshot(t, n.snapshot(), before)
		})
	}
}

// TestEqualizeSharedWeights: a weight that two layers read cannot be scaled.
func TestEqualizeSharedWeights(t *testing.T) {
	g := gorgonia.NewGraph()
	w := param(g, "w", 4, 4)
	x := leaf(g, "x", 3, 4)
	y := must(gorgonia.Mul(relu(must(gorgonia.Mul(x, w))), w))
	n := onlyPrepare(t, qconfig.Config{}, g, y)
	r, err := n.m.Equalize(ptq.EqualizeOptions{})
	fatal(t, err)
	if len(r.Pairs) != 0 || !strings.Contains(r.Broken[0].Why, "read by other layers") {
		t.Errorf("%+v", r)
	}
}

func TestEqualizeErrors(t *testing.T) {
	g, y := allKinds()
	n := onlyPrepare(t, qconfig.Config{}, g, y)
	_, err := n.m.Equalize(ptq.EqualizeOptions{MaxSweeps: -1})
	wantError(t, err, "MaxSweeps -1")
	_, err = n.m.Equalize(ptq.EqualizeOptions{Tolerance: math.NaN()})
	wantError(t, err, "Tolerance NaN")
	for _, p := range n.m.Learnables() {
		if p.Name() == "grouped.weight" {
			p.Value().Data().([]float32)[5] = float32(math.NaN())
		}
	}
	before := n.snapshot()
	_, err = n.m.Equalize(ptq.EqualizeOptions{})
	wantError(t, err, `"grouped"`, "element 5 is NaN")
	after := n.snapshot()
	sameBits(t, "parameter", after.params, before.params)
}
