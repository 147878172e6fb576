package qconfig

import (
	"strings"
	"testing"
)

// badCoreML holds texts in Core ML Tools' form that are refused and what the error
// says: where, and how to put it right.
var badCoreML = []struct{ text, want string }{
	// The root.
	{"global_cnfig: {}", `line 1, column 1: global_cnfig: unknown key: did you mean "global_config"?`},
	{"global_config: {}\nmodule_type_config: {}", `line 2, column 1: module_type_config: unknown key: did you mean "module_type_configs"?`},
	{"global_config: {}\nglobal: {}", `line 2, column 1: global: a key of goqat's own form in a file in the form of Core ML Tools' LinearQuantizerConfig: use the keys of one`},
	{"milestones: [0, 1, 2, 3]\nglobal_config: {}", `line 1, column 1: milestones: a key of goqat's own form`},
	{"global_config: {}\nglobal_config: {}", `line 2, column 1: global_config: the key is there twice, first in line 1: remove one`},
	{"global_config: 4", `line 1, column 16: global_config: want keys with values, got the number 4`},
	{"global_config: [a]", `global_config: want keys with values, got a list`},
	{"module_type_configs: [Linear]", `line 1, column 22: module_type_configs: want keys with values, got a list`},
	{"module_name_configs: {1: null}", `line 1, column 23: module_name_configs.?: want a text as key, got the number 1: put it in quotes`},
	{"global_config: {}\npreserved_attributes: name", `line 2, column 1: preserved_attributes: want a list, got the text "name"`},
	{"global_config: {}\nnon_traceable_module_names: [a, 2]", `line 2, column 33: non_traceable_module_names[1]: want a text, got the number 2: put it in quotes`},
	{"global_config: {}\nroles: {inputs: x}", `line 2, column 9: roles.inputs: want a list`},
	// Layers in training.
	{"global_config: {algoritm: vanilla}", `line 1, column 17: global_config.algoritm: unknown key: did you mean "algorithm"?`},
	{"global_config: {weight_n_bits: 4}", `global_config.weight_n_bits: unknown key: want one of activation_dtype, activation_observer, algorithm, milestones, quantization_scheme, weight_dtype, weight_observer, weight_per_channel`},
	{"global_config:\n  algorithm: vanila", `line 2, column 3: global_config.algorithm: unknown value "vanila": did you mean "vanilla"?`},
	{"global_config: {algorithm: lsq}", `unknown value "lsq": want one of learnable, vanilla`},
	{"global_config: {algorithm: null}", `global_config.algorithm: want a text, got null: leave the key out for the default`},
	{"global_config: {algorithm: vanilla, weight_dtype: int8}", `line 1, column 37: global_config.weight_dtype: unknown value "int8": did you mean "qint8"?`},
	{"global_config: {weight_dtype: qint2, milestones: null}", `global_config.weight_dtype: unknown value "qint2": did you mean "qint4"?`},
	{"global_config: {weight_dtype: bfloat16}", `unknown value "bfloat16": want one of float32, qint4, qint8, quint4, quint8`},
	{"global_config: {weight_dtype: 4}", `global_config.weight_dtype: want a text, got the number 4: put it in quotes`},
	{"global_config: {activation_dtype: qint8}", `global_config.activation_dtype: unknown value "qint8": did you mean "quint8"?`},
	{"global_config: {activation_dtype: quint4}", `unknown value "quint4": did you mean "quint8"?`},
	{"global_config: {quantization_scheme: symetric}", `global_config.quantization_scheme: unknown value "symetric": did you mean "symmetric"?`},
	{"global_config: {weight_observer: latest}", `global_config.weight_observer: unknown value "latest": want one of ema_min_max, min_max, moving_average_min_max`},
	{"global_config: {activation_observer: percentile}", `global_config.activation_observer: unknown value "percentile": want one of`},
	{"global_config: {weight_per_channel: 2}", `global_config.weight_per_channel: want true or false, got the number 2`},
	{"global_config: {weight_per_channel: auto}", `global_config.weight_per_channel: want true or false, got the text "auto"`},
	{"global_config: {weight_per_channel: 'true'}", `want true or false, got the text "true": remove the quotes`},
	// Milestones.
	{"global_config:\n  milestones: [0, 100, 400]", `line 2, column 3: global_config.milestones: 3 numbers: want 4: [observe, quantize, freeze_observers, freeze_batch_norm]`},
	{"global_config: {milestones: [0, 1, 2, 3, 4]}", `global_config.milestones: 5 numbers: want 4`},
	{"global_config: {milestones: []}", `global_config.milestones: 0 numbers: want 4`},
	{"global_config: {milestones: 4}", `global_config.milestones: want a list, got the number 4`},
	{"global_config: {milestones: [0, 1, x, 2]}", `line 1, column 36: global_config.milestones[2]: want a whole number, got the text "x"`},
	{"global_config: {milestones: [0, 1, 2, -2]}", `line 1, column 17: global_config.milestones: freeze_batch_norm is -2: want a step from 0 on, or -1 for never`},
	{"global_config: {milestones: [5, 1, 9, 9]}", `global_config.milestones: quantize at step 1 comes before observe at step 5, when no range is known: want quantize >= observe`},
	{"module_name_configs:\n  fc: {milestones: [3, 3, 2, 9]}", `line 2, column 8: module_name_configs.fc.milestones: freeze_observers at step 2 comes before observe at step 3`},
	// Types and names.
	{"module_type_configs:\n  Conv2D: null\n  Liner: null", `line 3, column 3: module_type_configs.Liner: unknown type of layer: did you mean "linear"?`},
	{"module_type_configs: {MyBlock: null}", `module_type_configs.MyBlock: unknown type of layer: want a class of torch.nn such as Conv2d or Linear`},
	{"module_type_configs: {global_avg_pool: null}", `unknown type of layer: it is a kind of layer of goqat's own form`},
	{"module_type_configs:\n  Conv1d: null\n  Conv2d: {weight_dtype: qint8}", `line 3, column 3: module_type_configs.Conv2d: here it is the same kind of layer as Conv1d, "conv", and has other settings: give both the same`},
	{"module_name_configs: {'': null}", `module_name_configs."": the name is empty`},
	{"module_type_configs: {Linear: qint8}", `line 1, column 31: module_type_configs.Linear: want keys with values, got the text "qint8"`},
	// Post-training.
	{"global_config:\n  granularity: per_block", `line 2, column 3: global_config.granularity: per_block without a block_size: add one, such as block_size: 32`},
	{"global_config: {weight_dtype: int4, block_size: 32}", `global_config.block_size: with granularity per_channel: set granularity: per_block, or leave block_size out`},
	{"global_config: {granularity: per_row}", `global_config.granularity: unknown value "per_row": want one of per_block, per_channel, per_tensor`},
	{"global_config: {granularity: per_block, block_size: -1}", `global_config.block_size: -1: want at least 0`},
	{"global_config: {granularity: per_block, block_size: [4]}", `a list of 1: want one number for each axis of the weights, or a single number`},
	{"global_config: {granularity: per_block, block_size: [4, 16]}", `blocks of 4 output channels ([4 16]): goqat's blocks lie within one: want 1 as the first number`},
	{"global_config: {granularity: per_block, block_size: [1, 16, 3, 3]}", `blocks within a kernel ([1 16 3 3])`},
	{"global_config: {granularity: per_block, block_size: 4.5}", `global_config.block_size: want a whole number, got the number 4.5`},
	{"global_config: {granularity: per_channel, weight_dtype: qint8}", `global_config.weight_dtype: unknown value "qint8": did you mean "int8"?`},
	{"global_config: {granularity: per_channel, weight_dtype: fp8_e4m3}", `unknown value "fp8_e4m3": want one of float32, int4, int8, uint4, uint8`},
	{"global_config: {granularity: per_channel}\nmodule_name_configs: {'conv\\d+': null}", `line 2, column 23: module_name_configs.conv\d+: a regular expression ('\\'): write the names out, or a name above them`},
	{"global_config: {algorithm: vanilla}\nmodule_type_configs:\n  Linear: {granularity: per_tensor}", `line 3, column 12: module_type_configs.Linear.granularity: a setting of Core ML Tools' PostTrainingQuantizerConfig, but algorithm in line 1 is one of LinearQuantizerConfig: use the settings of one`},
	// Converted models.
	{"config_type: [a]", `config_type: want a text, got a list`},
	{"global_config: {mode: [a]}", `global_config.mode: want a text, got a list`},
	{"config_type: OpPalettizerConfig\nglobal_config: {}", `line 1, column 1: config_type: "OpPalettizerConfig": goqat quantizes linearly, it neither prunes nor builds palettes: want OpLinearQuantizerConfig`},
	{"op_type_configs: {conv: {config_type: OpMagnitudePrunerConfig}}", `op_type_configs.conv.config_type: "OpMagnitudePrunerConfig": goqat quantizes linearly`},
	{"global_config: {mode: kmeans}", `global_config.mode: unknown value "kmeans": want one of linear, linear_symmetric`},
	{"global_config: {mode: linear, dtype: float32}", `global_config.dtype: unknown value "float32": want one of int4, int8, uint4, uint8`},
	{"global_config: {weight_threshold: -1}", `line 1, column 17: global_config.weight_threshold: -1: want at least 0`},
	{"global_config: {weight_threshold: null}", `global_config.weight_threshold: null: Core ML Tools accepts it and then fails: write 0 for no limit, or leave the key out for 2048`},
	{"global_config: {weight_threshold: 2k}", `global_config.weight_threshold: want a whole number, got the text "2k"`},
	{"op_type_configs: {const: {mode: linear}}", `op_type_configs.const: const stands for all weights in Core ML Tools`},
	{"op_name_configs: {a: {granularity: per_block, block_size: [0, 32]}}", `op_name_configs.a.block_size: blocks of 0 output channels ([0 32])`},
	{"op_name_configs: {}\nmodule_name_configs: {}", `line 2, column 1: module_name_configs: a setting of Core ML Tools' LinearQuantizerConfig, but op_name_configs in line 1 is one of OptimizationConfig`},
	{"config_type: OpLinearQuantizerConfig\nglobal_config: {weight_dtype: int8}", `line 2, column 17: global_config.weight_dtype: a setting of Core ML Tools' LinearQuantizerConfig, but config_type in line 1`},
}

func TestCoreMLErrors(t *testing.T) {
	for _, tc := range badCoreML {
		wantConfigError(t, tc.text, second(ReadYAML(strings.NewReader(tc.text))), tc.want)
	}
	const tabs = "{\n\t\"global_config\": {\"weight_dtype\": \"qint16\"}\n}"
	wantConfigError(t, tabs, second(ReadJSON(strings.NewReader(tabs))), `line 2, column 20: global_config.weight_dtype: unknown value "qint16": did you mean "qint4"?`)
}

// badNewKeys are refused texts in goqat's own form about the keys that go beyond
// Core ML Tools.
var badNewKeys = []struct{ text, want string }{
	{"global: {weights: {weight_threshold: 0}}", `line 1, column 20: global.weights.weight_threshold: 0: want at least 1, or leave the key out for the default`},
	{"global: {weights: {weight_threshold: -5}}", `global.weights.weight_threshold: -5: want at least 1`},
	{"global: {weights: {weight_threshold: 2048.0}}", `global.weights.weight_threshold: want a whole number, got the number 2048.0`},
	{"names: {fc: {activations: {weight_threshold: 9}}}", `line 1, column 28: names.fc.activations.weight_threshold: 9: activations are not stored: leave the key out`},
	{"global: {weights: {estimator: learnable}}", `line 1, column 20: global.weights.estimator: unknown value "learnable": want one of lsq, ste`},
	{"global: {weights: {estimator: LSQ}}", `global.weights.estimator: unknown value "LSQ": did you mean "lsq"?`},
	{"global: {weights: {estimator: true}}", `global.weights.estimator: want a text, got true: put it in quotes`},
	{"global: {activations: {estimator: ''}}", `global.activations.estimator: the text is empty`},
	{"global: {weights: {estimator: lsq, scale_init: LSQ2}}", `global.weights.scale_init: unknown value "LSQ2": did you mean "lsq"?`},
	{"global: {weights: {estimator: lsq}}\nnames: {f: {weights: {estimator: ste, scale_init: lsq}}}", `line 2, column 39: names.f.weights.scale_init: lsq with estimator ste`},
	{"types: {conv: {activations: {scale_init: observer}}}", `line 1, column 30: types.conv.activations.scale_init: observer with estimator ste: only learned scales start anywhere: set estimator: lsq, or leave scale_init out`},
	{"milestone_unit: batches", `line 1, column 1: milestone_unit: unknown value "batches": want one of epochs, steps`},
	{"milestone_unit: [steps]", `milestone_unit: want a text, got a list`},
	{"milestone_unit: 1", `milestone_unit: want a text, got the number 1: put it in quotes`},
	{"types:\n  conv:\n    milestones: [0, 1, 2]", `line 3, column 5: types.conv.milestones: 3 numbers: want 4`},
	{"global: {milestones: [0, 1, 2, y]}", `line 1, column 32: global.milestones[3]: want a whole number, got the text "y"`},
	{"names: {a: {milestones: [4, 3, 9, 9]}}", `line 1, column 13: names.a.milestones: quantize at step 3 comes before observe at step 4`},
	{"names: {a: {milestones: {observe: 1}}}", `names.a.milestones: want a list, got keys with values`},
	{"global: {weights: {observer: latest_mse, averaging_constant: 2}}", `global.weights.averaging_constant: 2: the observer here is latest_mse, and averaging_constant belongs to moving_average_min_max: leave the key out`},
	{"global: {activations: {observer: min_max, ema_ratio: 0.5}}", `global.activations.ema_ratio: 0.5: the observer here is min_max, and ema_ratio belongs to ema_min_max: leave the key out`},
	{"global: {activations: {observer: ema_min_max, ema_ratio: 1.01}}", `line 1, column 47: global.activations.ema_ratio: 1.01: ema_min_max wants above 0 and below 1`},
	{"global: {activations: {observer: percentile, percentile: 101}}", `101: percentile wants a percentage from 50 to 100`},
	{"global: {activations: {observer: mse, bins: 100.5}}", `want a whole number, got the number 100.5`},
	{"global: {activations: {observer: percentile, bins: 64}}", `64: the observer here is percentile, and bins belongs to mse, kl, histogram: leave the key out, or set observer: mse`},
	{"global: {oscillation: {momentm: 0.1}}", `line 1, column 24: global.oscillation.momentm: unknown key: did you mean "momentum"?`},
	{"global: {oscillation: {track: maybe}}", `global.oscillation.track: want true, false`},
	{"global: {oscillation: {momentum: 1}}", `global.oscillation.momentum: 1: want a share above 0 and below 1, or leave the key out`},
	{"names: {a: {oscillation: {damping: 1.5}}}", `line 1, column 27: names.a.oscillation.damping: 1.5: want a share above 0 and at most 1`},
	{"global: {oscillation: {damping_steps: 10}}", `global.oscillation.damping_steps: 10 without damping: set damping too, or leave the key out`},
	{"global: {oscillation: {momentum: 0.1}}", `global.oscillation: momentum alone does nothing: set track: true, damping or freeze_threshold`},
	{"global: {oscillation: {freeze_threshold: -0.5}}", `-0.5: want a share above 0 and below 1`},
	{"global: {oscillation: {track: false, damping: 0.1}}", `track is false beside other settings: remove them, or track`},
	{"global: {weights: {oscillation: {track: true}}}", `global.weights.oscillation: unknown key`},
	{"global: {activations: {observer: latest_mse}}", `global.activations.observer: latest_mse is for weights`},
}

func TestNewKeyErrors(t *testing.T) {
	for _, tc := range badNewKeys {
		wantConfigError(t, tc.text, second(ReadYAML(strings.NewReader(tc.text))), tc.want)
	}
}
