package tune

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/internal/plan"
)

func TestQuadratic(t *testing.T) {
	const k = 12
	m := NewMoments(k)
	for i, v := range numbers(3, 40*k) {
		m.bq[i%k*vectorsAtOnce+i/k] = float64(v)
	}
	m.fill = 40
	m.finish()
	order := []int{3, 1, 0, 2, 11, 10, 9, 4, 5, 6, 8, 7}
	h, lambda := NewQuadratic(m, 0.01, order)
	largest := slices.Max(h.h)
	for i := range k {
		for j := range k {
			want := m.QQ[order[i]*k+order[j]]
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
	m := NewMoments(k)
	for i, v := range correlated(11, 60, k) {
		m.bq[i%k*vectorsAtOnce+i/k] = float64(v)
	}
	m.fill = 60
	m.finish()
	h, _ := NewQuadratic(m, 0.01, []int{0, 1, 2, 3, 4, 5, 6, 7, 8})
	w := numbers(2, k)
	c := &channel{h: h, nearest: w, group: make([]int, k), index: make([]int, k)}
	for _, v := range w {
		c.target = append(c.target, float64(v))
	}
	u := unit{channels: []*channel{c}, groups: []int{0}}
	for _, scheme := range []fakequant.Scheme{fakequant.Symmetric, fakequant.Affine} {
		s := &solver{spec: fakequant.Spec{Bits: 3, Scheme: scheme}, params: fakequant.Params{Scale: []float32{0.3}, ZeroPoint: []int32{0}},
			fit: func(s float32) float32 { return s }}
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
		nn.ConvTranspose{Stride: [2]int{2, 3}, Pad: [4]int{1, 0, 0, 2}, Dilation: [2]int{2, 1}, Groups: 2, Extra: [2]int{1, 2}},
		nn.MatMul{}, nn.MatMul{TransB: true}, nn.MatMul{TransA: true}, nn.MatMul{TransA: true, TransB: true},
	} {
		t.Run(fmt.Sprintf("%+v", op), func(t *testing.T) {
			xs, ws := []int{2, 4, 7, 6}, []int{8, 4, 2, 3}
			var out []int
			switch op := op.(type) {
			case nn.Conv:
				ws[1] /= op.Groups
			case nn.ConvTranspose:
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

// factorRounding bounds the error of a Cholesky factorization of a well-conditioned
// matrix of 12 rows in float64, relative to its largest element: k·2^-53 per element,
// with room.
const factorRounding = 12 * 16 * 0x1p-53

// numbers are n values in (-1, 1) from a linear congruential generator.
func numbers(seed uint32, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		seed = seed*1664525 + 1013904223
		out[i] = (float32(seed>>9)+0.5)/(1<<22) - 1
	}
	return out
}

// correlated are rows of three hidden numbers, mixed, with a tenth of noise.
func correlated(seed uint32, rows, width int) []float32 {
	mix, noise, hidden := numbers(7, 3*width), numbers(seed, rows*width), numbers(seed+1, 3*rows)
	x := make([]float32, rows*width)
	for i := range x {
		x[i] = 0.1 * noise[i]
		for k := range 3 {
			x[i] += float32(hidden[i/width*3+k] * mix[i%width*3+k])
		}
	}
	return x
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layerOf is a weighted layer apart from any network.
func layerOf(op nn.Op, x, w []int) *plan.Layer {
	return &plan.Layer{Op: op, In: []*graph.Value{{Shape: x}, {Shape: w}}, Weighted: true}
}
