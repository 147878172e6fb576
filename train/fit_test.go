package train

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/qat"
	"gorgonia.org/gorgonia"
)

// A float network, the handle of a quantized one and that of one that only got faster
// ops all train with the same call.
func TestFitTrainsEveryModel(t *testing.T) {
	recipe := Recipe{Epochs: 2, Batch: 8, Seed: 1, Schedule: Constant(0.05), Quiet: true}
	for _, name := range []string{"float", "optimized", "quantized"} {
		net := small(1)
		g := must(net.Build(8, true))
		m := Float(net)
		switch name {
		case "optimized":
			m = must(qat.Optimize(g.G, g.Logits))
		case "quantized":
			r := newResumable(t)
			recipe, m = Recipe{Epochs: 2, Schedule: Constant(0.01), Quiet: true}, r.m
			before := map[string][]float32{}
			for name, data := range must(r.m.State()).Tensors {
				before[name] = slices.Clone(data)
			}
			if err := Fit(context.Background(), m, r.data, recipe); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if m.Steps() != 9 || reflect.DeepEqual(must(r.m.State()).Tensors, before) {
				t.Errorf("%s: %d steps, want 1 before 8 batches, and another state", name, m.Steps())
			}
			continue
		}
		before := must(LogitsOf(net)(blobs(24).X, 24))
		before = slices.Clone(before)
		if err := Fit(context.Background(), m, blobs(24), recipe); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if m.Batch() != 8 || m.Steps() != 7 || slices.Equal(before, must(LogitsOf(net)(blobs(24).X, 24))) {
			t.Errorf("%s: batch %d, %d steps, want 8, 1 before 6 batches, and other logits", name, m.Batch(), m.Steps())
		}
	}
}

// stub is a model of a caller's own.
type stub struct {
	Model
	in gorgonia.Nodes
}

func (s stub) InputNodes() gorgonia.Nodes { return s.in }

func TestFitRefuses(t *testing.T) {
	recipe := Recipe{Epochs: 1, Schedule: Constant(0.05), Quiet: true}
	r := newResumable(t)
	for _, c := range []struct {
		name string
		m    Model
		r    Recipe
		want string
	}{
		{"no model", nil, recipe, "the model is nil"},
		{"other batch", r.m, Recipe{Epochs: 1, Batch: 5}, "batch of 5, but the graph was prepared for 4"},
		{"no input", stub{Model: r.m}, recipe, "0 inputs and 1 outputs"},
	} {
		err := Fit(context.Background(), c.m, r.data, c.r)
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	// A model of one's own has no form of file.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	recipe.CheckpointFile = filepath.Join(t.TempDir(), "x")
	if err := Fit(ctx, stub{r.m, r.m.InputNodes()}, r.data, recipe); !errors.Is(err, ErrConfig) || !errors.Is(err, context.Canceled) {
		t.Errorf("checkpoint of a stub: %v", err)
	}
}
