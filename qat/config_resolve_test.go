package qat

import (
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/observers"
)

var (
	defaultWeights = TensorConfig{Bits: 8, Scheme: Symmetric, Granularity: PerChannel, NarrowRange: Yes, Unsigned: No, Observer: "latest", Estimator: STE}
	defaultActs    = TensorConfig{Bits: 8, Scheme: Symmetric, Granularity: PerTensor, NarrowRange: No, Unsigned: Auto, Observer: "moving_average_min_max", ObserverConstant: 0.01, Estimator: STE}
	offTensor      = TensorConfig{Off: true}
)

// with returns a copy of t that change has worked on.
func with(t TensorConfig, change func(*TensorConfig)) TensorConfig {
	change(&t)
	return t
}

func TestResolve(t *testing.T) {
	bits := func(b int) TensorConfig { return TensorConfig{Bits: b} }
	layers := func(name string, l *LayerConfig) map[string]*LayerConfig { return map[string]*LayerConfig{name: l} }
	weights4 := with(defaultWeights, func(t *TensorConfig) { t.Bits = 4 })
	blocks := TensorConfig{Granularity: PerBlock, BlockSize: 16}
	perBlock := func(size int) TensorConfig {
		return with(defaultWeights, func(t *TensorConfig) { t.Granularity, t.BlockSize = PerBlock, size })
	}
	learned := TensorConfig{Estimator: LSQ, ScaleInit: "lsq"}
	lsq := func(init string) TensorConfig {
		return with(defaultWeights, func(t *TensorConfig) { t.Estimator, t.ScaleInit = LSQ, init })
	}
	ema := TensorConfig{Observer: "ema_min_max", ObserverConstant: 0.5}
	for _, tc := range []struct {
		name   string
		config Config
		w, a   TensorConfig
		off    bool
	}{
		{name: "zero config", w: defaultWeights, a: defaultActs},
		{name: "global", config: Config{Global: &LayerConfig{Weights: bits(4)}}, w: weights4, a: defaultActs},
		{name: "type before global", config: Config{Global: &LayerConfig{Weights: bits(2)}, Types: layers("conv", &LayerConfig{Weights: bits(4)})}, w: weights4, a: defaultActs},
		{name: "name before type", config: Config{Types: layers("conv", &LayerConfig{Weights: bits(2)}), Names: layers("c1", &LayerConfig{Weights: bits(4)})}, w: weights4, a: defaultActs},
		{name: "other type and name", config: Config{Types: layers("matmul", nil), Names: layers("c2", nil)}, w: defaultWeights, a: defaultActs},
		{name: "null type skips", config: Config{Types: layers("conv", nil)}, w: offTensor, a: offTensor, off: true},
		{name: "null name skips", config: Config{Names: layers("c1", nil)}, w: offTensor, a: offTensor, off: true},
		{name: "name brings a skipped type back", config: Config{Types: layers("conv", nil), Names: layers("c1", &LayerConfig{})}, w: defaultWeights, a: defaultActs},
		{name: "a name inherits from global, not from its type",
			config: Config{Global: &LayerConfig{Weights: bits(4)}, Types: layers("conv", &LayerConfig{Weights: bits(2)}), Names: layers("c1", &LayerConfig{Activations: bits(8)})}, w: weights4, a: defaultActs},
		{name: "global off", config: Config{Global: &LayerConfig{Weights: offTensor, Activations: offTensor}}, w: offTensor, a: offTensor, off: true},
		{name: "one part listed under global off", config: Config{Global: &LayerConfig{Weights: offTensor, Activations: offTensor}, Names: layers("c1", &LayerConfig{Weights: bits(4)})}, w: weights4, a: offTensor},
		{name: "weights only", config: Config{Global: &LayerConfig{Activations: offTensor}}, w: defaultWeights, a: offTensor},
		{name: "a part off for one layer", config: Config{Global: &LayerConfig{Weights: bits(4)}, Names: layers("c1", &LayerConfig{Weights: offTensor})}, w: offTensor, a: defaultActs},
		{name: "affine weights have the full range", config: Config{Global: &LayerConfig{Weights: TensorConfig{Scheme: Affine}}},
			w: with(defaultWeights, func(t *TensorConfig) { t.Scheme, t.NarrowRange = Affine, No }), a: defaultActs},
		{name: "a set range outlives the scheme", config: Config{Global: &LayerConfig{Weights: TensorConfig{Scheme: Affine, NarrowRange: Yes}}},
			w: with(defaultWeights, func(t *TensorConfig) { t.Scheme = Affine }), a: defaultActs},
		{name: "block size default", config: Config{Global: &LayerConfig{Weights: TensorConfig{Granularity: PerBlock}}}, w: perBlock(32), a: defaultActs},
		{name: "block size inherited", config: Config{Global: &LayerConfig{Weights: blocks}, Names: layers("c1", &LayerConfig{Weights: TensorConfig{Granularity: PerBlock}})}, w: perBlock(16), a: defaultActs},
		{name: "granularity and block size inherited", config: Config{Global: &LayerConfig{Weights: blocks}, Names: layers("c1", &LayerConfig{Weights: bits(8)})}, w: perBlock(16), a: defaultActs},
		{name: "block size not inherited by another granularity", config: Config{Global: &LayerConfig{Weights: blocks}, Names: layers("c1", &LayerConfig{Weights: TensorConfig{Granularity: PerChannel}})}, w: defaultWeights, a: defaultActs},
		{name: "observer constant inherited", config: Config{Global: &LayerConfig{Activations: ema}, Names: layers("c1", &LayerConfig{Activations: bits(8)})}, w: defaultWeights,
			a: with(defaultActs, func(t *TensorConfig) { t.Observer, t.ObserverConstant = "ema_min_max", 0.5 })},
		{name: "observer constant not inherited by another observer", config: Config{Global: &LayerConfig{Activations: ema}, Names: layers("c1", &LayerConfig{Activations: TensorConfig{Observer: "min_max"}})}, w: defaultWeights,
			a: with(defaultActs, func(t *TensorConfig) { t.Observer, t.ObserverConstant = "min_max", 0 })},
		{name: "observer constant default of the other observer", config: Config{Global: &LayerConfig{Activations: TensorConfig{ObserverConstant: 0.5}}, Names: layers("c1", &LayerConfig{Activations: TensorConfig{Observer: "ema_min_max"}})}, w: defaultWeights,
			a: with(defaultActs, func(t *TensorConfig) { t.Observer, t.ObserverConstant = "ema_min_max", 0.9 })},
		{name: "scale init default", config: Config{Global: &LayerConfig{Weights: TensorConfig{Estimator: LSQ}}}, w: lsq("observer"), a: defaultActs},
		{name: "scale init inherited", config: Config{Global: &LayerConfig{Weights: learned}, Names: layers("c1", &LayerConfig{Weights: bits(8)})}, w: lsq("lsq"), a: defaultActs},
		{name: "scale init not inherited by another estimator", config: Config{Global: &LayerConfig{Weights: learned}, Names: layers("c1", &LayerConfig{Weights: TensorConfig{Estimator: STE}})}, w: defaultWeights, a: defaultActs},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.config.Validate(); err != nil {
				t.Fatal(err)
			}
			got, on := tc.config.resolve("c1", "conv")
			if want := (LayerConfig{Weights: tc.w, Activations: tc.a}); got != want || on == tc.off {
				t.Errorf("got  %+v, quantized %v\nwant %+v, quantized %v", got, on, want, !tc.off)
			}
		})
	}
}

func TestSpec(t *testing.T) {
	for _, tc := range []struct {
		name        string
		set         TensorConfig
		part        part
		nonNegative bool
		want        fakequant.Spec
	}{
		{"weights", TensorConfig{}, weights, false, fakequant.Spec{Bits: 8, NarrowRange: true, Granularity: fakequant.PerChannel, Axis: 3}},
		{"weights, not negative", TensorConfig{}, weights, true, fakequant.Spec{Bits: 8, NarrowRange: true, Granularity: fakequant.PerChannel, Axis: 3}},
		{"weights per block", TensorConfig{Bits: 4, Granularity: PerBlock, BlockSize: 7}, weights, false, fakequant.Spec{Bits: 4, NarrowRange: true, Granularity: fakequant.PerBlock, Axis: 1, BlockSize: 7}},
		{"weights per tensor", TensorConfig{Granularity: PerTensor, Scheme: Affine, Unsigned: Yes}, weights, false, fakequant.Spec{Bits: 8, Unsigned: true, Scheme: fakequant.Affine}},
		{"activations", TensorConfig{}, activations, false, fakequant.Spec{Bits: 8}},
		{"activations after ReLU", TensorConfig{}, activations, true, fakequant.Spec{Bits: 8, Unsigned: true}},
		{"signed activations after ReLU", TensorConfig{Unsigned: No}, activations, true, fakequant.Spec{Bits: 8}},
		{"unsigned activations", TensorConfig{Unsigned: Yes}, activations, false, fakequant.Spec{Bits: 8, Unsigned: true}},
		{"affine activations", TensorConfig{Scheme: Affine, Bits: 5}, activations, false, fakequant.Spec{Bits: 5, Unsigned: true, Scheme: fakequant.Affine}},
		{"signed affine activations", TensorConfig{Scheme: Affine, Unsigned: No}, activations, true, fakequant.Spec{Bits: 8, Scheme: fakequant.Affine}},
	} {
		got := tc.set.withDefaults(tc.part).spec(3, 1, tc.nonNegative)
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
		c := TensorConfig{Observer: kind}.withDefaults(weights)
		if _, err := observers.New(c.Observer); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if none := kind == observers.KindMinMax || kind == observers.KindLatest || kind == observers.KindLatestMSE; none != (c.ObserverConstant == 0) {
			t.Errorf("%s: constant %v", kind, c.ObserverConstant)
		}
		if err := (Config{Global: &LayerConfig{Weights: c}}).Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// An observer gets its constant and the format, and so do those of its sites.
func TestNewObserver(t *testing.T) {
	spec := fakequant.Spec{Bits: 4, Unsigned: true, Scheme: fakequant.Affine}
	const codes = `"codes":{"bits":4,"unsigned":true,"affine":true,"non_negative":true},`
	for _, tc := range []struct {
		observer string
		constant float64
		want     string
	}{
		{"moving_average_min_max", 0.5, `"constant":0.5,`},
		{"ema_min_max", 0.5, `"ratio":0.5,`},
		{"percentile", 99.9, `"percentile":99.9,`},
		{"percentile", 0, `"percentile":99.99,`},
		{"histogram", 64, `"bins":64,`},
		{"mse", 64, `"bins":64,` + codes},
		{"mse", 0, `"bins":2048,` + codes},
		{"kl", 64, `"bins":64,` + codes},
		{"latest_mse", 0, codes},
		{"latest", 0, ``},
		{"min_max", 0, ``},
	} {
		set := TensorConfig{Observer: tc.observer, ObserverConstant: tc.constant}.withDefaults(weights)
		obs, err := newObserver(set, spec, true)
		if err != nil {
			t.Fatal(err)
		}
		got, err := obs.Fresh().MarshalJSON()
		if want := `{"kind":"` + tc.observer + `",` + tc.want + `"batches":0,"lo":[],"hi":[]}`; err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", tc.observer, got, err, want)
		}
	}
}

func TestSchedule(t *testing.T) {
	const off, obs, quant, both = fakequant.Off, fakequant.Observing, fakequant.Quantizing, fakequant.ObservingAndQuantizing
	for _, tc := range []struct {
		name     string
		schedule Schedule
		phases   []fakequant.Phase // after 0, 1, 2 … calls of Step
		frozenAt int               // calls after which BatchNorm is frozen, -1 never
	}{
		{"zero value", Schedule{}, []fakequant.Phase{both, both, both}, -1},
		{"one after the other", Milestones(0, 1, 2, 3), []fakequant.Phase{off, obs, both, quant, quant, quant}, 4},
		{"all at once", Milestones(0, 0, 2, 0), []fakequant.Phase{off, both, both, quant}, 1},
		{"never", Milestones(Never, Never, Never, Never), []fakequant.Phase{off, off, off}, -1},
		{"observe only", Milestones(1, Never, Never, Never), []fakequant.Phase{off, off, obs, obs}, -1},
		{"ranges from elsewhere", Milestones(Never, 1, Never, Never), []fakequant.Phase{off, off, quant, quant}, -1},
		{"quantizing after observing", Milestones(0, 2, 1, Never), []fakequant.Phase{off, obs, off, quant}, -1},
		{"equal start and stop cancel", Milestones(1, 1, 1, Never), []fakequant.Phase{off, off, quant}, -1},
		{"a stop before the start is undone by it", Milestones(2, 2, 0, Never), []fakequant.Phase{off, off, off, both}, -1},
	} {
		for steps, want := range tc.phases {
			phase, frozen := tc.schedule.after(steps)
			wantFrozen := tc.frozenAt >= 0 && steps >= tc.frozenAt
			if phase != want || frozen != wantFrozen {
				t.Errorf("%s: after %d steps: %v, BatchNorm frozen %v; want %v, %v", tc.name, steps, phase, frozen, want, wantFrozen)
			}
		}
	}
}

func TestDidYouMean(t *testing.T) {
	layers := []string{"conv1", "conv2", "block1.conv", "fc"}
	for _, tc := range []struct{ word, want string }{
		{"conv3", `did you mean "conv1"?`}, // equally close: alphabetical
		{"Conv2", `did you mean "conv2"?`},
		{"cnov2", `did you mean "conv2"?`}, // swapped neighbours count once
		{"fd", `did you mean "fc"?`},
		{"gd", ""},
		{"blok1.cnov", `did you mean "block1.conv"?`},
		{"", ""},
		{"softmax", ""},
		{string(make([]byte, 100_000)), ""},
	} {
		if got := didYouMean(tc.word, layers); got != tc.want {
			t.Errorf("didYouMean(%.20q) = %q, want %q", tc.word, got, tc.want)
		}
	}
	if got := didYouMean("conv", nil); got != "" {
		t.Errorf("without options: %q", got)
	}
}
