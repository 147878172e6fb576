package report

// This file says how numbers that are not finite are written.

import (
	"encoding/json"
	"fmt"
	"math"
)

// Number is a float64 that is null in JSON where it is not finite.
type Number float64

// MarshalJSON writes null for NaN and infinities.
func (n Number) MarshalJSON() ([]byte, error) {
	if v := float64(n); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// Text is the number in a format of fmt.Sprintf; a dash for NaN.
func (n Number) Text(format string) string {
	if math.IsNaN(float64(n)) {
		return "-"
	}
	return fmt.Sprintf(format, float64(n))
}

// Percent shows a share in percent.
func (n Number) Percent() string {
	if v := 100 * float64(n); v > 0 && v < 0.01 {
		return "<0.01"
	}
	return (100 * n).Text("%.2f")
}

// UnmarshalJSON reads a number, or NaN from null.
func (n *Number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	var v float64
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	*n = Number(v)
	return nil
}
