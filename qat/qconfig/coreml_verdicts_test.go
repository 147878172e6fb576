package qconfig

import (
	"strings"
	"testing"
)

// coreMLVerdicts are configs as users of Core ML Tools write them, rightly or not, with
// what its version 9.0 does with each. Where goqat differs, why says so: the beginning
// of a note for a config that only goqat reads, or part of the error for one that only
// Core ML Tools does.
var coreMLVerdicts = []struct {
	name, text string
	theirs     bool   // Core ML Tools reads it
	ours       bool   // goqat does
	why        string // where the two differ
}{
	{"lq default", `global_config: {quantization_scheme: symmetric}`, true, true, ""},
	{"lq doc", `global_config:
  quantization_scheme: symmetric
  milestones: [0, 100, 400, 200]
  activation_dtype: float32
module_type_configs:
  Linear: null
  Conv2d: {weight_dtype: qint4, activation_dtype: float32, quantization_scheme: symmetric}
module_name_configs:
  head.fc: null`, true, true, ""},
	{"lq int8", `global_config: {weight_dtype: int8}`, false, true, "read as Core ML Tools' PostTrainingQuantizerConfig"},
	{"lq int4", `global_config: {weight_dtype: int4}`, false, true, "read as Core ML Tools' PostTrainingQuantizerConfig"},
	{"lq uint8", `global_config: {weight_dtype: uint8, quantization_scheme: affine}`, false, true, "read as Core ML Tools' PostTrainingQuantizerConfig"},
	{"lq qint4 all", `global_config:
  algorithm: vanilla
  weight_dtype: qint4
  weight_observer: min_max
  weight_per_channel: true
  activation_dtype: quint8
  activation_observer: ema_min_max
  quantization_scheme: symmetric
  milestones: [0, 10, 20, 20]`, true, true, ""},
	{"lq quint4 affine", `global_config: {weight_dtype: quint4, quantization_scheme: affine, weight_per_channel: false}`, true, true, ""},
	{"lq learnable", `global_config: {algorithm: learnable, weight_dtype: qint4, milestones: [0, 0, 10, 10]}`, true, true, ""},
	{"lq learnable types", `module_type_configs: {Conv2d: {algorithm: learnable}}`, false, true, "module_type_configs.Conv2d.algorithm: layers differ in their algorithm: Core ML Tools refuses that"},
	{"lq mixed scheme", `global_config: {quantization_scheme: symmetric}
module_name_configs: {fc: {quantization_scheme: affine}}`, false, true, "module_name_configs.fc.quantization_scheme: layers differ in their quantization_scheme: Core ML Tools refuses that"},
	{"lq milestones2", `global_config: {milestones: [0, 100]}`, false, false, ""},
	{"lq act qint8", `global_config: {activation_dtype: qint8}`, false, false, ""},
	{"lq unknown key", `global_config: {weight_bits: 4}`, false, false, ""},
	{"lq obs hist", `global_config: {weight_observer: histogram}`, false, false, ""},
	{"lq obs mix", `global_config: {weight_observer: mix_max}`, false, false, ""},
	{"lq type f", `module_type_configs: {relu: null, ReLU: null, ConvTranspose2d: {weight_dtype: qint8}, MultiheadAttention: null}`, true, true, ""},
	{"lq bothfloat", `global_config: {weight_dtype: float32, activation_dtype: float32}`, true, true, ""},
	{"lq global null", `global_config: null
module_type_configs: {Conv2d: {}}`, true, true, ""},
	{"lq perchan str", `global_config: {weight_per_channel: 'false'}`, true, false, "want true or false, got the text \"false\": remove the quotes"},
	{"lq perchan int", `global_config: {weight_per_channel: 0}`, true, true, ""},
	{"lq milestones str", `global_config: {milestones: ['0', '1', '2', '3']}`, true, false, "want a whole number, got the text \"0\": remove the quotes"},
	{"lq milestones float", `global_config: {milestones: [0.0, 1.5, 2.0, 3.0]}`, true, false, "want a whole number, got the number 0.0"},
	{"lq nontrace", `global_config: {}
non_traceable_module_names: [a.b]
preserved_attributes: [k1, k2]`, true, true, ""},
	{"lq nbits", `global_config: {weight_n_bits: 4}`, false, false, ""},
	{"lq list", `- global_config`, false, false, ""},
	{"lq merge", `global_config: &d {weight_dtype: qint4}
module_name_configs: {fc: {<<: *d, weight_observer: min_max}}`, true, true, ""},
	{"lq scheme upper", `global_config: {quantization_scheme: Symmetric}`, false, false, ""},
	{"lq noneword", `global_config: {}
module_type_configs: {Linear: None}`, false, false, ""},
	{"lq layer milestones", `global_config: {milestones: [0, 1, 2, 3]}
module_name_configs: {fc: {milestones: [5, 6, 7, 8]}}`, true, true, ""},
	{"lq functional", `module_type_configs: {torch.cat: null, torch.matmul: null, torch.mean: null, operator.mul: null, torch.sub: null, torch.flatten: null, torch.exp2: null}`, true, true, ""},
	{"lq wdtype float16", `global_config: {weight_dtype: float16}`, false, false, ""},
	{"lq wdtype qint3", `global_config: {weight_dtype: qint3}`, false, false, ""},
	{"ptq block", `global_config: {weight_dtype: int4, granularity: per_block, block_size: 32}`, true, true, ""},
	{"ptq block noblock", `global_config: {weight_dtype: int4, granularity: per_block}`, false, false, ""},
	{"ptq qint4", `global_config: {weight_dtype: qint4}`, false, true, "read as Core ML Tools' LinearQuantizerConfig"},
	{"ptq fp8", `global_config: {weight_dtype: fp8_e4m3}`, false, false, ""},
	{"ptq block0", `global_config: {weight_dtype: int4, granularity: per_block, block_size: 0}`, true, true, ""},
	{"ptq mixed", `global_config: {quantization_scheme: symmetric}
module_type_configs: {Linear: {quantization_scheme: affine}}`, false, true, "module_type_configs.Linear.quantization_scheme: layers differ in their quantization_scheme: Core ML Tools refuses that"},
	{"op default", `config_type: OpLinearQuantizerConfig
global_config: {mode: linear_symmetric, dtype: int8}`, true, true, ""},
	{"op block", `config_type: OpLinearQuantizerConfig
global_config: {mode: linear_symmetric, dtype: int4, granularity: per_block, block_size: 32, weight_threshold: 512}`, true, true, ""},
	{"op doc", `config_type: OpLinearQuantizerConfig
global_config: {mode: linear, dtype: uint8}
op_type_configs: {conv: null, linear: {mode: LINEAR_SYMMETRIC, dtype: int8}}
op_name_configs: {my_const: {mode: linear, dtype: uint8, weight_threshold: 0}}`, true, true, ""},
	{"op no type", `global_config: {mode: linear_symmetric, dtype: int8}`, false, true, "Core ML Tools refuses an OptimizationConfig without config_type"},
	{"op float", `config_type: OpLinearQuantizerConfig
global_config: {dtype: float32}`, false, false, ""},
	{"op const", `config_type: OpLinearQuantizerConfig
op_type_configs: {const: {}}`, true, false, "const stands for all weights in Core ML Tools"},
	{"op blockneg", `config_type: OpLinearQuantizerConfig
global_config: {granularity: per_block, block_size: -4}`, false, false, ""},
	{"op int16", `config_type: OpLinearQuantizerConfig
global_config: {dtype: int16}`, false, false, ""},
	{"op block2", `config_type: OpLinearQuantizerConfig
global_config: {dtype: int4, granularity: per_block, block_size: [2, 16]}`, true, false, "blocks of 2 output channels"},
	{"op gran upper", `config_type: OpLinearQuantizerConfig
global_config: {granularity: PER_CHANNEL}`, false, false, ""},
	{"op extra", `config_type: OpLinearQuantizerConfig
global_config: {signed: true}`, false, false, ""},
	{"magprune op", `config_type: OpMagnitudePrunerConfig
global_config: {target_sparsity: 0.5}`, true, false, "a setting of another of Core ML Tools' compressors"},
	{"dkmpalettizer", `global_config: {n_bits: 4, cluster_dim: 1}
module_type_configs: {Linear: null}`, true, false, "a setting of another of Core ML Tools' compressors"},
	{"magpruner", `global_config: {scheduler: {update_steps: [0, 100]}, target_sparsity: 0.5}`, true, false, "a setting of another of Core ML Tools' compressors"},
	{"ptp", `global_config: {n_bits: 4, granularity: per_tensor}`, true, false, "a setting of another of Core ML Tools' compressors"},
	{"gptq", `global_config: {algorithm: gptq, weight_dtype: uint4}
layers: 3
calibration_nsamples: 128`, false, false, ""},
}

func TestCoreMLVerdicts(t *testing.T) {
	for _, tc := range coreMLVerdicts {
		t.Run(tc.name, func(t *testing.T) {
			c, err := ReadYAML(strings.NewReader(tc.text))
			if (err == nil) != tc.ours {
				t.Fatalf("error %v, want that it is read: %v", err, tc.ours)
			}
			switch {
			case tc.ours == tc.theirs:
				if tc.why != "" {
					t.Fatal("there is nothing to explain")
				}
			case tc.ours:
				for _, n := range c.Notes() {
					n.Line = 0
					if strings.HasPrefix(n.String(), tc.why) {
						return
					}
				}
				t.Errorf("no note says %q: %v", tc.why, c.Notes())
			case !strings.Contains(err.Error(), tc.why):
				t.Errorf("error %v, want %q in it", err, tc.why)
			}
		})
	}
}

// TestCoreMLFloat32 asks that weights left float32 turn nothing else on.
func TestCoreMLFloat32(t *testing.T) {
	for _, text := range []string{"global_config: {weight_dtype: float32}", "global_config: {weight_dtype: float32, granularity: per_tensor}"} {
		c, err := ReadYAML(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if l, on := c.Resolve("conv1", "conv"); on {
			t.Errorf("%s: %+v, want a float layer", text, l)
		}
	}
	c, err := ReadYAML(strings.NewReader("global_config: {weight_dtype: float32, activation_dtype: quint8}"))
	if err != nil {
		t.Fatal(err)
	}
	if l, _ := c.Resolve("conv1", "conv"); !l.Weights.Off || l.Activations.Off {
		t.Errorf("%+v, want activations only", l)
	}
}

// TestCoreMLPostTrainingNames asks for the note that names reach further here.
func TestCoreMLPostTrainingNames(t *testing.T) {
	c, err := ReadYAML(strings.NewReader("global_config: {weight_dtype: int8}\nmodule_name_configs: {block1: null}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, on := c.Resolve("block1.conv", "conv"); on {
		t.Error("block1.conv is quantized, want float: block1 is null")
	}
	for _, n := range c.Notes() {
		if n.Setting == "module_name_configs" && strings.Contains(n.Text, "whole names only") {
			return
		}
	}
	t.Errorf("no note about whole names: %v", c.Notes())
}

// TestCoreMLJoinedTypes asks that types of Core ML Tools that are one kind here say so, and
// cannot differ without a word.
func TestCoreMLJoinedTypes(t *testing.T) {
	for _, c := range []struct{ text, note, fault string }{
		{"module_type_configs: {torch.matmul: null}", "it holds for Linear too", ""},
		{"module_type_configs: {Linear: null}", "it holds for torch.matmul too", ""},
		{"module_type_configs: {Conv1d: {weight_dtype: qint4}}", "it holds for Conv2d too", ""},
		{"module_type_configs: {Linear: {weight_dtype: qint4}, torch.matmul: null}", "", "the same kind of layer as Linear"},
		{"module_type_configs: {Conv1d: null, Conv2d: {}}", "", "the same kind of layer as Conv1d"},
	} {
		cfg, err := ReadYAML(strings.NewReader("global_config: {}\n" + c.text))
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: error %v, want %q in it", c.text, err, c.fault)
			}
		case err != nil:
			t.Errorf("%s: %v", c.text, err)
		default:
			found := false
			for _, n := range cfg.Notes() {
				found = found || strings.Contains(n.Text, c.note)
			}
			if !found {
				t.Errorf("%s: no note says %q: %v", c.text, c.note, cfg.Notes())
			}
		}
	}
}

// TestMerge asks that a merged setting is one, and that a written one wins.
func TestMerge(t *testing.T) {
	c, err := ReadYAML(strings.NewReader("global_config: &d {weight_dtype: qint4}\nmodule_name_configs: {fc: {<<: *d, weight_observer: min_max}, fc2: {<<: *d, weight_dtype: qint8}}"))
	if err != nil {
		t.Fatal(err)
	}
	if l, _ := c.Resolve("fc", "matmul"); l.Weights.Bits != 4 || l.Weights.Observer != "min_max" {
		t.Errorf("fc: %+v, want 4 bits and min_max", l.Weights)
	}
	if l, _ := c.Resolve("fc2", "matmul"); l.Weights.Bits != 8 {
		t.Errorf("fc2: %d bits, want 8", l.Weights.Bits)
	}
}
