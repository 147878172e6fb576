package qconfig

import (
	"slices"
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/observers"
)

var (
	defaultWeights = Tensor{Bits: 8, Scheme: Symmetric, Granularity: PerChannel, NarrowRange: Yes, Unsigned: No, Observer: "latest", Estimator: STE}
	defaultActs    = Tensor{Bits: 8, Scheme: Symmetric, Granularity: PerTensor, NarrowRange: No, Unsigned: Auto, Observer: "moving_average_min_max", AveragingConstant: 0.01, Estimator: STE}
	offTensor      = Tensor{Off: true}
)

// with returns a copy of t that change has worked on.
func with(t Tensor, change func(*Tensor)) Tensor {
	change(&t)
	return t
}

func TestResolve(t *testing.T) {
	bits := func(b int) Tensor { return Tensor{Bits: b} }
	layers := func(name string, l *Layer) map[string]*Layer { return map[string]*Layer{name: l} }
	weights4 := with(defaultWeights, func(t *Tensor) { t.Bits = 4 })
	blocks := Tensor{Granularity: PerBlock, BlockSize: 16}
	perBlock := func(size int) Tensor {
		return with(defaultWeights, func(t *Tensor) { t.Granularity, t.BlockSize = PerBlock, size })
	}
	learned := Tensor{Estimator: LSQ, ScaleInit: "lsq"}
	lsq := func(init string) Tensor {
		return with(defaultWeights, func(t *Tensor) { t.Estimator, t.ScaleInit = LSQ, init })
	}
	ema := Tensor{Observer: "ema_min_max", EMARatio: 0.5}
	for _, tc := range []struct {
		name   string
		config Config
		w, a   Tensor
		off    bool
	}{
		{name: "zero config", w: defaultWeights, a: defaultActs},
		{name: "global", config: Config{Global: &Layer{Weights: bits(4)}}, w: weights4, a: defaultActs},
		{name: "type before global", config: Config{Global: &Layer{Weights: bits(2)}, Types: layers("conv", &Layer{Weights: bits(4)})}, w: weights4, a: defaultActs},
		{name: "name before type", config: Config{Types: layers("conv", &Layer{Weights: bits(2)}), Names: layers("c1", &Layer{Weights: bits(4)})}, w: weights4, a: defaultActs},
		{name: "other type and name", config: Config{Types: layers("matmul", nil), Names: layers("c2", nil)}, w: defaultWeights, a: defaultActs},
		{name: "null type skips", config: Config{Types: layers("conv", nil)}, w: offTensor, a: offTensor, off: true},
		{name: "null name skips", config: Config{Names: layers("c1", nil)}, w: offTensor, a: offTensor, off: true},
		{name: "name brings a skipped type back", config: Config{Types: layers("conv", nil), Names: layers("c1", &Layer{})}, w: defaultWeights, a: defaultActs},
		{name: "a name inherits from global, not from its type",
			config: Config{Global: &Layer{Weights: bits(4)}, Types: layers("conv", &Layer{Weights: bits(2)}), Names: layers("c1", &Layer{Activations: bits(8)})}, w: weights4, a: defaultActs},
		{name: "global off", config: Config{Global: &Layer{Weights: offTensor, Activations: offTensor}}, w: offTensor, a: offTensor, off: true},
		{name: "one part listed under global off", config: Config{Global: &Layer{Weights: offTensor, Activations: offTensor}, Names: layers("c1", &Layer{Weights: bits(4)})}, w: weights4, a: offTensor},
		{name: "weights only", config: Config{Global: &Layer{Activations: offTensor}}, w: defaultWeights, a: offTensor},
		{name: "a part off for one layer", config: Config{Global: &Layer{Weights: bits(4)}, Names: layers("c1", &Layer{Weights: offTensor})}, w: offTensor, a: defaultActs},
		{name: "affine weights have the full range", config: Config{Global: &Layer{Weights: Tensor{Scheme: Affine}}},
			w: with(defaultWeights, func(t *Tensor) { t.Scheme, t.NarrowRange = Affine, No }), a: defaultActs},
		{name: "a set range outlives the scheme", config: Config{Global: &Layer{Weights: Tensor{Scheme: Affine, NarrowRange: Yes}}},
			w: with(defaultWeights, func(t *Tensor) { t.Scheme = Affine }), a: defaultActs},
		{name: "block size default", config: Config{Global: &Layer{Weights: Tensor{Granularity: PerBlock}}}, w: perBlock(32), a: defaultActs},
		{name: "block size inherited", config: Config{Global: &Layer{Weights: blocks}, Names: layers("c1", &Layer{Weights: Tensor{Granularity: PerBlock}})}, w: perBlock(16), a: defaultActs},
		{name: "granularity and block size inherited", config: Config{Global: &Layer{Weights: blocks}, Names: layers("c1", &Layer{Weights: bits(8)})}, w: perBlock(16), a: defaultActs},
		{name: "block size not inherited by another granularity", config: Config{Global: &Layer{Weights: blocks}, Names: layers("c1", &Layer{Weights: Tensor{Granularity: PerChannel}})}, w: defaultWeights, a: defaultActs},
		{name: "observer constant inherited", config: Config{Global: &Layer{Activations: ema}, Names: layers("c1", &Layer{Activations: bits(8)})}, w: defaultWeights,
			a: with(defaultActs, func(t *Tensor) { t.Observer, t.AveragingConstant, t.EMARatio = "ema_min_max", 0, 0.5 })},
		{name: "observer constant not inherited by another observer", config: Config{Global: &Layer{Activations: ema}, Names: layers("c1", &Layer{Activations: Tensor{Observer: "min_max"}})}, w: defaultWeights,
			a: with(defaultActs, func(t *Tensor) { t.Observer, t.AveragingConstant = "min_max", 0 })},
		{name: "observer constant default of the other observer", config: Config{Global: &Layer{Activations: Tensor{AveragingConstant: 0.5}}, Names: layers("c1", &Layer{Activations: Tensor{Observer: "ema_min_max"}})}, w: defaultWeights,
			a: with(defaultActs, func(t *Tensor) { t.Observer, t.AveragingConstant, t.EMARatio = "ema_min_max", 0, 0.9 })},
		{name: "scale init default", config: Config{Global: &Layer{Weights: Tensor{Estimator: LSQ}}}, w: lsq("observer"), a: defaultActs},
		{name: "scale init inherited", config: Config{Global: &Layer{Weights: learned}, Names: layers("c1", &Layer{Weights: bits(8)})}, w: lsq("lsq"), a: defaultActs},
		{name: "scale init not inherited by another estimator", config: Config{Global: &Layer{Weights: learned}, Names: layers("c1", &Layer{Weights: Tensor{Estimator: STE}})}, w: defaultWeights, a: defaultActs},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.config.Validate(); err != nil {
				t.Fatal(err)
			}
			got, on := tc.config.Resolve("c1", "conv")
			if want := (Layer{Weights: tc.w, Activations: tc.a}); got != want || on == tc.off {
				t.Errorf("got  %+v, quantized %v\nwant %+v, quantized %v", got, on, want, !tc.off)
			}
		})
	}
}

func TestSpec(t *testing.T) {
	for _, tc := range []struct {
		name        string
		set         Tensor
		part        part
		nonNegative bool
		want        fakequant.Spec
	}{
		{"weights", Tensor{}, weights, false, fakequant.Spec{Bits: 8, NarrowRange: true, Granularity: fakequant.PerChannel, Axis: 3}},
		{"weights, not negative", Tensor{}, weights, true, fakequant.Spec{Bits: 8, NarrowRange: true, Granularity: fakequant.PerChannel, Axis: 3}},
		{"weights per block", Tensor{Bits: 4, Granularity: PerBlock, BlockSize: 7}, weights, false, fakequant.Spec{Bits: 4, NarrowRange: true, Granularity: fakequant.PerBlock, Axis: 1, BlockSize: 7}},
		{"weights per tensor", Tensor{Granularity: PerTensor, Scheme: Affine, Unsigned: Yes}, weights, false, fakequant.Spec{Bits: 8, Unsigned: true, Scheme: fakequant.Affine}},
		{"activations", Tensor{}, activations, false, fakequant.Spec{Bits: 8}},
		{"activations after ReLU", Tensor{}, activations, true, fakequant.Spec{Bits: 8, Unsigned: true}},
		{"signed activations after ReLU", Tensor{Unsigned: No}, activations, true, fakequant.Spec{Bits: 8}},
		{"unsigned activations", Tensor{Unsigned: Yes}, activations, false, fakequant.Spec{Bits: 8, Unsigned: true}},
		{"affine activations", Tensor{Scheme: Affine, Bits: 5}, activations, false, fakequant.Spec{Bits: 5, Unsigned: true, Scheme: fakequant.Affine}},
		{"signed affine activations", Tensor{Scheme: Affine, Unsigned: No}, activations, true, fakequant.Spec{Bits: 8, Scheme: fakequant.Affine}},
	} {
		got := tc.set.withDefaults(tc.part).Spec(3, 1, tc.nonNegative)
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// A valid config names only observers that exist, with constants that they take.
func TestResolvedObserversExist(t *testing.T) {
	for _, kind := range observers.Kinds() {
		c := Tensor{Observer: kind}.withDefaults(weights)
		if _, err := observers.New(c.Observer); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for _, s := range c.constants() {
			if has := slices.Contains(s.observers, kind); has != (s.value != 0) || has && !s.valid {
				t.Errorf("%s: %s %v", kind, s.key, s.value)
			}
		}
		if err := (Config{Global: &Layer{Weights: c}}).Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestMilestones(t *testing.T) {
	const off, obs, quant, both = fakequant.Off, fakequant.Observing, fakequant.Quantizing, fakequant.ObservingAndQuantizing
	for _, tc := range []struct {
		name       string
		milestones Milestones
		phases     []fakequant.Phase // after 0, 1, 2 … calls of Step
		frozenAt   int               // calls after which BatchNorm is frozen, -1 never
	}{
		{"zero value", Milestones{}, []fakequant.Phase{both, both, both}, -1},
		{"one after the other", MilestonesAt(0, 1, 2, 3), []fakequant.Phase{off, obs, both, quant, quant, quant}, 4},
		{"all at once", MilestonesAt(0, 0, 2, 0), []fakequant.Phase{off, both, both, quant}, 1},
		{"never", MilestonesAt(Never, Never, Never, Never), []fakequant.Phase{off, off, off}, -1},
		{"observe only", MilestonesAt(1, Never, Never, Never), []fakequant.Phase{off, off, obs, obs}, -1},
		{"ranges from elsewhere", MilestonesAt(Never, 1, Never, Never), []fakequant.Phase{off, off, quant, quant}, -1},
		{"quantizing after observing", MilestonesAt(0, 2, 1, Never), []fakequant.Phase{off, obs, off, quant}, -1},
		{"equal start and stop cancel", MilestonesAt(1, 1, 1, Never), []fakequant.Phase{off, off, quant}, -1},
		{"a stop before the start is undone by it", MilestonesAt(2, 2, 0, Never), []fakequant.Phase{off, off, off, both}, -1},
	} {
		for steps, want := range tc.phases {
			phase, frozen := tc.milestones.After(steps)
			wantFrozen := tc.frozenAt >= 0 && steps >= tc.frozenAt
			if phase != want || frozen != wantFrozen {
				t.Errorf("%s: after %d steps: %v, BatchNorm frozen %v; want %v, %v", tc.name, steps, phase, frozen, want, wantFrozen)
			}
		}
	}
}

// The words of settings are the names of the formats that they stand for.
func TestSettingsAreFormats(t *testing.T) {
	for set, want := range map[SchemeSetting]fakequant.Scheme{Symmetric: fakequant.Symmetric, Affine: fakequant.Affine} {
		if got := (Tensor{Scheme: set}).withDefaults(weights).Spec(0, 1, false).Scheme; got != want || string(set) != want.String() {
			t.Errorf("%s: %v, want %v", set, got, want)
		}
	}
	for set, want := range map[GranularitySetting]fakequant.Granularity{
		PerTensor: fakequant.PerTensor, PerChannel: fakequant.PerChannel, PerBlock: fakequant.PerBlock} {
		if got := (Tensor{Granularity: set}).withDefaults(weights).Spec(0, 1, false).Granularity; got != want || string(set) != want.String() {
			t.Errorf("%s: %v, want %v", set, got, want)
		}
	}
}
