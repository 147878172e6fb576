package measure

import (
	"math"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/report"
)

func analysed(t *testing.T, x []float32, s fakequant.Spec, p fakequant.Params) report.Row {
	t.Helper()
	layout, err := s.Layout([]int{len(x)})
	if err != nil {
		t.Fatal(err)
	}
	var row report.Row
	if err := analyse(&row, x, x, layout, s, p, channels{}); err != nil {
		t.Fatal(err)
	}
	return row
}

// TestAnalyseByHand checks shares and histograms against codes written out here.
func TestAnalyseByHand(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, tc := range []struct {
		name               string
		spec               fakequant.Spec
		scale              float32
		zero               int32
		x                  []float32
		saturated, clipped float64
		below, above       int
		bins               int
		at                 map[int]int // bin: count, all others 0
	}{
		// Codes -7 -7 -7 -6 0 7 7 3; four bins for each of 15 codes.
		{"int4", fakequant.Spec{Bits: 4, NarrowRange: true}, 1, 0, []float32{-9, -7, -6.625, -6.375, 0, 7.375, 7.625, 3},
			5.0 / 8, 2.0 / 8, 1, 1, 60, map[int]int{2: 1, 3: 1, 4: 1, 30: 1, 59: 1, 42: 1}},
		// Zeros are exact; 127.25/0.5 = 254.5 is code 254; 64 bins for 256 codes.
		{"uint8", fakequant.Spec{Unsigned: true}, 0.5, 0, []float32{0, 0, 127.5, 127.25, 200, -1, 4, 4},
			3.0 / 8, 2.0 / 8, 1, 1, 64, map[int]int{0: 2, 63: 2, 2: 2}},
		// Codes 0 3 3 0 on the grid of -1, 0, 1, 2.
		{"affine", fakequant.Spec{Bits: 2, Unsigned: true, Scheme: fakequant.Affine}, 1, 1, []float32{-1, 2, inf, -inf},
			1, 0.5, 1, 1, 64, map[int]int{8: 1, 56: 1}},
	} {
		row := analysed(t, tc.x, tc.spec, fakequant.Params{Scale: []float32{tc.scale}, ZeroPoint: []int32{tc.zero}})
		h := row.Histogram
		if float64(row.Saturated) != tc.saturated || float64(row.Clipped) != tc.clipped {
			t.Errorf("%s: saturated %v, clipped %v, want %v and %v", tc.name, row.Saturated, row.Clipped, tc.saturated, tc.clipped)
		}
		if h.Below != tc.below || h.Above != tc.above || len(h.Counts) != tc.bins {
			t.Fatalf("%s: %d below, %d above, %d bins", tc.name, h.Below, h.Above, len(h.Counts))
		}
		for i, n := range h.Counts {
			if n != tc.at[i] {
				t.Errorf("%s: bin %d holds %d, want %d", tc.name, i, n, tc.at[i])
			}
		}
	}
}

// Each code has whole bins of its own up to 6 bits, and no histogram has more than 64.
func TestHistogramBins(t *testing.T) {
	for bits := fakequant.MinBits; bits <= fakequant.MaxBits; bits++ {
		for _, narrow := range []bool{false, true} {
			h := newHistogram(fakequant.Spec{Bits: bits, NarrowRange: narrow})
			codes := int(h.Qmax-h.Qmin) + 1
			if n := len(h.Counts); n > 64 || n < 32 || codes <= 64 && n%codes != 0 {
				t.Errorf("%d bits, narrow %v: %d bins for %d codes", bits, narrow, n, codes)
			}
		}
	}
}

func TestAllSame(t *testing.T) {
	ch := channels{n: 3, of: func(i int) int { return i % 3 }}
	codes := []int32{1, 0, 5, 1, 0, 6, 1, 0, 5}
	if got := allSame(codes, ch); got != 2 {
		t.Errorf("%d constant channels, want 2", got)
	}
	if got := allZero(codes, ch); got != 1 {
		t.Errorf("%d channels of zeros, want 1", got)
	}
}

// Zero is the zero point's code, not code 0.
func TestDeadWithZeroPoint(t *testing.T) {
	s := fakequant.Spec{Unsigned: true, Scheme: fakequant.Affine}
	layout, err := s.Layout([]int{4})
	if err != nil {
		t.Fatal(err)
	}
	var row report.Row
	x := []float32{0, -100, 0.4, 0} // codes 100, 0, 100, 100
	ch := channels{2, func(i int) int { return i % 2 }, allZero}
	if err := analyse(&row, x, x, layout, s, fakequant.Params{Scale: []float32{1}, ZeroPoint: []int32{100}}, ch); err != nil {
		t.Fatal(err)
	}
	if row.Dead != 1 || row.Channels != 2 {
		t.Errorf("%s dead, want 1/2", row.DeadText())
	}
}

// The largest element is half a step beyond the last code by the way its scale was made,
// whatever float32 makes of it, and that is no clipping.
func TestLargestIsNotClipped(t *testing.T) {
	for i := range 1000 {
		top := 1.847432255744934 * float32(i+1) / 300
		for _, s := range []fakequant.Spec{{}, {Unsigned: true}, {Scheme: fakequant.Affine, Unsigned: true}, {Bits: 4}} {
			lo := float32(0)
			if s.Unsigned == (s.Scheme == fakequant.Affine) {
				lo = -top
			}
			p, err := fakequant.ParamsFromRange(s, []float32{lo}, []float32{top}, lo == 0)
			if err != nil {
				t.Fatal(err)
			}
			if row := analysed(t, []float32{lo, top, top / 2}, s, p); row.Clipped != 0 {
				t.Fatalf("%v: %v of the elements of a tensor up to %v count as clipped", s, row.Clipped, top)
			}
			step := p.Scale[0]
			if row := analysed(t, []float32{0, top + 2*step}, s, p); row.Clipped != 0.5 {
				t.Fatalf("%v: two steps beyond %v: clipped %v, want 0.5", s, top, row.Clipped)
			}
		}
	}
}
