package observers

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
)

// apart hides what an observer knows beforehand, so that a site observes and quantizes
// in two passes.
type apart struct{ fakequant.RangeObserver }

func (o apart) Fresh() fakequant.Observer {
	return apart{o.RangeObserver.Fresh().(fakequant.RangeObserver)}
}

// TestOnePass compares a pass that observes and quantizes group by group with one that
// does the one after the other.
func TestOnePass(t *testing.T) {
	channels := fakequant.Spec{Granularity: fakequant.PerChannel}
	narrow, few, affine, unsigned, blocks, columns := channels, channels, channels, channels, channels, channels
	narrow.NarrowRange, few.Bits, affine.Scheme, unsigned.Unsigned, columns.Axis = true, 4, fakequant.Affine, true, 1
	blocks.Granularity, blocks.Axis, blocks.BlockSize = fakequant.PerBlock, 1, 10
	for _, kind := range []string{KindMinMax, KindLatest, KindMovingAverage, KindEMA} {
		for _, spec := range []fakequant.Spec{{}, channels, narrow, few, affine, unsigned, blocks, columns} {
			for _, nonNegative := range []bool{false, true} {
				t.Run(fmt.Sprint(kind, spec, nonNegative), func(t *testing.T) { onePass(t, kind, spec, nonNegative) })
			}
		}
	}
}

func onePass(t *testing.T, kind string, spec fakequant.Spec, nonNegative bool) {
	shape := []int{6, 37}
	n := 6 * 37
	r := rand.New(rand.NewPCG(61, 62))
	var sites [2]*fakequant.Site
	for i := range sites {
		var obs fakequant.Observer = mustNew(t, kind)
		if i == 1 {
			obs = apart{obs.(fakequant.RangeObserver)}
		}
		q, err := fakequant.New("q", spec, obs, nonNegative)
		if err != nil {
			t.Fatal(err)
		}
		q.SetPhase(fakequant.ObservingAndQuantizing)
		sites[i] = q.NewSite()
	}
	for round := range 8 {
		x, dy := make([]float32, n), make([]float32, n)
		for i := range x {
			x[i], dy[i] = float32(r.NormFloat64())*(1+float32(round%3)), float32(i+1)
		}
		switch round {
		case 3:
			x[100] = float32(math.NaN())
		case 4:
			x[50] = float32(math.Inf(-1))
		case 5:
			for i := range 37 {
				x[i] = 0
			}
		}
		var y, dx, in [2][]float32
		var failed [2]error
		for i, s := range sites {
			y[i], dx[i], in[i] = make([]float32, n), make([]float32, n), slices.Clone(dy)
			if failed[i] = s.Forward(y[i], x, shape); failed[i] != nil {
				continue
			}
			if codes, ok := s.Codes(y[i]); ok {
				checkCodes(t, codes, x, shape, s)
			} else if i == 0 && round > 5 && spec.Scheme == fakequant.Symmetric && spec.Granularity == fakequant.PerChannel &&
				spec.Axis == 0 && !spec.Unsigned {
				t.Errorf("round %d: no codes", round)
			}
			if err := errors.Join(s.Backward(dx[i], x, dy, shape), s.Backward(in[i], x, in[i], shape)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(dx[i], in[i]) {
				t.Errorf("round %d: another gradient in place", round)
			}
		}
		if round == 3 {
			if fmt.Sprint(failed[0]) != fmt.Sprint(failed[1]) || !errors.Is(failed[0], fakequant.ErrData) {
				t.Errorf("NaN: errors %v and %v", failed[0], failed[1])
			}
		} else if err := errors.Join(failed[:]...); err != nil {
			t.Fatal(err)
		} else if !slices.Equal(y[0], y[1]) || !slices.Equal(dx[0], dx[1]) {
			t.Errorf("round %d: other values or another gradient", round)
		}
		a, err := sites[0].Quantizer().State()
		b, err2 := sites[1].Quantizer().State()
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if got, want := string(a.Observers[0]), string(b.Observers[0]); got != want || !slices.Equal(a.Params.Scale, b.Params.Scale) ||
			!slices.Equal(a.Params.ZeroPoint, b.Params.ZeroPoint) {
			t.Errorf("round %d: observer %s, want %s; parameters %v, want %v", round, got, want, a.Params, b.Params)
		}
	}
}

func checkCodes(t *testing.T, codes []int8, x []float32, shape []int, s *fakequant.Site) {
	t.Helper()
	spec := s.Quantizer().Spec()
	l, err := spec.Layout(shape)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := s.Used()
	want := make([]int16, len(x))
	if err := fakequant.Centred(want, x, l, spec, p); err != nil {
		t.Fatal(err)
	}
	for i, q := range codes {
		if int16(q) != want[i] {
			t.Fatalf("code %d is %d, want %d", i, q, want[i])
		}
	}
}

// TestNext: what an observer foresees comes true, and taking it is observing it.
func TestNext(t *testing.T) {
	for _, kind := range []string{KindMinMax, KindLatest, KindMovingAverage, KindEMA} {
		o, other := mustNew(t, kind).(fakequant.GroupObserver), mustNew(t, kind).(fakequant.GroupObserver)
		for round, x := range [][2][]float32{{{-1, 2}, {3, 4}}, {{-3, 0}, {5, 1}}, {{2, -9}, {2, 8}}, {{1, 1}, {1, 7}}} {
			a, b, _ := o.Range()
			oldLo, oldHi := slices.Clone(a), slices.Clone(b)
			if untaken, _, err := o.Next(2); err != nil {
				t.Fatal(err)
			} else {
				untaken(0, -100, 100)
			}
			next, take, err := o.Next(2)
			if err != nil {
				t.Fatal(err)
			}
			var lo, hi [2]float32
			for i := range lo {
				lo[i], hi[i] = next(i, x[0][i], x[1][i])
			}
			if a, b, _ := o.Range(); !slices.Equal(a, oldLo) || !slices.Equal(b, oldHi) {
				t.Errorf("%s: range changed before it was taken", kind)
			}
			take()
			if err := other.ObserveRange(x[0], x[1]); err != nil {
				t.Fatal(err)
			}
			a, b, _ = o.Range()
			c, d, _ := other.Range()
			if !slices.Equal(a, lo[:]) || !slices.Equal(b, hi[:]) || !slices.Equal(a, c) || !slices.Equal(b, d) {
				t.Errorf("%s: range %v to %v, foreseen %v to %v, observed %v to %v", kind, a, b, lo, hi, c, d)
			}
			if o.(interface{ Batches() uint64 }).Batches() != uint64(round+1) {
				t.Errorf("%s: wrong number of batches", kind)
			}
		}
		if _, _, err := o.Next(3); !errors.Is(err, fakequant.ErrData) {
			t.Errorf("%s: 3 groups after 2: %v", kind, err)
		}
	}
	for _, o := range []fakequant.GroupObserver{&MovingAverage{Constant: 2}, &EMA{Ratio: -1}} {
		if _, _, err := o.Next(1); !errors.Is(err, ErrSettings) {
			t.Errorf("%T: %v", o, err)
		}
	}
}
