package qat

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/nn"
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
		for _, granularity := range []qconfig.Granularity{qconfig.PerTensor, qconfig.PerChannel, qconfig.PerBlock} {
			for _, bits := range []int{3, 4} {
				for _, opt := range []RoundOptions{{Plain: true, KeepBias: true}, {Plain: true, Order: ByIndex}, {KeepBias: true}, {}} {
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
	_, err := n.m.Round(n.samples(), RoundOptions{})
	fatal(t, err)
	if after := n.noise(false); !(after < before/5) {
		t.Errorf("squared error %v to nearest, %v rounded", before, after)
	}
}

// TestPostTraining: all steps together, on a deep network; more than each alone.
func TestPostTraining(t *testing.T) {
	noise := func(opt *PTQOptions) float64 {
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
	plain, all := noise(nil), noise(&PTQOptions{})
	if !(all < plain/10) {
		t.Errorf("squared error %v plain, %v with all helpers", plain, all)
	}
	for _, opt := range []PTQOptions{{NoEqualize: true}, {NoBias: true}, {NoRound: true}, {NoEqualize: true, NoRound: true}, {NoRound: true, NoBias: true}} {
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
			_, err := n.m.Round(n.samples(), RoundOptions{})
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
	r, err := n.m.Round(BatchesOf(x), RoundOptions{Plain: true})
	fatal(t, err)
	if r[0].Dead != 36 { // centred, one example has no moments at all
		t.Errorf("%d dead columns", r[0].Dead)
	}
	r, err = n.m.Round(BatchesOf(x), RoundOptions{Plain: true, KeepBias: true})
	fatal(t, err)
	if r[0].Dead != 12 {
		t.Errorf("%d dead columns, want 12", r[0].Dead)
	}
	l := n.m.plan.tunable()[0]
	w, err := l.in[1].Floats()
	fatal(t, err)
	p, err := l.tuned.q.Params()
	fatal(t, err)
	layout, err := l.wq.Spec().Layout([]int{5, 36})
	fatal(t, err)
	nearest := make([]float32, len(w))
	fatal(t, fakequant.FakeQuantize(nearest, w, layout, l.wq.Spec(), p))
	for i, v := range nearest {
		if i%36%3 == 0 && l.tuned.weights[i] != v {
			t.Errorf("weight %d is %v, nearest is %v", i, l.tuned.weights[i], v)
		}
	}
	n.verify(n.freeze(), [][]float32{x})
}

// TestRoundSkipsHopeless: sums that hold no numbers leave a layer as it is.
func TestRoundSkipsHopeless(t *testing.T) {
	m := newMoments(2)
	m.qq = []float64{math.NaN(), 0, 0, 1}
	if h, _ := newQuadratic(m, 0.01, []int{0, 1}); h != nil {
		t.Error("a matrix with NaN was factored")
	}
	m.qq = []float64{1, 3, 3, 1} // indefinite: 2 on the diagonal is not enough, 11 is
	h, lambda := newQuadratic(m, 0.1, []int{0, 1})
	if h == nil || lambda != 10 {
		t.Errorf("%v, damping %v, want 10", h, lambda)
	}
}

// factorRounding bounds the error of a Cholesky factorization of a well-conditioned
// matrix of 12 rows in float64, relative to its largest element: k·2^-53 per element,
// with room.
const factorRounding = 12 * 16 * 0x1p-53

func TestQuadratic(t *testing.T) {
	const k = 12
	m := newMoments(k)
	for i, v := range numbers(3, 40*k) {
		m.bq[i%k*vectorsAtOnce+i/k] = float64(v)
	}
	m.fill = 40
	m.finish(false)
	order := []int{3, 1, 0, 2, 11, 10, 9, 4, 5, 6, 8, 7}
	h, lambda := newQuadratic(m, 0.01, order)
	largest := slices.Max(h.h)
	for i := range k {
		for j := range k {
			want := m.qq[order[i]*k+order[j]]
			if i == j {
				want += lambda
			}
			got := 0.0
			for x := range k { // (LᵀL)[i,j]
				got += h.l[x*k+i] * h.l[x*k+j]
			}
			if math.Abs(got-want) > factorRounding*largest {
				t.Fatalf("LᵀL[%d,%d] = %v, want %v", i, j, got, want)
			}
			if j > i && h.l[i*k+j] != 0 {
				t.Fatalf("L[%d,%d] is above the diagonal", i, j)
			}
		}
	}
	b, y := make([]float64, k), make([]float64, k)
	for i := range b {
		b[i] = float64(i) - 4
	}
	h.times(y, h.solve(slices.Clone(b)))
	for i := range b {
		if math.Abs(y[i]-b[i]) > 1000*factorRounding*largest { // the condition number is below 1000
			t.Errorf("H·x[%d] = %v, want %v", i, y[i], b[i])
		}
	}
}

// TestSolveCosts: each step's cost is that of the codes it returns, the codes and
// scales give the values, and no later step is worse.
func TestSolveCosts(t *testing.T) {
	const k = 9
	m := newMoments(k)
	for i, v := range correlated(11, 60, k) {
		m.bq[i%k*vectorsAtOnce+i/k] = float64(v)
	}
	m.fill = 60
	m.finish(false)
	h, _ := newQuadratic(m, 0.01, []int{0, 1, 2, 3, 4, 5, 6, 7, 8})
	w := numbers(2, k)
	c := &channel{h: h, nearest: w, group: make([]int, k), index: make([]int, k)}
	for _, v := range w {
		c.target = append(c.target, float64(v))
	}
	u := unit{channels: []*channel{c}, groups: []int{0}}
	for _, scheme := range []fakequant.Scheme{fakequant.Symmetric, fakequant.Affine} {
		s := &solver{spec: fakequant.Spec{Bits: 3, Scheme: scheme}, params: fakequant.Params{Scale: []float32{0.3}, ZeroPoint: []int32{0}}}
		if scheme == fakequant.Affine {
			s.params.ZeroPoint[0] = -1
		}
		near, fed, best := s.nearest(u), s.feedback(u, s.scales(u, 1)), s.solve(u)
		down := fed
		s.descend(u, &down)
		for name, a := range map[string]answer{"nearest": near, "feedback": fed, "descent": down, "best": best} {
			e := c.errorOf(a.values[0])
			if want := h.cost(e); math.Abs(a.cost-want) > 1e-9*near.cost {
				t.Errorf("%s: cost %v, its codes cost %v", name, a.cost, want)
			}
			for j, q := range a.codes[0] {
				if v := float64(float32(q) * a.scales[0]); v != a.values[0][j] {
					t.Errorf("%s: code %d with scale %v is %v, not %v", name, q, a.scales[0], v, a.values[0][j])
				}
				if z := s.params.ZeroPoint[0]; q+z < -4 || q+z > 3 {
					t.Errorf("%s: code %d is out of range", name, q+z)
				}
			}
		}
		if !(fed.cost < near.cost && down.cost <= fed.cost+1e-9*near.cost && best.cost < down.cost) {
			t.Errorf("%v: costs %v nearest, %v feedback, %v descent, %v best", scheme, near.cost, fed.cost, down.cost, best.cost)
		}
	}
}

// TestRows: patches times weights is the convolution, exactly, on small integers.
func TestRows(t *testing.T) {
	ints := func(seed uint32, n int) []float32 {
		x := numbers(seed, n)
		for i := range x {
			x[i] = float32(int(x[i] * 8))
		}
		return x
	}
	for _, op := range []nn.Op{
		nn.Conv{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1},
		nn.Conv{Stride: [2]int{2, 1}, Pad: [4]int{1, 0, 2, 1}, Dilation: [2]int{1, 2}, Groups: 2},
		nn.Conv{Stride: [2]int{3, 2}, Pad: [4]int{0, 2, 0, 2}, Dilation: [2]int{2, 1}, Groups: 4},
		nn.MatMul{}, nn.MatMul{TransB: true}, nn.MatMul{TransA: true}, nn.MatMul{TransA: true, TransB: true},
	} {
		t.Run(fmt.Sprintf("%+v", op), func(t *testing.T) {
			xs, ws := []int{2, 4, 7, 6}, []int{8, 4, 2, 3}
			var out []int
			switch op := op.(type) {
			case nn.Conv:
				ws[1] /= op.Groups
			case nn.MatMul:
				xs, ws = []int{3, 5}, []int{5, 4}
				if op.TransA {
					xs = []int{5, 3}
				}
				if op.TransB {
					ws = []int{4, 5}
				}
			}
			out, err := nn.OutShape(op, [][]int{xs, ws})
			fatal(t, err)
			x, w := ints(1, size(xs)), ints(2, size(ws))
			y := nn.Tensor[float32]{Shape: out, Data: make([]float32, size(out))}
			fatal(t, nn.Forward(op, y, []nn.Tensor[float32]{{Shape: xs, Data: x}, {Shape: ws, Data: w}}))
			l := layerOf(op, xs, ws)
			r := rowsOf(l, xs, 0)
			if want := len(y.Data) / r.geo.out; r.count() != want {
				t.Fatalf("%d vectors, want %d", r.count(), want)
			}
			patch := make([]float64, r.geo.cols)
			for k := range r.geo.out {
				for i := range r.count() {
					r.fill(patch, x, k/(r.geo.out/r.geo.groups), i)
					got := 0.0
					for j, v := range patch {
						got += v * float64(w[r.geo.at(k, j)])
					}
					at := (i/r.perImage*r.geo.out+k)*r.perImage + i%r.perImage
					if got != float64(y.Data[at]) {
						t.Fatalf("output channel %d, vector %d: %v, want %v", k, i, got, y.Data[at])
					}
				}
			}
		})
	}
}

// TestRowsLimit: few positions, but every row and column of the image among them.
func TestRowsLimit(t *testing.T) {
	op := nn.Conv{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1}
	r := rowsOf(layerOf(op, []int{1, 1, 40, 30}, []int{1, 1, 1, 1}), []int{1, 1, 40, 30}, 100)
	if r.count() > 100 || r.count() < 60 {
		t.Errorf("%d positions, want at most 100 and not many fewer", r.count())
	}
	columns, lines := map[int]bool{}, map[int]bool{}
	for i := range r.count() {
		columns[i*r.stride%30], lines[i*r.stride/30] = true, true
	}
	if len(columns) != 30 || len(lines) != 40 {
		t.Errorf("%d of 30 columns and %d of 40 rows", len(columns), len(lines))
	}
}
