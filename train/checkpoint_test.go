package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/safetensors"
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
	solver, err := NewAdam(AdamConfig{LearnRate: 0.01})
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
		"negative square": {func(s string) string { return setFirst(s, "solver.1.fc1.bias", -1) }, "second moment element 0 is -1"},
		"infinite weight": {func(s string) string { return setFirst(s, "param.fc1.weight", float32(math.Inf(1))) }, `"param.fc1.weight": element 0 is +Inf`},
		"negative spread": {func(s string) string { return setFirst(s, "running_variance.", -1) }, "a variance, is -1"},
		"infinite rate":   {func(s string) string { return strings.Replace(s, `\"learn_rate\":0.01`, `\"learn_rate\":-0.1`, 1) }, "learning rate -0.1"},
		"moments twice": {func(s string) string {
			return strings.Replace(s, `{\"name\":\"fc1.weight\",\"step\"`, `{\"name\":\"conv1.bias\",\"step\"`, 1)
		}, `"conv1.bias" is there twice`},
		"truncated":       {func(s string) string { return s[:len(s)-3] }, "truncated"},
		"other format":    {func(s string) string { return strings.Replace(s, "goqat-training-state", "goqat-training-stale", 1) }, "format"},
		"other version":   {func(s string) string { return strings.Replace(s, `"version":"1"`, `"version":"7"`, 1) }, `version is "7"`},
		"other solver":    {func(s string) string { return strings.Replace(s, `\"kind\":\"adam\"`, `\"kind\":\"atom\"`, 1) }, `"atom"`},
		"lost tensor":     {func(s string) string { return strings.Replace(s, `"param.fc1.w`, `"param.fc9.w`, 1) }, "missing"},
		"other quantizer": {func(s string) string { return strings.Replace(s, `{\"name\":\"x\"`, `{\"name\":\"y\"`, 1) }, `"y"`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(dir, "bad")
			edited := []byte(change.edit(string(good)))
			if name != "truncated" {
				edited = reseal(t, edited)
			}
			if err := os.WriteFile(bad, edited, 0o600); err != nil {
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

// reseal puts the right sum on a checkpoint that a test has edited.
func reseal(t *testing.T, file []byte) []byte {
	t.Helper()
	f, err := safetensors.Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := tensorsOf(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Metadata[keySum] = checksum(tensors, f.Metadata)
	var b bytes.Buffer
	if err := safetensors.Write(&b, tensors, f.Metadata); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// setFirst changes the first number of the first tensor whose name begins so.
func setFirst(file, name string, v float32) string {
	head := 8 + int(binary.LittleEndian.Uint64([]byte(file)))
	entry := file[8:head]
	entry = entry[strings.Index(entry, `"`+name):]
	entry = entry[strings.Index(entry, `"data_offsets":[`)+len(`"data_offsets":[`):]
	offset, _ := strconv.Atoi(entry[:strings.Index(entry, ",")])
	out := []byte(file)
	binary.LittleEndian.PutUint32(out[head+offset:], math.Float32bits(v))
	return string(out)
}

// One flipped bit anywhere is noticed.
func TestCheckpointDamage(t *testing.T) {
	dir := t.TempDir()
	path, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	newResumable(t).run(t, 0, 1, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	every := 17
	if os.Getenv("GOQAT_LONG") != "" {
		every = 1
	}
	r := newResumable(t)
	for i := 0; i < len(good); i += every {
		file := slices.Clone(good)
		file[i] ^= 1 << (i % 8)
		if err := os.WriteFile(bad, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCheckpointFile(bad, r.m, r.solver); !errors.Is(err, ErrState) {
			t.Errorf("bit %d of byte %d of %d flipped: error %v, want one that wraps ErrState", i%8, i, len(good), err)
		}
	}
	if steps, err := ReadCheckpointFile(path, r.m, r.solver); err != nil || steps != 4 {
		t.Errorf("the undamaged file: %d steps, %v", steps, err)
	}
}

// The solver's learning rate is part of a checkpoint.
func TestCheckpointLearnRate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rate")
	r := newResumable(t)
	r.solver.SetLearnRate(1e-3)
	if err := WriteCheckpointFile(path, r.m, r.solver, 0); err != nil {
		t.Fatal(err)
	}
	back := newResumable(t)
	if _, err := ReadCheckpointFile(path, back.m, back.solver); err != nil {
		t.Fatal(err)
	}
	if back.solver.LearnRate() != 1e-3 {
		t.Errorf("learning rate %v, want 1e-3", back.solver.LearnRate())
	}
}

// A checkpoint that OnEpoch writes resumes with the same count of epochs and the same
// bytes, under milestones that count epochs.
func TestCheckpointInOnEpoch(t *testing.T) {
	dir := t.TempDir()
	prepare := func() (*qat.Model, *SGD) {
		net, err := models.MLP(1, 8, 8, 3)
		if err != nil {
			t.Fatal(err)
		}
		g, err := net.Build(4, true)
		if err != nil {
			t.Fatal(err)
		}
		milestones := qconfig.MilestonesAt(0, 1, 2, 2)
		milestones.Epochs = true
		m, err := qat.Prepare(g.G, qconfig.Config{Milestones: milestones}, g.Logits)
		if err != nil {
			t.Fatal(err)
		}
		o, err := NewSGD(SGDConfig{LearnRate: 0.1, Momentum: 0.9})
		if err != nil {
			t.Fatal(err)
		}
		return m, o
	}
	data := Data{Shape: []int{8}, Classes: 3}
	for i := range 64 {
		data.X = append(data.X, float32(i%7))
	}
	for i := range 8 {
		data.Y = append(data.Y, i%3)
	}
	const epochs = 4
	file := func(e int) string { return filepath.Join(dir, strconv.Itoa(e)) }
	run := func(m *qat.Model, o *SGD, start int, last string) []byte {
		err := Fit(context.Background(), m, data, Recipe{Epochs: epochs, Solver: o, Start: start, Quiet: true,
			OnEpoch: func(e Epoch) error {
				if start > 0 {
					return nil
				}
				return WriteCheckpointFile(file(e.Number), m, o, e.Steps)
			}})
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteCheckpointFile(last, m, o, epochs*2); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(last)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m, o := prepare()
	want := run(m, o, 0, file(epochs))
	for e := range epochs {
		again, o := prepare()
		start, err := ReadCheckpointFile(file(e), again, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := run(again, o, start, filepath.Join(dir, "resumed")); !bytes.Equal(got, want) {
			t.Errorf("resumed after epoch %d: other bytes; %d epochs, want %d", e, again.Epochs(), m.Epochs())
		}
	}
}
