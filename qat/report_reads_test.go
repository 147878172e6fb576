package qat

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/report"
)

// TestReportReads: a report written as JSON reads back the same.
func TestReportReads(t *testing.T) {
	r := demoReport(t)
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back report.Report
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatal(err)
	}
	for i := range r.Rows {
		if a, b := r.Rows[i].Histogram, back.Rows[i].Histogram; !reflect.DeepEqual(a, b) {
			t.Errorf("row %d: histogram %+v, want %+v", i, b, a)
		}
	}
	if len(back.Ranges) != len(r.Ranges) || len(r.Ranges) == 0 || !slices.Equal(back.Ranges[0].Max, r.Ranges[0].Max) {
		t.Errorf("%d ranges, want %d", len(back.Ranges), len(r.Ranges))
	}
}
