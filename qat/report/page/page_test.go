package page

import (
	"math"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/report"
)

func TestHTMLNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.5: "0.5", -2: "−2", 9999: "9999", 20000: "20k", 2.5e6: "2.5M", 1e-7: "1e-07", 3e12: "3e+12"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
	for n, want := range map[int]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 300 << 10: "300 KiB", 5 << 20: "5.0 MiB", 1 << 50: "1024 TiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s, want %s", n, got, want)
		}
	}
	for v, want := range map[float64]float64{0: 1, math.NaN(): 1, 0.3: 0.5, 1: 1, 11: 20, 7: 10} {
		if got := niceStep(v); got != want {
			t.Errorf("niceStep(%v) = %v, want %v", v, got, want)
		}
	}
	for hi, want := range map[float64]string{0.4: "0 1", 1.2: "0 1 5 10", 4.5: "0 10 100 1000 10k", 9: "0 100 10k 1M 100M"} {
		var got []string
		for _, tick := range (countTicks{}).Ticks(0, hi) {
			got = append(got, tick.Label)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("counts up to 10^%v: %s, want %s", hi, s, want)
		}
	}
	// A grid of 256 codes has 32 lines.
	h := &report.Histogram{Qmin: -128, Qmax: 127}
	if step := gridStep(h); step != 8 || len(gridAt(h, step)) != 32 {
		t.Errorf("every %d, %d lines", step, len(gridAt(h, step)))
	}
}
