// Package qconfig says how a network is to be quantized: how many bits, for which
// layers, from when on. A [Config] is a plain value, written in Go, YAML, JSON or the
// form of Core ML Tools. It knows no network; qat.Prepare applies it to one.
//
// A layer's settings come from [Config.Names], else [Config.Types], else
// [Config.Global]; unset fields are inherited, then have the defaults that their
// comments give:
//
//	cfg := qconfig.Config{
//		Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}},
//		Names:  map[string]*qconfig.Layer{"stem": {Weights: qconfig.Tensor{Bits: 8}}, "head": nil},
//		Milestones: qconfig.MilestonesAt(0, 100, 800, 800),
//	}
//
// The outputs of the network stay float unless [Config.Outputs] names them; single inputs
// have settings in [Config.Inputs].
//
// # Configs of Core ML Tools
//
// [ReadFile], [ReadYAML] and [ReadJSON] also read a config in the form of Core
// ML Tools, as it is: of optimize.torch.quantization's LinearQuantizerConfig and
// PostTrainingQuantizerConfig, and of optimize.coreml's OptimizationConfig with
// OpLinearQuantizerConfig. [Config.Notes] says what differs. A key roles may be
// added, which Core ML Tools does not have. In the table, w and a stand for the
// weights and activations of a layer's settings.
//
//	Core ML Tools                 goqat
//	global_config                 global
//	module_type_configs           types: Conv2d is conv, Linear is matmul, and so on
//	module_name_configs           names; an entry also holds for the layers below it
//	null in place of settings     null: the layer stays float
//	non_traceable_module_names    no effect: nothing is traced
//	preserved_attributes          no effect: your graph keeps all it has
//	algorithm: vanilla            w and a: {estimator: ste}
//	algorithm: learnable          w and a: {estimator: lsq}
//	quantization_scheme           w and a: {scheme}
//	weight_dtype                  w: {dtype}: qint8 is int8; {narrow_range: false}
//	weight_observer               w: {observer}
//	weight_per_channel            w: {granularity}: per_channel or per_tensor
//	activation_dtype: quint8      a: {bits: 8, unsigned: auto}
//	activation_observer           a: {observer}
//	float32                       w or a: null
//	(in training configs)         quantize_outputs: true
//	(in training configs)         w and a: {min_scale: 2^-23}, the floor of their observers
//	milestones                    milestones, and for single layers names: {x: {milestones}}
//	granularity, block_size       w: {granularity, block_size}, a: null
//	mode: linear_symmetric        w: {scheme: symmetric}, a: null
//	mode: linear                  w: {scheme: affine}, a: null
//	weight_threshold              w: {weight_threshold}
//	op_type_configs               types
//	op_name_configs               names
//
// The meaning stays theirs where the two differ: a layer's settings that are left
// out have the default of Core ML Tools, not that of global_config, and weights in
// training use all codes and a moving average. Without a global_config, layers that
// no entry names stay float. Where Core ML Tools refuses (another scheme or
// algorithm for some layers) or ignores (milestones of a single layer), goqat does
// what the file says.
//
// Names must be those of layers or above them; regular expressions are refused.
// Types that goqat has no kind of layer for, such as ConvTranspose3d or LSTM, are passed
// over with a note, unknown ones refused.
package qconfig
