package fakequant

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// groupOf is the definition of a layout, spelled out for one element: the group
// number from the element's coordinates.
func groupOf(s Spec, shape []int, element int) int {
	at := make([]int, len(shape))
	for i := len(shape) - 1; i >= 0; i-- {
		at[i] = element % shape[i]
		element /= shape[i]
	}
	axis := s.Axis
	if axis < 0 {
		axis += len(shape)
	}
	channel := 0
	if axis == 0 {
		channel = 1
	}
	group := 0
	for i := range shape {
		size, index := 1, 0
		switch {
		case s.Granularity == PerTensor:
		case i == axis && s.Granularity == PerChannel:
			size, index = shape[i], at[i]
		case i == axis:
			size, index = (shape[i]+s.BlockSize-1)/s.BlockSize, at[i]/s.BlockSize
		case i == channel && s.Granularity == PerBlock:
			size, index = shape[i], at[i]
		}
		group = group*size + index
	}
	return group
}

// groupsByRuns expands Runs into one group per element and checks that the
// stretches cover all elements in order.
func groupsByRuns(t *testing.T, l Layout) []int {
	t.Helper()
	out := make([]int, 0, l.Len())
	l.Runs(func(lo, hi, group, step int) {
		if lo != len(out) || hi <= lo || (step != 0 && step != 1) {
			t.Fatalf("stretch [%d, %d) step %d after %d elements", lo, hi, step, len(out))
		}
		for i := lo; i < hi; i++ {
			out = append(out, group+(i-lo)*step)
		}
	})
	if len(out) != l.Len() {
		t.Fatalf("stretches cover %d of %d elements", len(out), l.Len())
	}
	return out
}

var layoutShapes = [][]int{{}, {1}, {7}, {1, 1}, {3, 5}, {1, 6}, {6, 1}, {2, 3, 4}, {4, 1, 3}, {3, 2, 2, 5}, {1, 4, 3, 1}, {5, 1, 1, 1}}

// specsFor lists every way to cut the shape: all axes from both ends, all block sizes.
func specsFor(shape []int) []Spec {
	specs := []Spec{{}, {Axis: 99}} // per tensor ignores the axis
	for axis := -len(shape); axis < len(shape); axis++ {
		specs = append(specs, Spec{Granularity: PerChannel, Axis: axis})
		for b := 1; b <= shape[(axis+len(shape))%len(shape)]; b++ {
			specs = append(specs, Spec{Granularity: PerBlock, Axis: axis, BlockSize: b})
		}
	}
	return specs
}

func TestLayoutGroups(t *testing.T) {
	for _, shape := range layoutShapes {
		for _, s := range specsFor(shape) {
			l, err := s.Layout(shape)
			if err != nil {
				t.Fatalf("%v of %v: %v", s, shape, err)
			}
			want := make([]int, l.Len())
			for i := range want {
				want[i] = groupOf(s, shape, i)
			}
			if got := groupsByRuns(t, l); !slices.Equal(got, want) {
				t.Errorf("%v of %v: groups %v, want %v", s, shape, got, want)
			}
			if l.Groups() != slices.Max(want)+1 {
				t.Errorf("%v of %v: %d groups, want %d", s, shape, l.Groups(), slices.Max(want)+1)
			}
			n := 1
			for _, d := range l.ParamShape() {
				n *= d
			}
			if n != l.Groups() || len(l.ParamShape()) != len(shape) || !slices.Equal(l.Shape(), shape) {
				t.Errorf("%v of %v: parameter shape %v for %d groups", s, shape, l.ParamShape(), l.Groups())
			}
		}
	}
}

// The scale shapes of Core ML Tools for the weights of usual layers.
func TestParamShape(t *testing.T) {
	tests := []struct {
		shape []int
		s     Spec
		want  []int
	}{
		{[]int{8, 4, 3, 3}, Spec{}, []int{1, 1, 1, 1}},
		{[]int{8, 4, 3, 3}, Spec{Granularity: PerChannel}, []int{8, 1, 1, 1}},
		{[]int{8, 4, 3, 3}, Spec{Granularity: PerBlock, Axis: 1, BlockSize: 2}, []int{8, 2, 1, 1}},
		{[]int{4, 8, 3, 3}, Spec{Granularity: PerChannel, Axis: 1}, []int{1, 8, 1, 1}},
		{[]int{4, 8, 3, 3}, Spec{Granularity: PerBlock, Axis: 0, BlockSize: 2}, []int{2, 8, 1, 1}},
		{[]int{10, 70}, Spec{Granularity: PerBlock, Axis: -1, BlockSize: 32}, []int{10, 3}},
		{[]int{2, 6, 5}, Spec{Granularity: PerChannel, Axis: -1}, []int{1, 1, 5}},
		{[]int{70}, Spec{Granularity: PerBlock, BlockSize: 32}, []int{3}},
		{[]int{}, Spec{}, []int{}},
	}
	for _, tt := range tests {
		l, err := tt.s.Layout(tt.shape)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.ParamShape(), tt.want) {
			t.Errorf("%v of %v: %v, want %v", tt.s, tt.shape, l.ParamShape(), tt.want)
		}
	}
}

func TestLayoutRefuses(t *testing.T) {
	channel := func(axis int) Spec { return Spec{Granularity: PerChannel, Axis: axis} }
	block := func(axis, size int) Spec { return Spec{Granularity: PerBlock, Axis: axis, BlockSize: size} }
	tests := []struct {
		name  string
		s     Spec
		shape []int
	}{
		{"block size 0", block(0, 0), []int{4}},
		{"block larger than the axis", block(1, 5), []int{8, 4}},
		{"axis too large", channel(2), []int{3, 4}},
		{"axis too small", channel(-3), []int{3, 4}},
		{"block axis too large", block(1, 1), []int{4}},
		{"channels of a scalar", channel(0), nil},
		{"empty", Spec{}, []int{0}},
		{"empty behind a large axis", Spec{}, []int{math.MaxInt, 0}},
		{"empty before a large axis", Spec{}, []int{0, math.MaxInt, math.MaxInt}},
		{"negative dimension", Spec{}, []int{-1}},
		{"two negative dimensions", Spec{}, []int{-2, -3}},
		{"smallest integer", Spec{}, []int{math.MinInt}},
		{"overflow", Spec{}, []int{math.MaxInt, math.MaxInt}},
		{"overflow to a small product", channel(0), []int{1 << 32, 1 << 32, 3}},
		{"one above the limit", Spec{}, []int{MaxElements + 1}},
	}
	for _, tt := range tests {
		if _, err := tt.s.Layout(tt.shape); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v, want ErrSpec", tt.name, err)
		}
	}
}

func TestLayoutOwnsShape(t *testing.T) {
	shape := []int{2, 3}
	l, err := Spec{}.Layout(shape)
	if err != nil {
		t.Fatal(err)
	}
	shape[0] = 99
	if l.Shape()[0] != 2 {
		t.Error("the layout shares the caller's shape")
	}
}

// A Layout at the size limit is described without allocating elements.
func TestLayoutLarge(t *testing.T) {
	l, err := Spec{Granularity: PerChannel}.Layout([]int{2, MaxElements / 2})
	if err != nil || l.Groups() != 2 {
		t.Fatalf("%d groups, %v", l.Groups(), err)
	}
	stretches := 0
	l.Runs(func(lo, hi, group, step int) { stretches++ })
	if stretches != 2 {
		t.Errorf("%d stretches, want 2", stretches)
	}
}

func TestZeroLayout(t *testing.T) {
	var l Layout
	l.Runs(func(lo, hi, group, step int) { t.Error("the zero layout has a stretch") })
	if err := GroupMinMax(nil, nil, nil, l); !errors.Is(err, ErrData) {
		t.Errorf("GroupMinMax: %v, want ErrData", err)
	}
}

func TestGroupMinMax(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	channel := func(axis int) Spec { return Spec{Granularity: PerChannel, Axis: axis} }
	tests := []struct {
		name   string
		s      Spec
		x      []float32 // shape [2, 3]
		lo, hi []float32 // nil: an error
	}{
		{"tensor", Spec{}, []float32{1, -2, 3, 4, 5, -6}, []float32{-6}, []float32{5}},
		{"rows", channel(0), []float32{1, -2, 3, 4, 5, -6}, []float32{-2, -6}, []float32{3, 5}},
		{"columns", channel(1), []float32{1, -2, 3, 4, 5, -6}, []float32{1, -2, -6}, []float32{4, 5, 3}},
		{"blocks", Spec{Granularity: PerBlock, Axis: 1, BlockSize: 2}, []float32{1, -2, 3, 4, 5, -6}, []float32{-2, 3, 4, -6}, []float32{1, 3, 5, -6}},
		{"infinities", channel(1), []float32{inf, -2, -inf, 4, 5, -6}, []float32{4, -2, -6}, []float32{4, 5, -6}},
		{"largest", Spec{}, []float32{math.MaxFloat32, -math.MaxFloat32, 0, 0, 0, 0}, []float32{-math.MaxFloat32}, []float32{math.MaxFloat32}},
		{"denormals", Spec{}, []float32{1e-45, 3e-45, 1e-45, 1e-45, 1e-45, 1e-45}, []float32{1e-45}, []float32{3e-45}},
		{"NaN first", Spec{}, []float32{nan, 0, 0, 0, 0, 0}, nil, nil},
		{"NaN last", channel(1), []float32{0, 0, 0, 0, 0, nan}, nil, nil},
		{"nothing finite in a row", channel(0), []float32{inf, -inf, inf, 0, 0, 0}, nil, nil},
		{"nothing finite in a column", channel(1), []float32{0, inf, 0, 0, inf, 0}, nil, nil},
		{"too few", Spec{}, []float32{0, 0, 0, 0, 0}, nil, nil},
	}
	for _, tt := range tests {
		l, err := tt.s.Layout([]int{2, 3})
		if err != nil {
			t.Fatal(err)
		}
		lo, hi := make([]float32, l.Groups()), make([]float32, l.Groups())
		err = GroupMinMax(lo, hi, tt.x, l)
		if tt.lo == nil {
			if !errors.Is(err, ErrData) {
				t.Errorf("%s: %v, want ErrData", tt.name, err)
			}
			continue
		}
		if err != nil || !slices.Equal(lo, tt.lo) || !slices.Equal(hi, tt.hi) {
			t.Errorf("%s: %v, %v, %v, want %v, %v", tt.name, lo, hi, err, tt.lo, tt.hi)
		}
		if err := GroupMinMax(lo[1:], hi, tt.x, l); !errors.Is(err, ErrData) {
			t.Errorf("%s: too few results: %v, want ErrData", tt.name, err)
		}
	}
}
