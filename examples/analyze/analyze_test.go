package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
)

func TestBadArguments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-seeds", "0"}, "-seeds 0: want at least 1"},
		{[]string{"more"}, `unexpected argument "more"`},
		{[]string{"-bits", "4"}, "not defined: -bits"},
		{[]string{"-out", filepath.Join(file, "below")}, file},
	} {
		var out bytes.Buffer
		err := run(context.Background(), c.args, &out)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.args, err, c.want)
		}
		if out.Len() > 0 {
			t.Errorf("%q: printed %q beside the error", c.args, &out)
		}
	}
	if err := run(context.Background(), []string{"-h"}, &bytes.Buffer{}); err != nil {
		t.Errorf("-h: %v", err)
	}
}

// TestQuick is the whole job in small: the helpers do not make the 4-bit network worse
// than rounding to nearest, and the suggestion fits and can be loaded.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a network")
	}
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-quick", "-json", "-out", dir}, &out); err != nil {
		t.Fatal(err)
	}
	// The infinite ratios of Sensitivity are null in JSON, so only the rest is read.
	var r struct {
		Float []float64
		Rows  []row
		Mixed struct{ Bytes, Budget int }
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	if len(r.Rows) != quickRows || len(r.Float) != 1 || math.IsNaN(r.Float[0]) {
		t.Fatalf("%+v", r)
	}
	for _, x := range r.Rows {
		if x.Helpers[0] < x.Plain[0]-slack {
			t.Errorf("%s: %v %% plain, %v %% with helpers", x.Name, x.Plain[0], x.Helpers[0])
		}
	}
	if r.Mixed.Bytes == 0 || r.Mixed.Bytes > r.Mixed.Budget {
		t.Errorf("%d bytes of a budget of %d", r.Mixed.Bytes, r.Mixed.Budget)
	}
	if _, err := qconfig.ReadFile(filepath.Join(dir, "mixed.yaml")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"report.json", "report.html", "sensitivity.json", "mixed.json", "mixed.safetensors"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// slack is three of the 360 test digits, in percent: so many may change sides by luck.
const slack = 3 / 3.6

func TestPrint(t *testing.T) {
	r := &result{Seeds: []int{0, 1}, Float: []float64{99, 97}, Rows: []*row{{"W4", []float64{90, 92}, []float64{95, 96}}}}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"seed 1 %", "98.00", "91.00", "95.50", "with helpers"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
}
