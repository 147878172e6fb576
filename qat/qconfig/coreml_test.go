package qconfig

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goqat/goqat/internal/nn"
)

// The settings that Core ML Tools' classes have by default.
func trainedByDefault() *Layer {
	return &Layer{
		Weights: Tensor{Bits: 8, Scheme: Symmetric, Granularity: PerChannel, NarrowRange: No, Unsigned: No,
			Observer: "moving_average_min_max", Estimator: STE, MinScale: 0x1p-23},
		Activations: Tensor{Bits: 8, Scheme: Symmetric, Granularity: PerTensor, NarrowRange: No, Unsigned: Auto,
			Observer: "moving_average_min_max", Estimator: STE, MinScale: 0x1p-23},
	}
}

func roundedByDefault() *Layer {
	return &Layer{
		Weights: Tensor{Bits: 8, Scheme: Symmetric, Granularity: PerChannel, NarrowRange: Yes, Unsigned: No,
			Observer: "latest", Estimator: STE},
		Activations: Tensor{Off: true},
	}
}

func convertedByDefault() *Layer {
	l := roundedByDefault()
	l.Weights.WeightThreshold = 2048
	return l
}

// changed changes a layer's settings.
func changed(l *Layer, change func(*Layer)) *Layer {
	change(l)
	return l
}

func TestCoreMLConfigs(t *testing.T) {
	off := offLayer()
	ms := MilestonesAt(0, 100, 400, 200)
	for _, tc := range []struct {
		name, text string
		want       Config
	}{
		{"the example of their guide", "global_config: {quantization_scheme: symmetric, weight_dtype: qint4, milestones: [0, 100, 400, 200]}\n" +
			"module_type_configs: {Linear: null, Conv2d: {activation_dtype: float32}}\nmodule_name_configs: {head.fc: null}\n",
			Config{Milestones: ms, Global: changed(trainedByDefault(), func(l *Layer) { l.Weights.Bits = 4 }),
				Types: map[string]*Layer{"matmul": nil, "conv": changed(trainedByDefault(), func(l *Layer) { l.Activations = Tensor{Off: true} })},
				Names: map[string]*Layer{"head.fc": nil}}},
		{"nothing", "global_config: null\nmodule_type_configs: {}", Config{Global: trainedByDefault()}},
		{"empty global", "global_config: {}", Config{Global: trainedByDefault()}},
		{"every field", "global_config:\n  algorithm: learnable\n  weight_dtype: quint8\n  weight_observer: min_max\n  weight_per_channel: false\n" +
			"  activation_dtype: quint8\n  activation_observer: ema_min_max\n  quantization_scheme: affine\n  milestones: null\n",
			Config{Global: &Layer{
				Weights:     Tensor{Bits: 8, Unsigned: Yes, Scheme: Affine, Granularity: PerTensor, NarrowRange: No, Observer: "min_max", Estimator: LSQ, MinScale: 0x1p-23},
				Activations: Tensor{Bits: 8, Unsigned: Auto, Scheme: Affine, Granularity: PerTensor, NarrowRange: No, Observer: "ema_min_max", Estimator: LSQ, MinScale: 0x1p-23},
			}}},
		{"weights in float", "global_config: {weight_dtype: float32, algorithm: vanilla}",
			Config{Global: changed(trainedByDefault(), func(l *Layer) { l.Weights = Tensor{Off: true} })}},
		{"no global", "module_name_configs: {fc: {}}", Config{Global: &off, Names: map[string]*Layer{"fc": trainedByDefault()}}},
		{"milestones of a type", "module_type_configs: {Conv2d: {milestones: [0, 100, 400, 200]}}",
			Config{Global: &off, Milestones: ms, Types: map[string]*Layer{"conv": trainedByDefault()}}},
		{"milestones of a layer", "global_config: {}\nmodule_name_configs: {fc: {milestones: [0, 100, 400, 200]}}",
			Config{Global: trainedByDefault(), Names: map[string]*Layer{"fc": changed(trainedByDefault(), func(l *Layer) { l.Milestones = ms })}}},
		{"types by their other names", "global_config: {}\nmodule_type_configs: {torch.nn.Conv2d: null, conv2d: null, operator.add: null, ReLU6: null, torch.cat: null}",
			Config{Global: trainedByDefault(), Types: map[string]*Layer{"conv": nil, "add": nil, "clip": nil, "concat": nil}}},
		{"types without a layer here", "global_config: {}\nmodule_type_configs: {Conv3d: null, LSTM: {}, Softmax: null}",
			Config{Global: trainedByDefault(), Types: map[string]*Layer{"softmax": nil}}},
		{"activations and norms", "global_config: {}\nmodule_type_configs: {GELU: null, SiLU: null, Hardswish: null, torch.nn.ELU: null, SELU: null, Hardsigmoid: null, LayerNorm: null, GroupNorm: null, InstanceNorm2d: null, Embedding: null}",
			Config{Global: trainedByDefault(), Types: map[string]*Layer{"gelu": nil, "gelu_tanh": nil, "silu": nil, "hard_swish": nil, "elu": nil, "selu": nil,
				"hard_sigmoid": nil, "layer_norm": nil, "group_norm": nil, "gather": nil}}},
		{"both forms of GELU", "global_config: {}\nmodule_type_configs: {gelu: {weight_dtype: quint4}}",
			Config{Global: trainedByDefault(), Types: map[string]*Layer{"gelu": changed(trainedByDefault(), func(l *Layer) { l.Weights.Bits, l.Weights.Unsigned = 4, Yes }),
				"gelu_tanh": changed(trainedByDefault(), func(l *Layer) { l.Weights.Bits, l.Weights.Unsigned = 4, Yes })}}},
		{"one kind by two keys", "global_config: {}\nmodule_type_configs: {Conv1d: {weight_dtype: quint4}, Conv2d: {weight_dtype: quint4}}",
			Config{Global: trainedByDefault(), Types: map[string]*Layer{"conv": changed(trainedByDefault(), func(l *Layer) { l.Weights.Bits, l.Weights.Unsigned = 4, Yes })}}},
		{"weights in float after training", "global_config: {weight_dtype: float32, granularity: per_tensor}", Config{Global: &off}},
		{"ignored keys and inputs", "global_config: {}\nnon_traceable_module_names: [a.b]\npreserved_attributes: [version]\nroles: {inputs: [x]}",
			Config{Global: trainedByDefault(), Roles: Roles{Inputs: []string{"x"}}}},
		{"post-training", "global_config: {weight_dtype: uint4, granularity: per_tensor}",
			Config{Global: changed(roundedByDefault(), func(l *Layer) {
				l.Weights.Bits, l.Weights.Unsigned, l.Weights.Granularity = 4, Yes, PerTensor
			})}},
		{"post-training by its dtype", "global_config: {weight_dtype: int8, quantization_scheme: affine}",
			Config{Global: changed(roundedByDefault(), func(l *Layer) { l.Weights.Scheme, l.Weights.NarrowRange = Affine, No })}},
		{"blocks", "global_config: {granularity: per_block, block_size: 16}",
			Config{Global: changed(roundedByDefault(), func(l *Layer) { l.Weights.Granularity, l.Weights.BlockSize = PerBlock, 16 })}},
		{"blocks by axis", "module_type_configs: {Conv2d: {granularity: per_block, block_size: [0, 16, 0, 0]}}",
			Config{Global: &off, Types: map[string]*Layer{"conv": changed(roundedByDefault(), func(l *Layer) { l.Weights.Granularity, l.Weights.BlockSize = PerBlock, 16 })}}},
		{"converted model", "config_type: OpLinearQuantizerConfig\nglobal_config: {mode: LINEAR_SYMMETRIC, dtype: int8}\nop_type_configs: {linear: null}\nop_name_configs: {c: {dtype: int4, granularity: per_block, weight_threshold: 0}}",
			Config{Global: convertedByDefault(), Types: map[string]*Layer{"matmul": nil}, Names: map[string]*Layer{"c": changed(convertedByDefault(), func(l *Layer) {
				l.Weights.Bits, l.Weights.Granularity, l.Weights.BlockSize, l.Weights.WeightThreshold = 4, PerBlock, 32, 9
			})}}},
		{"converted model by its fields", "global_config: {mode: linear, weight_threshold: 512, granularity: per_block, block_size: [1, 0]}",
			Config{Global: changed(convertedByDefault(), func(l *Layer) {
				l.Weights.Scheme, l.Weights.NarrowRange, l.Weights.WeightThreshold = Affine, No, 512
			})}},
		{"converted model, nothing set", "config_type: OpLinearQuantizerConfig", Config{Global: &off}},
	} {
		c, err := ReadYAML(strings.NewReader(tc.text))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if tc.want.QuantizeOutputs = training(tc.want); !equalConfig(c, tc.want) {
			got, _ := c.YAML()
			want, _ := tc.want.YAML()
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, want)
		} else {
			rewritten(t, c)
		}
	}
}

// training reports whether a config quantizes activations somewhere, as only those for
// training do.
func training(c Config) bool {
	on := func(l *Layer) bool { return l != nil && !l.Activations.Off }
	any := on(c.Global)
	for _, l := range c.Types {
		any = any || on(l)
	}
	for _, l := range c.Names {
		any = any || on(l)
	}
	return any
}

// rewritten checks that c, written in goqat's own form and read again, is the same.
func rewritten(t *testing.T, c Config) {
	t.Helper()
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadYAML(strings.NewReader(string(text)))
	if err != nil || !equalConfig(again, c) || again.Notes() != nil {
		t.Errorf("written and read again: %v\n%s", err, text)
	}
}

// FuzzCoreML: no text makes the reader fail but with an error about the config, and
// what it accepts can be written and read again.
func FuzzCoreML(f *testing.F) {
	for i, c := range badCoreML {
		if i%4 == 0 {
			f.Add(c.text)
		}
	}
	f.Add("config_type: OpLinearQuantizerConfig\nglobal_config: {mode: LINEAR, dtype: int4, granularity: per_block, block_size: [1, 8]}")
	f.Add("global_config: {milestones: [0, 1, 2, -1]}\nmodule_type_configs: {Conv2d: null}\nmodule_name_configs: {a.b: {weight_dtype: qint4}}")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ReadYAML(strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrConfig) {
				t.Errorf("error %v does not wrap ErrConfig", err)
			}
			return
		}
		rewritten(t, c)
	})
}

// TestCoreMLKinds: what types mean are kinds of layers that there are, and no type is
// twice in the lists.
func TestCoreMLKinds(t *testing.T) {
	all := nn.Kinds()
	for bare, kinds := range coreMLKinds {
		for _, k := range strings.Fields(kinds) {
			if !slices.Contains(all, k) {
				t.Errorf("%s means %s, which is no kind of layer", bare, k)
			}
		}
		if slices.Contains(coreMLOther, bare) {
			t.Errorf("%s stands in both lists", bare)
		}
	}
}

// TestCoreMLFiles: a file and its JSON twin read alike.
func TestCoreMLFiles(t *testing.T) {
	dir := t.TempDir()
	var configs []Config
	for name, text := range map[string]string{
		"c.yaml": "global_config:\n  weight_dtype: qint4\nmodule_name_configs:\n  head.fc: null\n",
		"c.json": `{"global_config": {"weight_dtype": "qint4"}, "module_name_configs": {"head.fc": null}}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, c)
		err = c.CheckNames([]string{"fc"}, nil)
		wantConfigError(t, name, err, "module_name_configs.\"head.fc\": no layer \"head.fc\"")
		wantConfigError(t, name, err, name+": line ")
	}
	if !equalConfig(configs[0], configs[1]) {
		t.Errorf("YAML %+v and JSON %+v differ", configs[0], configs[1])
	}
}

func TestCoreMLNotes(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []string // begins of the notes, in order
	}{
		{"global: {}", nil},
		{"global_config: {weight_observer: min_max, activation_dtype: float32}", []string{
			"line 1, column 1: global_config: weights use every code"}},
		{"global_config:\n  algorithm: learnable\n  weight_observer: ema_min_max\n  weight_dtype: float32", []string{
			"line 1, column 1: global_config: symmetric activations that may be negative are int8",
			"line 2, column 3: global_config.algorithm: scales are learned from the first step that quantizes"}},
		{"module_type_configs:\n  Linear: {quantization_scheme: affine, weight_dtype: float32}\n  Conv2d: null\nmodule_name_configs:\n  a: {weight_dtype: float32, activation_dtype: float32, algorithm: learnable}", []string{
			"without a global_config, layers that no entry names stay float",
			"line 2, column 3: module_type_configs.Linear: it holds for torch.matmul too",
			"line 3, column 3: module_type_configs.Conv2d: it holds for Conv1d too",
			"line 5, column 3: module_name_configs.a: layers differ in their quantization_scheme",
			"line 5, column 57: module_name_configs.a.algorithm: layers differ in their algorithm"}},
		{"global_config: {weight_dtype: float32, activation_dtype: float32}\nmodule_type_configs: {ConvTranspose3d: null, LSTM: null}\npreserved_attributes: [a]\nnon_traceable_module_names: []", []string{
			"line 2, column 23: module_type_configs.ConvTranspose3d: no effect here: goqat has no such kind of layer",
			"line 3, column 1: preserved_attributes: no effect here"}},
		{"global_config: {weight_dtype: float32, activation_dtype: float32, milestones: [1, 2, 3, 4]}\nmodule_name_configs: {a: {weight_dtype: float32, activation_dtype: float32, milestones: [2, 2, 3, 4]}}", []string{
			"line 2, column 77: module_name_configs.a.milestones: they are not those of the network"}},
		{"global_config: {granularity: per_block, block_size: 3, quantization_scheme: affine}", []string{
			"line 1, column 1: global_config: zero points of affine weights",
			"line 1, column 41: global_config.block_size: a block size that does not divide"}},
		{"global_config: {weight_dtype: quint8, weight_observer: min_max, activation_dtype: float32}", []string{
			"line 1, column 1: global_config: weights use every code",
			"line 1, column 17: global_config.weight_dtype: the zero point of symmetric uint8 weights is 127"}},
		{"op_name_configs: {}", []string{"nothing is configured: every layer stays float", "Core ML Tools refuses an OptimizationConfig without config_type"}},
		{"preserved_attributes: []", []string{"nothing is configured: every layer has the defaults of Core ML Tools' LinearQuantizerConfig",
			"weights use every code", "the range of weights is averaged", "symmetric activations that may be negative"}},
	} {
		c, err := ReadYAML(strings.NewReader(tc.text))
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
			continue
		}
		var got []string
		for _, n := range c.Notes() {
			got = append(got, n.String())
		}
		if len(got) != len(tc.want) {
			t.Errorf("%q: %d notes, want %d:\n  %s", tc.text, len(got), len(tc.want), strings.Join(got, "\n  "))
			continue
		}
		for i, w := range tc.want {
			if !strings.HasPrefix(got[i], w) {
				t.Errorf("%q: note %q, want one that begins with %q", tc.text, got[i], w)
			}
		}
	}
}
