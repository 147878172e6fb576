package qat

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/internal/tune"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// oneLayer are networks of one weighted layer, on inputs with 36 or 2x6x6 elements a row.
var oneLayer = map[string]func() (*gorgonia.ExprGraph, *gorgonia.Node){
	"linear": func() (*gorgonia.ExprGraph, *gorgonia.Node) {
		g := gorgonia.NewGraph()
		return g, linear("a", leaf(g, "x", 3, 36), 5)
	},
	"matrix": func() (*gorgonia.ExprGraph, *gorgonia.Node) {
		g := gorgonia.NewGraph()
		return g, fc("a", leaf(g, "x", 3, 36), 5)
	},
	"convolution with batch normalisation": func() (*gorgonia.ExprGraph, *gorgonia.Node) {
		g := gorgonia.NewGraph()
		return g, batchNorm("bn", conv("a", leaf(g, "x", 3, 2, 6, 6), 4, 3))
	},
	"depthwise": func() (*gorgonia.ExprGraph, *gorgonia.Node) {
		g := gorgonia.NewGraph()
		return g, groupConv("a", leaf(g, "x", 3, 2, 6, 6), 2, 2)
	},
	"grouped": func() (*gorgonia.ExprGraph, *gorgonia.Node) {
		g := gorgonia.NewGraph()
		return g, groupConv("a", leaf(g, "x", 3, 4, 3, 3), 6, 2)
	},
}

// TestRound: against rounding to nearest, the error of the layer's result falls, for
// every kind of layer, granularity, width and method, and the network that ships is
// the one measured.
func TestRound(t *testing.T) {
	for name, build := range oneLayer {
		for _, granularity := range []qconfig.GranularitySetting{qconfig.PerTensor, qconfig.PerChannel, qconfig.PerBlock} {
			for _, bits := range []int{3, 4} {
				for _, opt := range []ptq.RoundOptions{{Plain: true, KeepBias: true}, {Plain: true, Order: ptq.ByIndex}, {KeepBias: true}, {}} {
					t.Run(fmt.Sprintf("%s/%s/%d bits/%+v", name, granularity, bits, opt), func(t *testing.T) {
						g, y := build()
						n := onlyPrepare(t, rounded(bits, granularity), g, y)
						n.calibrate()
						params := n.snapshot()
						before := n.noise(!opt.KeepBias)
						report, err := n.m.Round(n.samples(), opt)
						fatal(t, err)
						after := n.noise(!opt.KeepBias)
						// Few weights on pixels that hardly hang together leave the plain method no
						// choice; then it keeps the nearest codes.
						strict := !opt.Plain || name == "linear" || name == "matrix"
						if !(after < before || !strict && after == before) {
							t.Errorf("squared error %v to nearest, %v rounded", before, after)
						}
						if !opt.KeepBias {
							if all := n.noise(false); !(all < after*outputRounding) {
								t.Errorf("squared error %v, %v of it without the means: the bias was not corrected", all, after)
							}
						}
						if len(report) != 1 || !(report[0].Rounded < report[0].Nearest || !strict && report[0].Rounded == report[0].Nearest) || report[0].Note != "" {
							t.Errorf("report %+v", report)
						}
						sameSnapshot(t, n.snapshot(), params)
						n.verified()
					})
				}
			}
		}
	}
}

// outputRounding is how much a mean error adds that the bias does not see: that of the
// result's own rounding to 8 bits.
const outputRounding = 1.02

// TestRoundMuchBetter: on data of three dimensions, 36 weights leave so much freedom
// that the error falls to a small part.
func TestRoundMuchBetter(t *testing.T) {
	g, y := oneLayer["linear"]()
	n := onlyPrepare(t, rounded(4, qconfig.PerChannel), g, y)
	n.calibrate()
	before := n.noise(false)
	_, err := n.m.Round(n.samples(), ptq.RoundOptions{})
	fatal(t, err)
	if after := n.noise(false); !(after < before/5) {
		t.Errorf("squared error %v to nearest, %v rounded", before, after)
	}
}

// TestPostTraining: all steps together, on a deep network; more than each alone.
func TestPostTraining(t *testing.T) {
	noise := func(opt *ptq.Options) float64 {
		g, y := allKinds()
		n := onlyPrepare(t, rounded(4, qconfig.PerTensor), g, y)
		if opt == nil {
			n.calibrate()
		} else {
			r, err := n.m.PostTraining(n.samples(), *opt)
			fatal(t, err)
			if r.Batches != 3 || len(r.Rounded) > 0 == opt.NoRound || len(r.Corrected) > 0 != (opt.NoRound && !opt.NoBias) || len(r.Equalized.Pairs) > 0 == opt.NoEqualize {
				t.Errorf("%+v: report %+v", *opt, r)
			}
			if r.String() == "" {
				t.Error("no tables")
			}
		}
		n.verified()
		return n.noise(false)
	}
	plain, all := noise(nil), noise(&ptq.Options{})
	if !(all < plain/10) {
		t.Errorf("squared error %v plain, %v with all helpers", plain, all)
	}
	for _, opt := range []ptq.Options{{NoEqualize: true}, {NoBias: true}, {NoRound: true}, {NoEqualize: true, NoRound: true}, {NoRound: true, NoBias: true}} {
		if part := noise(&opt); !(all < part && part < plain) {
			t.Errorf("%+v: squared error %v, %v plain, %v with all", opt, part, plain, all)
		}
	}
}

// TestRoundRepeats: the same bytes each time, with any number of processors, and
// whatever was found before.
func TestRoundRepeats(t *testing.T) {
	file := func(procs, times int) []byte {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		g, y := allKinds()
		n := onlyPrepare(t, rounded(3, qconfig.PerChannel), g, y)
		n.calibrate()
		for range times {
			_, err := n.m.Round(n.samples(), ptq.RoundOptions{})
			fatal(t, err)
			_, err = n.m.CorrectBias(n.samples())
			fatal(t, err)
		}
		var b bytes.Buffer
		fatal(t, n.freeze().Write(&b))
		return b.Bytes()
	}
	want := file(1, 1)
	if !bytes.Equal(file(4, 1), want) {
		t.Error("other bytes with 4 processors")
	}
	if !bytes.Equal(file(1, 2), want) {
		t.Error("other bytes the second time")
	}
}

// TestRoundDeadColumns: columns that no data reached are rounded to nearest, and one
// example is enough for a finite result.
func TestRoundDeadColumns(t *testing.T) {
	g, y := oneLayer["linear"]()
	n := onlyPrepare(t, rounded(8, qconfig.PerTensor), g, y)
	x := numbers(5, 36)
	for i := range x {
		if i%3 == 0 {
			x[i] = 0
		}
	}
	fatal(t, n.m.Calibrate(x))
	r, err := n.m.Round(ptq.DataOf(x), ptq.RoundOptions{Plain: true})
	fatal(t, err)
	if r[0].Dead != 36 { // centred, one example has no moments at all
		t.Errorf("%d dead columns", r[0].Dead)
	}
	r, err = n.m.Round(ptq.DataOf(x), ptq.RoundOptions{Plain: true, KeepBias: true})
	fatal(t, err)
	if r[0].Dead != 12 {
		t.Errorf("%d dead columns, want 12", r[0].Dead)
	}
	l := n.m.plan.Tunable()[0]
	w, err := l.In[1].Floats()
	fatal(t, err)
	p, err := l.Tuned.Quantizer.Params()
	fatal(t, err)
	layout, err := l.WeightQuantizer.Spec().Layout([]int{5, 36})
	fatal(t, err)
	nearest := make([]float32, len(w))
	fatal(t, fakequant.FakeQuantize(nearest, w, layout, l.WeightQuantizer.Spec(), p))
	for i, v := range nearest {
		if i%36%3 == 0 && l.Tuned.Weights[i] != v {
			t.Errorf("weight %d is %v, nearest is %v", i, l.Tuned.Weights[i], v)
		}
	}
	n.verify(n.freeze(), [][]float32{x})
}

// TestRoundSkipsHopeless: sums that hold no numbers leave a layer as it is.
func TestRoundSkipsHopeless(t *testing.T) {
	m := tune.NewMoments(2)
	m.QQ = []float64{math.NaN(), 0, 0, 1}
	if h, _ := tune.NewQuadratic(m, 0.01, []int{0, 1}); h != nil {
		t.Error("a matrix with NaN was factored")
	}
	m.QQ = []float64{1, 3, 3, 1} // indefinite: 2 on the diagonal is not enough, 11 is
	h, lambda := tune.NewQuadratic(m, 0.1, []int{0, 1})
	if h == nil || lambda != 10 {
		t.Errorf("%v, damping %v, want 10", h, lambda)
	}
}

// TestRoundFewSamples: a layer that sees few vectors, as those behind a global pool do,
// is rounded no worse than to nearest for the samples that were not given.
func TestRoundFewSamples(t *testing.T) {
	const few, width, others = 8, 36, 400
	x := numbers(5, (few+others)*width)
	given, unseen := ptq.DataOf(x[:few*width]), x[few*width:]
	for _, bits := range []int{3, 4, 8} {
		noise := func(round bool) (float64, []ptq.RoundedLayer) {
			g, y := oneLayer["linear"]()
			n := onlyPrepare(t, rounded(bits, qconfig.PerChannel), g, y)
			var want [][]float32
			fatal(t, n.m.plan.InFloat(func() (err error) { want, err = n.m.Predict(unseen); return err }))
			r, err := n.m.PostTraining(given, ptq.Options{NoRound: !round, NoBias: !round, NoEqualize: true})
			fatal(t, err)
			got, err := n.m.Predict(unseen)
			fatal(t, err)
			sum := 0.0
			for i, v := range want[0] {
				d := float64(v - got[0][i])
				sum += d * d
			}
			return sum, r.Rounded
		}
		nearest, _ := noise(false)
		rounded, rows := noise(true)
		if !(rounded <= nearest) {
			t.Errorf("%d bits: squared error on unseen samples %v to nearest, %v rounded: %+v", bits, nearest, rounded, rows)
		}
	}
}
