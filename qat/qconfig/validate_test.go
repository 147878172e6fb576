package qconfig

import (
	"math"
	"strings"
	"testing"
)

// badYAML holds texts that ReadYAML refuses and what the error says: where, and
// how to put it right.
var badYAML = []struct{ text, want string }{
	// Keys.
	{"globl: {}", `line 1, column 1: globl: unknown key: did you mean "global"?`},
	{"layers: {}", `line 1, column 1: layers: unknown key: want one of float, global, inputs, milestone_unit, milestones, names, outputs, quantize_outputs, roles, types`},
	{"global:\n  weight: {bits: 4}", `line 2, column 3: global.weight: unknown key: did you mean "weights"?`},
	{"global: {weights: {bitz: 4}}", `line 1, column 20: global.weights.bitz: unknown key: did you mean "bits"?`},
	{"names:\n  a.b:\n    activations:\n      obsever: min_max", `line 4, column 7: names."a.b".activations.obsever: unknown key: did you mean "observer"?`},
	{"types:\n  conv: {}\n  conv: null\n", `line 3, column 3: types.conv: the key is there twice, first in line 2: remove one`},
	{"roles: {inputs: [x]}\nroles: {inputs: [y]}", `line 2, column 1: roles: the key is there twice`},
	{"names: {fc: {weights: {bits: 3}, weights: null}}", `column 34: names.fc.weights: the key is there twice`},
	{"types: {1: null}", `line 1, column 9: types.?: want a text as key, got the number 1: put it in quotes`},
	{"types: {true: null}", `types.?: want a text as key, got true: put it in quotes`},
	{"? [a]\n: b", `line 1, column 3: ?: want a text as key, got a list`},
	{"types: {'': null}", `line 1, column 9: types."": the name is empty`},
	// Shapes of the tree.
	{"- a", `line 1, column 1: want keys with values, got a list`},
	{"hello", `want keys with values, got the text "hello"`},
	{"types: [conv]", `line 1, column 8: types: want keys with values, got a list`},
	{"types: {conv: 8}", `types.conv: want keys with values, got the number 8`},
	{"global: {weights: int8}", `global.weights: want keys with values, got the text "int8"`},
	{"roles: {inputs: x}", `roles.inputs: want a list, got the text "x"`},
	{"roles: {inputs: {a: b}}", `roles.inputs: want a list, got keys with values`},
	{"roles: {inputs: [1]}", `line 1, column 18: roles.inputs[0]: want a text, got the number 1: put it in quotes`},
	{"roles: {inputs: ['']}", `roles.inputs[0]: the text is empty`},
	{"roles: {inputs: [x, x]}", `column 21: roles.inputs[1]: "x" is listed twice, first under inputs: remove one`},
	{"roles: {inputs: [x], constants: [x]}", `roles.constants[0]: "x" is listed twice, first under inputs`},
	{"float: true\nglobal: {}", `line 1, column 1: float: true beside other settings`},
	{"float: auto", `float: auto: want true or false`},
	// Types of values.
	{"global: {weights: {bits: \"8\"}}", `global.weights.bits: want a whole number, got the text "8": remove the quotes`},
	{"global: {weights: {bits: 8.0}}", `want a whole number, got the number 8.0`},
	{"global: {weights: {bits: 0x8}}", `"0x8": want a whole number in plain decimal digits`},
	{"global: {weights: {bits: 010}}", `"010": want a whole number in plain decimal digits`},
	{"global: {weights: {bits: 99999999999999999999}}", `want a whole number, got the number 99999999999999999999`},
	{"global: {weights: {bits: null}}", `got null: leave the key out for the default`},
	{"global: {weights: {bits: [8]}}", `want a whole number, got a list`},
	{"global: {weights: {scheme: 1}}", `global.weights.scheme: want a text, got the number 1: put it in quotes`},
	{"global: {weights: {scheme: ''}}", `the text is empty`},
	{"global: {weights: {narrow_range: yes}}", `want true, false or (for unsigned of activations) auto, got the text "yes"`},
	{"global: {weights: {narrow_range: 1}}", `want true, false or (for unsigned of activations) auto, got the number 1`},
	{"global: {activations: {averaging_constant: \"0.1\"}}", `want a number, got the text "0.1": remove the quotes`},
	{"global: {activations: {averaging_constant: .nan}}", `".nan": want a plain decimal number, such as 0.01`},
	// Values.
	{"global: {weights: {bits: 9}}", `line 1, column 20: global.weights.bits: 9: want 2 to 8`},
	{"global: {activations: {bits: 1}}", `global.activations.bits: 1: want 2 to 8`},
	{"global: {weights: {bits: 0}}", `0: want at least 1, or leave the key out`},
	{"global: {weights: {dtype: qint8}}", `global.weights.dtype: unknown value "qint8": did you mean "int8"?`},
	{"global: {weights: {dtype: bfloat16}}", `unknown value "bfloat16": want int2 to int8, uint2 to uint8, or float32`},
	{"global: {weights: {dtype: int8, bits: 8}}", `"int8" beside bits or unsigned: use dtype, or the other two`},
	{"global: {weights: {unsigned: true, dtype: int8}}", `beside bits or unsigned`},
	{"global: {weights: {dtype: float32, observer: min_max}}", `float32 leaves the tensor float: remove the other settings`},
	{"global: {weights: {scheme: symetric}}", `unknown value "symetric": did you mean "symmetric"?`},
	{"global: {weights: {granularity: per_row}}", `unknown value "per_row": want one of per_block, per_channel, per_tensor`},
	{"global: {weights: {observer: latets}}", `unknown value "latets": did you mean "latest"?`},
	{"global: {weights: {observer: entropy}}", `unknown value "entropy": want one of ema_min_max`},
	{"global: {weights: {narrow_range: auto}}", `unknown value "auto": want one of false, true`},
	{"global: {weights: {unsigned: auto}}", `auto is for activations: use true or false`},
	{"global: {weights: {estimator: lsqq}}", `unknown value "lsqq": did you mean "lsq"?`},
	{"global: {weights: {estimator: lsq, scale_init: mean}}", `global.weights.scale_init: unknown value "mean": want one of lsq, observer`},
	// Contradictions.
	{"global: {activations: {scale_init: lsq}}", `lsq with estimator ste: only learned scales start anywhere: set estimator: lsq, or leave scale_init out`},
	{"global: {weights: {block_size: 32}}", `32 with granularity per_channel: set granularity: per_block, or leave block_size out`},
	{"global: {weights: {granularity: per_block, block_size: -1}}", `-1: want at least 1`},
	{"global: {weights: {granularity: per_block}}\nnames: {f: {weights: {granularity: per_tensor, block_size: 8}}}", `line 2, column 48: names.f.weights.block_size: 8 with granularity per_tensor`},
	{"global: {activations: {block_size: 4}}", `4: activations are always per_tensor: leave the key out`},
	{"global: {activations: {granularity: per_channel}}", `per_channel: activations are always per_tensor: leave the key out`},
	{"global: {activations: {observer: latest}}", `latest is for weights`},
	{"global: {activations: {observer: latest_mse}}", `latest_mse is for weights`},
	{"global: {weights: {observer: latest_mse, percentile: 80}}", `global.weights.percentile: 80: the observer here is latest_mse, and percentile belongs to percentile: leave the key out, or set observer: percentile`},
	{"global: {activations: {observer: percentile, percentile: 0.999}}", `0.999: percentile wants a percentage from 50 to 100`},
	{"global: {activations: {observer: percentile, percentile: 100.01}}", `100.01: percentile wants a percentage`},
	{"global: {activations: {observer: mse, bins: 15}}", `15: mse wants a number of bins from 16 to 65536`},
	{"global: {activations: {observer: kl, bins: 65537}}", `65537: kl wants a number of bins`},
	{"global: {activations: {observer: histogram, bins: 99.5}}", `global.activations.bins: want a whole number, got the number 99.5`},
	{"global: {activations: {observer: mse}}\nnames: {f: {activations: {observer: kl, averaging_constant: 0.01}}}", `names.f.activations.averaging_constant: 0.01: the observer here is kl, and averaging_constant belongs to moving_average_min_max`},
	{"global: {activations: {averaging_constant: 1.5}}", `1.5: moving_average_min_max wants above 0 and at most 1`},
	{"global: {activations: {averaging_constant: -0.5}}", `-0.5: moving_average_min_max wants above 0`},
	{"global: {activations: {observer: ema_min_max, ema_ratio: 1}}", `1: ema_min_max wants above 0 and below 1`},
	{"global: {activations: {averaging_constant: 0}}", `0: want above 0, or leave the key out for the default`},
	{"global: {weights: {averaging_constant: 0.1}}", `the observer here is latest, and averaging_constant belongs to moving_average_min_max: leave the key out, or set observer: moving_average_min_max`},
	{"global: null\nnames: {f: {}}", `line 2, column 9: names.f: sets nothing, and global leaves every layer float`},
	// Milestones.
	{"milestones: 5", `milestones: want a list, got the number 5`},
	{"milestones: [0, 1]", `2 numbers: want 4: [observe, quantize, freeze_observers, freeze_batch_norm]`},
	{"milestones: [0, 1, 2, 3, 4]", `5 numbers: want 4`},
	{"milestones: [0, 1, 2, x]", `line 1, column 23: milestones[3]: want a whole number, got the text "x"`},
	{"milestones: [0, 1, 2, 3.5]", `milestones[3]: want a whole number, got the number 3.5`},
	{"milestones: [0, 1, 2, -2]", `milestones: freeze_batch_norm is -2: want a step from 0 on, or -1 for never`},
	{"milestones: [5, 1, 9, 9]", `quantize at step 1 comes before observe at step 5, when no range is known: want quantize >= observe`},
	{"milestones: [5, 5, 4, 9]", `freeze_observers at step 4 comes before observe at step 5`},
	{"{milestones: [1, 2, 3, 4], milestone_unit: epoch}", `milestone_unit: unknown value "epoch": did you mean "epochs"?`},
	{"names: {c1: {milestones: [1, 2, 3]}}", `names.c1.milestones: 3 numbers: want 4`},
	{"outputs: {y: {bits: 9}}", `line 1, column 15: outputs.y.bits: 9: want 2 to 8`},
	{"outputs: {y: {weights: {bits: 8}}}", `outputs.y.weights: unknown key: want one of averaging_constant, bins, bits`},
	{"inputs: {x: {granularity: per_channel}}", `inputs.x.granularity: per_channel: activations are always per_tensor`},
	{"inputs: {x: {observer: latest}}", `inputs.x.observer: latest is for weights`},
	{"inputs: {\"\": null}", `the name is empty`},
	{"global: {weights: {scale_dtype: half}}", `global.weights.scale_dtype: unknown value "half": want one of float16, float32`},
	{"inputs: [x]", `line 1, column 9: inputs: want keys with values, got a list`},
	{"quantize_outputs: auto", `quantize_outputs: auto: want true or false`},
	{"{float: true, outputs: {y: {}}}", `float: true beside other settings`},
	{"{float: true, quantize_outputs: true}", `float: true beside other settings`},
	// What YAML could do and a config may not.
	{"names: {&k f: null, *k : null}", `names.f: the key is there twice, first in line 1: remove one`},
	{"names: {<<: 3}", `line 1, column 9: <<: want an alias of keys with values, or a list of them, got the number 3`},
	{"global: &x {weights: *x}", `contains itself`},
	{"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e]", `more than 65536 values with all aliases written out`},
	{"global: !foo {}", `keys with values with the tag "!foo": remove the tag`},
	{"roles: {inputs: !!binary aGVsbG8=}", `roles.inputs: want a list, got "aGVsbG8=" with the tag "!!binary"`},
	{"--- {}\n--- {}", `line 2: a second document begins: a config is one document`},
	{"{}\n---\nglobal: [", `yaml: `}, // the second document is broken
	{"global: {weights: {bits: 8}", `yaml: line 1: did not find expected ',' or '}'`},
	{"global:\n\tweights: 1", `line 2: found character that cannot start any token`},
	{"names:\n  caf\xe9: null", `line 2, column 6: not valid UTF-8: save the file as UTF-8`},
	{strings.Repeat("[", 20_000), `exceeded max depth`},
	{strings.Repeat("#", MaxBytes+1), `more than 1048576 bytes`},
}

// badJSON is the same for ReadJSON. What both parsers share is in badYAML.
var badJSON = []struct{ text, want string }{
	{"{", `line 1, column 1: not JSON: unexpected end of JSON input`},
	{`{"global":{},}`, `line 1, column 14: not JSON: invalid character '}'`},
	{"{\"global\":{}}\n x", `line 2, column 2: not JSON: invalid character 'x' after top-level value`},
	{"{}{}", `line 1, column 3: not JSON: invalid character '{' after top-level value`},
	{"{'global': 1}", `not JSON: invalid character '\''`},
	{"# comment\n{}", `line 1, column 1: not JSON`},
	{"global: {}", `not JSON`},
	{"[]", `line 1, column 1: want keys with values, got a list`},
	{"5", `want keys with values, got the number 5`},
	{"{\n\t\"global\": {\"weights\": {\"bits\": \"8\"}}\n}", `line 2, column 25: global.weights.bits: want a whole number, got the text "8": remove the quotes`},
	{`{"global":{"weights":{"bits":1e1}}}`, `want a whole number, got the number 1e1`},
	{`{"global":{"weights":{"bits":9}}}`, `line 1, column 23: global.weights.bits: 9: want 2 to 8`},
	{`{"global":{"weights":{"narrow_range":"true"}}}`, `got the text "true": remove the quotes`},
	{"{\"types\":{\"c\":null,\n\"c\":null}}", `line 2, column 1: types.c: the key is there twice, first in line 1`},
	{`{"types":{"c":null,"\u0063":null}}`, `types.c: the key is there twice`},
	{"{\"names\":{\"é\\ud83d\\ude00\":{\"weights\":{\"bits\":9}}}}", `line 1, column 39: names.é😀.weights.bits: 9`},
	{"{\"inputs\": [\"\xff\"]}", `line 1, column 14: not valid UTF-8`},
	{`{"milestones":[0,1,2,1e400]}`, `milestones[3]: want a whole number, got the number 1e400`},
	{`{"global":{"activations":{"averaging_constant":1e400}}}`, `"1e400": want a plain decimal number`},
	{strings.Repeat("[", 20_000), `exceeded max depth`},
	{strings.Repeat(" ", MaxBytes) + "{}", `more than 1048576 bytes`},
}

// Configs built in Go meet the same rules, without lines.
func TestValidateErrors(t *testing.T) {
	global := func(w, a Tensor) Config { return Config{Global: &Layer{Weights: w, Activations: a}} }
	none := Tensor{}
	for _, tc := range []struct {
		name   string
		config Config
		want   string
	}{
		{"bits", global(Tensor{Bits: -8}, none), `invalid config: global.weights.bits: -8: want 2 to 8`},
		{"scheme", global(none, Tensor{Scheme: "Affine"}), `global.activations.scheme: unknown value "Affine": did you mean "affine"?`},
		{"switch", global(Tensor{NarrowRange: "True"}, none), `unknown value "True": did you mean "true"?`},
		{"off beside others", global(Tensor{Off: true, Bits: 8}, none), `global.weights: Off is set beside other settings`},
		{"NaN constant", global(none, Tensor{AveragingConstant: math.NaN()}), `NaN: moving_average_min_max wants above 0`},
		{"NaN percentile", global(none, Tensor{Observer: "percentile", Percentile: math.NaN()}), `NaN: percentile wants`},
		{"negative bins", global(none, Tensor{Observer: "mse", Bins: -64}), `-64: mse wants`},
		{"infinite constant", global(none, Tensor{AveragingConstant: math.Inf(1)}), `+Inf: moving_average_min_max wants`},
		{"milestones without Set", Config{Milestones: Milestones{Quantize: 100}}, `milestones: steps are given but Set is false: use qconfig.MilestonesAt(0, 100, qconfig.Never, qconfig.Never)`},
		{"negative step", Config{Milestones: MilestonesAt(-2, 0, 1, 2)}, `milestones: observe is -2`},
		{"empty name", Config{Names: map[string]*Layer{"": nil}}, `names."": the name is empty`},
		{"broken name", Config{Names: map[string]*Layer{"\xff": nil}}, `the name is not valid UTF-8`},
		{"empty input", Config{Roles: Roles{Inputs: []string{"x", ""}}}, `roles.inputs[1]: the name is empty`},
		{"batch below -1", Config{Roles: Roles{Batch: map[string]int{"x": -2}}}, `roles.batch.x: -2: want an axis`},
		{"batch of a parameter", Config{Roles: Roles{Params: []string{"w"}, Batch: map[string]int{"w": 0}}}, `roles.batch.w: "w" is listed under params`},
		{"types before names", Config{
			Names: map[string]*Layer{"a": {Weights: Tensor{Bits: 1}}},
			Types: map[string]*Layer{"z": {Weights: Tensor{Bits: 1}}, "y": {Weights: Tensor{Bits: 1}}},
		}, `types.y.weights.bits: 1`},
	} {
		wantConfigError(t, tc.name, tc.config.Validate(), tc.want)
	}
}

func TestCheckTensors(t *testing.T) {
	c, err := ReadYAML(strings.NewReader("inputs:\n  x: null\noutputs:\n  logits: {}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckTensors([]string{"s", "x"}, []string{"logits"}); err != nil {
		t.Error(err)
	}
	wantConfigError(t, "input", c.CheckTensors([]string{"image"}, []string{"logits"}), `line 2, column 3: inputs.x: no input "x": there are image`)
	wantConfigError(t, "output", c.CheckTensors([]string{"x"}, []string{"logit", "boxes"}), `line 4, column 3: outputs.logits: no output "logits": did you mean "logit"?`)
}

// TestResolveTensors: entries of inputs and outputs quantize whatever global says; unset
// fields are global's.
func TestResolveTensors(t *testing.T) {
	c := Config{
		Global:  &Layer{Activations: Tensor{Bits: 6, Scheme: Affine}},
		Inputs:  map[string]*Tensor{"x": {Bits: 4}, "off": nil, "dtype": {Off: true}},
		Outputs: map[string]*Tensor{"y": {}},
	}
	for _, tc := range []struct {
		name     string
		get      func(string) (*Tensor, bool)
		bits     int // 0: float
		observer string
		found    bool
	}{{"x", c.ResolveInput, 4, "min_max", true}, {"off", c.ResolveInput, 0, "", true}, {"dtype", c.ResolveInput, 0, "", true}, {"y", c.ResolveInput, 0, "", false},
		{"y", c.ResolveOutput, 6, "moving_average_min_max", true}, {"x", c.ResolveOutput, 0, "", false}} {
		got, found := tc.get(tc.name)
		if found != tc.found || (got == nil) != (tc.bits == 0) || got != nil && (got.Bits != tc.bits || got.Scheme != Affine || got.Observer != tc.observer) {
			t.Errorf("%s: %+v, %v", tc.name, got, found)
		}
	}
	for want, observer := range map[string]Tensor{"min_max": {}, "ema_min_max": {Observer: "ema_min_max"}, "moving_average_min_max": {AveragingConstant: 0.1}} {
		c.Global.Activations = observer
		if got := c.ResolveReader("fc", "matmul"); got.Observer != want {
			t.Errorf("an input's observer is %s, want %s", got.Observer, want)
		}
	}
	c.Global.Activations = Tensor{Off: true}
	if y, _ := c.ResolveOutput("y"); y == nil || y.Bits != 8 {
		t.Errorf("with activations left float: %+v, want the defaults", y)
	}
}

func TestCheckNames(t *testing.T) {
	c, err := ReadYAML(strings.NewReader("types: {conv: null}\nnames:\n  conv1: {}\n  block.fc: null\nroles: {inputs: [x, mask]}"))
	if err != nil {
		t.Fatal(err)
	}
	var many []string
	for r := 'a'; r <= 'z'; r++ {
		many = append(many, strings.Repeat(string(r), 9))
	}
	layers, kinds := []string{"conv1", "block.fc"}, []string{"conv", "matmul"}
	if err := c.CheckNames(layers, kinds); err != nil {
		t.Error(err)
	}
	if err := c.CheckRoles([]string{"mask", "y", "x"}); err != nil {
		t.Error(err)
	}
	wantConfigError(t, "near name", c.CheckNames([]string{"conv1", "blocks.fc"}, kinds), `line 4, column 3: names."block.fc": no layer "block.fc": did you mean "blocks.fc"?`)
	wantConfigError(t, "far name", c.CheckNames([]string{"zz", "conv1", "yy"}, kinds), `no layer "block.fc": there are conv1, yy, zz`)
	wantConfigError(t, "many names", c.CheckNames(many, kinds), `ttttttttt and 6 more`)
	wantConfigError(t, "no names", c.CheckNames(nil, kinds), `there are none`)
	wantConfigError(t, "kind", c.CheckNames(layers, []string{"Conv"}), `line 1, column 9: types.conv: no kind of layer "conv": did you mean "Conv"?`)
	wantConfigError(t, "input", c.CheckRoles([]string{"x"}), `line 5, column 21: roles.inputs[1]: no leaf "mask": there are x`)
	wantConfigError(t, "batch", Config{Roles: Roles{Batch: map[string]int{"zz": 0}}}.CheckRoles([]string{"x"}), `roles.batch.zz: no leaf "zz": there are x`)
	wantConfigError(t, "without lines", Config{Names: map[string]*Layer{"a": nil}}.CheckNames(nil, nil), `invalid config: names.a: no layer "a"`)
	wantConfigError(t, "above nothing", Config{Names: map[string]*Layer{"hea": nil}}.CheckNames([]string{"head.a"}, nil), `no layer "hea"`)
}
