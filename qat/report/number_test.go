package report

import (
	"encoding/json"
	"math"
	"testing"
)

func TestNumberJSON(t *testing.T) {
	in := []Number{1.5, Number(math.NaN()), -0.25}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out []Number
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if out[0] != 1.5 || !math.IsNaN(float64(out[1])) || out[2] != -0.25 {
		t.Errorf("%s came back as %v", text, out)
	}
	if err := json.Unmarshal([]byte(`["x"]`), &out); err == nil {
		t.Error("a text is no number")
	}
}

func TestPercent(t *testing.T) {
	for _, tc := range []struct {
		n    Number
		want string
	}{{Number(math.NaN()), "-"}, {0, "0.00"}, {1e-5, "<0.01"}, {0.5, "50.00"}, {1, "100.00"}} {
		if got := tc.n.Percent(); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.n, got, tc.want)
		}
	}
}
