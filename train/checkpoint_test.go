package train

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqat/goqat/models"
	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
)

// resumable is a small training with everything that has state: batch
// normalisation, dropout, learned scales, moving averages, Adam.
type resumable struct {
	m      *qat.Model
	solver *Adam
	data   Data
}

func newResumable(t *testing.T) *resumable {
	t.Helper()
	net, err := models.New([]int{1, 8, 8}, models.Sequential(
		models.Conv2D{Out: 4, Kernel: 3, Stride: 2, Pad: 1}, models.BatchNorm{}, models.ReLU{},
		models.Dropout{P: 0.2}, models.Flatten{}, models.Linear{Out: 3}), 1)
	if err != nil {
		t.Fatal(err)
	}
	g, err := net.Build(4, true)
	if err != nil {
		t.Fatal(err)
	}
	lsq := qconfig.Tensor{Bits: 4, Estimator: qconfig.LSQ}
	p, err := qat.Prepare(g.G, qconfig.Config{Global: &qconfig.Layer{Weights: lsq}, Milestones: qconfig.MilestonesAt(0, 2, 9, 7)}, g.Logits)
	if err != nil {
		t.Fatal(err)
	}
	solver, err := NewAdam(AdamConfig{LearnRate: 0.01, Relative: isScale(p)})
	if err != nil {
		t.Fatal(err)
	}
	r := &resumable{m: p, solver: solver, data: Data{Shape: []int{1, 8, 8}, Classes: 3}}
	for i := range 16 {
		for k := range 64 {
			r.data.X = append(r.data.X, float32(math.Sin(float64(i*64+k)*0.7)))
		}
		r.data.Y = append(r.data.Y, i%3)
	}
	return r
}

// run trains from a step on; a checkpoint is written when it ends.
func (r *resumable) run(t *testing.T, start, epochs int, path string) {
	t.Helper()
	err := Fit(context.Background(), r.m, r.data, Recipe{Epochs: epochs, Start: start,
		Solver: r.solver, Schedule: Constant(0.01), Quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteCheckpointFile(path, r.m, r.solver, epochs*4); err != nil {
		t.Fatal(err)
	}
}

// resumeEnv makes the test binary the second process of TestResumeInNewProcess.
const resumeEnv = "GOQAT_TEST_RESUME"

func TestResumeInNewProcess(t *testing.T) {
	if dir := os.Getenv(resumeEnv); dir != "" {
		r := newResumable(t)
		steps, err := ReadCheckpointFile(filepath.Join(dir, "half"), r.m, r.solver)
		if err != nil || steps != 8 {
			t.Fatalf("%d steps, error %v", steps, err)
		}
		r.run(t, steps, 4, filepath.Join(dir, "resumed"))
		return
	}
	dir := t.TempDir()
	newResumable(t).run(t, 0, 4, filepath.Join(dir, "straight"))
	newResumable(t).run(t, 0, 2, filepath.Join(dir, "half"))
	cmd := exec.Command(os.Args[0], "-test.run=^TestResumeInNewProcess$")
	cmd.Env = append(os.Environ(), resumeEnv+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("second process: %v\n%s", err, out)
	}
	want, err := os.ReadFile(filepath.Join(dir, "straight"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "resumed"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("training resumed in a new process differs from training straight on")
	}
}

func TestLoadCheckpointRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "good")
	newResumable(t).run(t, 0, 2, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]struct {
		edit func(string) string
		want string
	}{
		"truncated":       {func(s string) string { return s[:len(s)-3] }, "truncated"},
		"other format":    {func(s string) string { return strings.Replace(s, "goqat-training-state", "goqat-training-stale", 1) }, "format"},
		"other version":   {func(s string) string { return strings.Replace(s, `"version":"1"`, `"version":"7"`, 1) }, `version is "7"`},
		"other solver":    {func(s string) string { return strings.Replace(s, `\"kind\":\"adam\"`, `\"kind\":\"atom\"`, 1) }, `"atom"`},
		"lost tensor":     {func(s string) string { return strings.Replace(s, `"param.fc1.w`, `"param.fc9.w`, 1) }, "missing"},
		"other quantizer": {func(s string) string { return strings.Replace(s, `{\"name\":\"x\"`, `{\"name\":\"y\"`, 1) }, `"y"`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(dir, "bad")
			if err := os.WriteFile(bad, []byte(change.edit(string(good))), 0o600); err != nil {
				t.Fatal(err)
			}
			r := newResumable(t)
			_, err := ReadCheckpointFile(bad, r.m, r.solver)
			if err == nil || !strings.Contains(err.Error(), change.want) {
				t.Fatalf("error %v, want one with %q", err, change.want)
			}
			if !errors.Is(err, ErrState) && !errors.Is(err, qat.ErrState) {
				t.Errorf("error %v wraps no ErrState", err)
			}
			if r.m.Steps() != 0 || len(r.solver.State().Params) != 0 {
				t.Error("a refused checkpoint changed the training")
			}
		})
	}
}
