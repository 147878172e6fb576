package testdata

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestDigits(t *testing.T) {
	train, test, err := Digits()
	if err != nil {
		t.Fatal(err)
	}
	if train.Len() != NumTrain || test.Len() != NumTest {
		t.Fatalf("%d and %d images, want %d and %d", train.Len(), test.Len(), NumTrain, NumTest)
	}
	perDigit := make([]int, DigitClasses)
	var sum, squares float64
	for _, set := range []DigitSet{train, test} {
		if len(set.Images) != set.Len()*DigitPixels {
			t.Fatalf("%d pixels for %d images", len(set.Images), set.Len())
		}
		for _, l := range set.Labels {
			perDigit[l]++ // a label outside 0..9 panics here
		}
		for _, v := range set.Images {
			raw := float64(v)*DigitStd + DigitMean
			if math.Abs(raw-math.Round(raw)) > 1e-5 || raw < -1e-5 || raw > 16+1e-5 {
				t.Fatalf("pixel %v is raw %v, want a whole number from 0 to 16", v, raw)
			}
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
	}
	if lo, hi := slices.Min(perDigit), slices.Max(perDigit); lo != 174 || hi != 183 {
		t.Errorf("rows per digit from %d to %d, want 174 to 183", lo, hi)
	}
	// Mean and deviation are given with three decimals of about 6: after the
	// normalisation 0.0005/6 is left, doubled for the deviation's square.
	const rounding = 2e-4
	n := float64(allDigits * DigitPixels)
	if mean, variance := sum/n, squares/n; math.Abs(mean) > rounding || math.Abs(variance-1) > rounding {
		t.Errorf("normalised mean %v, variance %v, want 0 and 1", mean, variance)
	}
}

func TestDigitsCallerOwnsCopy(t *testing.T) {
	a, _, err := Digits()
	if err != nil {
		t.Fatal(err)
	}
	want := a.Images[0]
	a.Images[0], a.Labels[0] = 99, 99
	b, _, err := Digits()
	if err != nil {
		t.Fatal(err)
	}
	if b.Images[0] != want || b.Labels[0] == 99 {
		t.Error("a caller's write shows in the next call")
	}
}

func TestParseDigitsRejects(t *testing.T) {
	row := strings.Repeat("0,", DigitPixels) + "7\n"
	for _, text := range []string{"", row, "1,2,3\n", strings.Repeat("x,", DigitPixels) + "7\n"} {
		if _, err := parseDigits(text); err == nil {
			t.Errorf("parsed %.20q", text)
		}
	}
}

func TestGoldenNames(t *testing.T) {
	want := []string{"convbn_qat", "coremltools9", "fq_extreme", "fq_per_block", "fq_per_channel", "fq_per_tensor",
		"learnable_fq", "observers_histogram", "observers_minmax", "train_run"}
	if got := GoldenNames(); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for _, name := range want {
		type named struct{ Name string }
		cases, err := Golden[named](name)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range cases {
			if c.Name == "" && name != "coremltools9" { // whose cases are told apart by tool, tensor and config
				t.Errorf("%s: case %d has no name", name, i)
			}
		}
	}
	if _, err := Golden[struct{}]("none"); err == nil || !strings.Contains(err.Error(), "fq_extreme") {
		t.Errorf("unknown file: %v, want an error that lists the known ones", err)
	}
}

func TestFloatExact(t *testing.T) {
	tests := []struct {
		text string
		bits uint32
	}{
		{"-0.0", 0x80000000},
		{"0", 0},
		{"1e-45", 1},
		{"5e-39", 0x003671f7},
		{"-1.1754942e-38", 0x807fffff},
		{"0.1", 0x3dcccccd},
		{"16777217", 0x4b800000},
		{"3.4028235e+38", 0x7f7fffff},
		{`"Inf"`, 0x7f800000},
		{`"-Inf"`, 0xff800000},
	}
	for _, tt := range tests {
		var f Float
		if err := json.Unmarshal([]byte(tt.text), &f); err != nil {
			t.Fatal(err)
		}
		if got := math.Float32bits(float32(f)); got != tt.bits {
			t.Errorf("%s: bits %#x, want %#x", tt.text, got, tt.bits)
		}
	}
	var f Float
	if err := json.Unmarshal([]byte(`"NaN"`), &f); err != nil || f == f {
		t.Errorf("NaN: %v, %v", f, err)
	}
	for _, bad := range []string{`"inf"`, `true`, `1e39`, `[]`} {
		if err := json.Unmarshal([]byte(bad), &f); err == nil {
			t.Errorf("%s: parsed as %v", bad, f)
		}
	}
}

func TestTensor(t *testing.T) {
	var x Tensor
	if err := json.Unmarshal([]byte(`{"shape":[2,1],"data":[-0.0,3]}`), &x); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.Shape, []int{2, 1}) || !math.Signbit(float64(x.F32[0])) || x.F32[1] != 3 {
		t.Errorf("got %+v", x)
	}
	if ints, err := x.Ints(); err != nil || !slices.Equal(ints, []int{0, 3}) {
		t.Errorf("ints %v, %v", ints, err)
	}
	if _, err := (Tensor{Shape: []int{1}, F32: []float32{0.5}}).Ints(); err == nil {
		t.Error("0.5 passed as a whole number")
	}
	for _, bad := range []string{`{"shape":[2],"data":[1]}`, `{"data":[1]}`, `{"shape":[1],"data":["x"]}`} {
		if err := json.Unmarshal([]byte(bad), &x); err == nil {
			t.Errorf("parsed %s", bad)
		}
	}
}
