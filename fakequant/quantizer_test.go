package fakequant

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func newQuantizer(t testing.TB, s Spec, obs Observer) *Quantizer {
	t.Helper()
	q, err := New("conv1.output", s, obs, false)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func state(t testing.TB, q *Quantizer) State {
	t.Helper()
	st, err := q.State()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func forward(t testing.TB, s *Site, x []float32) []float32 {
	t.Helper()
	y := make([]float32, len(x))
	if err := s.Forward(y, x, []int{len(x)}); err != nil {
		t.Fatal(err)
	}
	return y
}

// intGrid has scale 1: range (-127.5, 127.5) gives int8 the integers.
var intGrid = []float32{-127.5, 127.5}

// Each phase: does it move the range, does it round, is the gradient masked? And
// what the other entry points of a site do in it.
func TestPhases(t *testing.T) {
	tests := []struct {
		phase                Phase
		observes, quantizes  bool
		calibrates           bool // Calibrate moves the range
		text                 string
		memorylessFollowsOwn bool // Forward of a memoryless one follows the tensor
	}{
		{Off, false, false, true, "off", false},
		{Observing, true, false, true, "observing", false},
		{Quantizing, false, true, true, "quantizing", true},
		{ObservingAndQuantizing, true, true, true, "observing+quantizing", true},
		{Frozen, false, true, false, "frozen", false},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			if tt.phase.Observes() != tt.observes || tt.phase.Quantizes() != tt.quantizes || tt.phase.String() != tt.text {
				t.Errorf("Observes %v, Quantizes %v, %v", tt.phase.Observes(), tt.phase.Quantizes(), tt.phase)
			}
			q := newQuantizer(t, Spec{}, &recorder{})
			site := q.NewSite()
			q.SetPhase(Observing)
			forward(t, site, intGrid)
			q.SetPhase(tt.phase)
			before := state(t, q)
			x := []float32{0.25, 255} // doubles the range, so scale 2
			y := forward(t, site, x)
			_, used := site.Used()
			if moved := !reflect.DeepEqual(before, state(t, q)); moved != tt.observes {
				t.Errorf("state moved: %v, want %v", moved, tt.observes)
			}
			want := x
			switch {
			case tt.quantizes && tt.observes:
				want = []float32{0, 254} // the batch counts in its own scale: 127.5 -> 127 steps of 2
			case tt.quantizes:
				want = []float32{0, 127}
			}
			if !slices.Equal(y, want) || used != tt.quantizes {
				t.Errorf("%v became %v (used %v), want %v", x, y, used, want)
			}
			dx := make([]float32, 2)
			if err := site.Backward(dx, x, []float32{3, 4}, []int{2}); err != nil {
				t.Fatal(err)
			}
			wantDX := []float32{3, 4}
			if tt.quantizes {
				wantDX[1] = 0 // 127.5 steps round to 128, 255 steps are far outside
			}
			if !slices.Equal(dx, wantDX) {
				t.Errorf("gradient %v, want %v", dx, wantDX)
			}
			before = state(t, q)
			if err := site.Eval(y, []float32{1e4, 1e4}, []int{2}); err != nil {
				t.Fatal(err)
			}
			if err := site.Quantize(y, []float32{1e4, 0}, []int{2}); err != nil || y[0] > 1e3 {
				t.Errorf("Quantize: %v, %v", y, err)
			}
			if !reflect.DeepEqual(before, state(t, q)) {
				t.Error("Eval or Quantize moved the state")
			}
			if err := site.Calibrate(y, []float32{1e4, 0.1}, []int{2}); err != nil || y[1] != 0.1 {
				t.Errorf("Calibrate: %v, %v", y, err)
			}
			if moved := !reflect.DeepEqual(before, state(t, q)); moved != tt.calibrates {
				t.Errorf("Calibrate moved the state: %v, want %v", moved, tt.calibrates)
			}
			checkMemoryless(t, tt.phase, tt.memorylessFollowsOwn)
		})
	}
}

func checkMemoryless(t *testing.T, phase Phase, follows bool) {
	t.Helper()
	q := newQuantizer(t, Spec{NarrowRange: true}, &recorder{Latest: true})
	site := q.NewSite()
	q.SetPhase(Observing)
	forward(t, site, []float32{-127, 127})
	q.SetPhase(phase)
	y := forward(t, site, []float32{0.3, 12.7})
	p, used := site.Used()
	if used != phase.Quantizes() {
		t.Fatalf("used %v", used)
	}
	if used && (p.Scale[0] == 1) == follows {
		t.Errorf("memoryless: scale %v, %v", p.Scale[0], y)
	}
}

func TestSwitching(t *testing.T) {
	q := newQuantizer(t, Spec{}, &recorder{})
	site := q.NewSite()
	x := []float32{0.4}
	// The range (0, 0.4) has scale 0.4/127.5; 0.4 saturates at 127 steps.
	for _, step := range []struct {
		phase Phase
		want  float32
	}{{Off, 0.4}, {Observing, 0.4}, {Off, 0.4}, {Quantizing, 0.39843136}, {Off, 0.4}, {Frozen, 0.39843136}} {
		q.SetPhase(step.phase)
		if y := forward(t, site, x); y[0] != step.want {
			t.Errorf("%v: %v, want %v", step.phase, y[0], step.want)
		}
	}
}

func TestNotCalibrated(t *testing.T) {
	q := newQuantizer(t, Spec{}, &recorder{})
	site := q.NewSite()
	y := []float32{7}
	for _, phase := range []Phase{Quantizing, Frozen} {
		q.SetPhase(phase)
		for name, err := range map[string]error{
			"Forward": site.Forward(y, []float32{1}, []int{1}),
			"Eval":    site.Eval(y, []float32{1}, []int{1}),
			"Params":  second(q.Params()),
		} {
			if !errors.Is(err, ErrNotCalibrated) || !strings.Contains(err.Error(), "conv1.output") {
				t.Errorf("%v %s: %v, want ErrNotCalibrated with the name", phase, name, err)
			}
		}
	}
	if y[0] != 7 {
		t.Error("the result was written")
	}
	if _, _, ok := q.Range(); ok {
		t.Error("a range without data")
	}
}

func second[T any](_ T, err error) error { return err }

func TestBadInputChangesNothing(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	q := newQuantizer(t, Spec{Granularity: PerChannel}, &recorder{})
	site := q.NewSite()
	q.SetPhase(ObservingAndQuantizing)
	y := make([]float32, 4)
	if err := site.Forward(y, []float32{1, 2, 3, 4}, []int{2, 2}); err != nil {
		t.Fatal(err)
	}
	before := state(t, q)
	tests := []struct {
		name  string
		x     []float32
		shape []int
		want  error
	}{
		{"NaN", []float32{99, 99, nan, 99}, []int{2, 2}, ErrData},
		{"nothing finite", []float32{99, 99, inf, inf}, []int{2, 2}, ErrData},
		{"other channels", []float32{99, 99, 99, 99}, []int{4, 1}, ErrData},
		{"too few", []float32{99, 99}, []int{2, 2}, ErrData},
		{"empty", nil, []int{0, 2}, ErrSpec},
		{"scalar", []float32{1}, nil, ErrSpec},
	}
	for _, tt := range tests {
		err := site.Forward(y, tt.x, tt.shape)
		var layer *LayerError
		if !errors.Is(err, tt.want) || !errors.As(err, &layer) || layer.Layer != "conv1.output" {
			t.Errorf("%s: %v, want %v with the name", tt.name, err, tt.want)
		}
		if !reflect.DeepEqual(before, state(t, q)) {
			t.Fatalf("%s: the state moved", tt.name)
		}
	}
	q.SetPhase(Off)
	if err := site.Forward(y[:3], y, []int{2, 2}); !errors.Is(err, ErrData) {
		t.Errorf("off, short result: %v, want ErrData", err)
	}
	if err := site.Backward(y[:3], y, y, []int{2, 2}); !errors.Is(err, ErrData) {
		t.Errorf("off, short gradient: %v, want ErrData", err)
	}
}

// A NaN while quantizing only is no error: it becomes quant_min, without gradient.
func TestNaNWhileQuantizing(t *testing.T) {
	q := newQuantizer(t, Spec{}, &recorder{})
	site := q.NewSite()
	if err := q.SetParams(Params{[]float32{1}, []int32{0}}); err != nil {
		t.Fatal(err)
	}
	q.SetPhase(Quantizing)
	x := []float32{float32(math.NaN()), 1}
	if y := forward(t, site, x); y[0] != -128 || y[1] != 1 {
		t.Errorf("got %v", y)
	}
	dx := make([]float32, 2)
	if err := site.Backward(dx, x, []float32{5, 5}, []int{2}); err != nil || dx[0] != 0 || dx[1] != 5 {
		t.Errorf("gradient %v, %v", dx, err)
	}
}

func TestSitesShareTheUnion(t *testing.T) {
	q := newQuantizer(t, Spec{}, &recorder{})
	a, b := q.NewSite(), q.NewSite()
	if a.Quantizer() != q || b.Quantizer() != q {
		t.Fatal("a site does not know its quantizer")
	}
	q.SetPhase(Observing)
	forward(t, a, []float32{-1, 127.5})
	forward(t, b, []float32{-255, 1})
	lo, hi, ok := q.Range()
	if !ok || lo[0] != -255 || hi[0] != 127.5 {
		t.Errorf("union (%v, %v)", lo, hi)
	}
	lo[0] = 0 // a copy
	if again, _, _ := q.Range(); again[0] != -255 {
		t.Error("Range shares memory")
	}
	q.SetPhase(Quantizing)
	for _, s := range []*Site{a, b} {
		if y := forward(t, s, []float32{3.2}); y[0] != 4 {
			t.Errorf("3.2 became %v, want 4 with scale 2", y[0])
		}
	}
	if p, ok := q.Used(); !ok || p.Scale[0] != 2 {
		t.Errorf("Used: %v, %v", p, ok)
	}
	if q.NewSite(); second(q.Params()) != nil {
		t.Error("a new site lost the parameters")
	}
	if _, ok := q.Used(); ok {
		t.Error("Used although a site has not run")
	}
}

func TestSitesMustAgreeOnGroups(t *testing.T) {
	q := newQuantizer(t, Spec{Granularity: PerChannel}, &recorder{})
	a, b := q.NewSite(), q.NewSite()
	q.SetPhase(Observing)
	x := make([]float32, 6)
	if err := a.Forward(x, x, []int{2, 3}); err != nil {
		t.Fatal(err)
	}
	before := state(t, q)
	for _, shape := range [][]int{{3, 2}, {1, 6}} {
		if err := b.Forward(x, x, shape); !errors.Is(err, ErrData) {
			t.Errorf("%v: %v, want ErrData", shape, err)
		}
	}
	if !reflect.DeepEqual(before, state(t, q)) {
		t.Error("the state moved")
	}
}

func TestSetParams(t *testing.T) {
	good := Params{[]float32{2}, []int32{0}}
	tests := []struct {
		name string
		p    Params
	}{
		{"none", Params{}},
		{"two per tensor", Params{[]float32{1, 1}, []int32{0, 0}}},
		{"fewer zero points", Params{[]float32{1}, nil}},
		{"scale", Params{[]float32{0}, []int32{0}}},
		{"zero point", Params{[]float32{1}, []int32{200}}},
	}
	q := newQuantizer(t, Spec{}, nil)
	if err := q.SetParams(good); err != nil {
		t.Fatal(err)
	}
	good.Scale[0] = 99 // copied
	for _, tt := range tests {
		if err := q.SetParams(tt.p); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v, want ErrParams", tt.name, err)
		}
	}
	p, err := q.Params()
	if err != nil || p.Scale[0] != 2 {
		t.Errorf("%v, %v", p, err)
	}
	p.Scale[0] = 99 // a copy
	q.SetPhase(ObservingAndQuantizing)
	if y := forward(t, q.NewSite(), []float32{3.2}); y[0] != 4 {
		t.Errorf("without an observer 3.2 became %v, want 4", y[0])
	}
	channels := newQuantizer(t, Spec{Granularity: PerChannel}, nil)
	if err := channels.SetParams(Params{}); !errors.Is(err, ErrParams) {
		t.Errorf("no channel: %v, want ErrParams", err)
	}
}

func TestParamsOf(t *testing.T) {
	x := []float32{-127, 127}
	l := one(t, 2)
	q := newQuantizer(t, Spec{NarrowRange: true}, &recorder{Latest: true})
	q.NewSite()
	before := state(t, q)
	p, err := q.ParamsOf(x, l)
	if err != nil || p.Scale[0] != 1 {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := q.ParamsOf([]float32{float32(math.NaN()), 0}, l); !errors.Is(err, ErrData) {
		t.Errorf("NaN: %v, want ErrData", err)
	}
	if !reflect.DeepEqual(before, state(t, q)) {
		t.Error("ParamsOf moved the state")
	}
	q.SetPhase(Frozen)
	if _, err := q.ParamsOf(x, l); !errors.Is(err, ErrNotCalibrated) {
		t.Errorf("frozen: %v, want ErrNotCalibrated", err)
	}
}
