package qconfig

// This file says which kinds of layers Core ML Tools' names mean.

import (
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/words"
)

// coreMLKinds gives the kinds of layers that a type has in goqat, with spaces between.
// Keys are module classes and functions of PyTorch and op types of Core ML's MIL, in lower
// case, without "torch." and the like.
var coreMLKinds = map[string]string{
	"conv1d": "conv", "conv2d": "conv", "conv": "conv",
	"convtranspose1d": "conv_transpose", "convtranspose2d": "conv_transpose",
	"conv_transpose1d": "conv_transpose", "conv_transpose2d": "conv_transpose", "conv_transpose": "conv_transpose",
	"linear": "matmul", "matmul": "matmul", "mm": "matmul", "bmm": "matmul",
	"batchnorm1d": "batch_norm", "batchnorm2d": "batch_norm", "batch_norm": "batch_norm",
	"relu": "relu", "relu_": "relu", "relu6": "clip", "hardtanh": "clip", "clip": "clip", "clamp": "clip",
	"leakyrelu": "leaky_relu", "leaky_relu": "leaky_relu",
	"gelu": "gelu gelu_tanh", "sigmoid_hard": "hard_sigmoid",
	"sigmoid": "sigmoid", "tanh": "tanh", "softplus": "softplus", "exp": "exp", "log": "log",
	"softmax": "softmax", "logsoftmax": "log_softmax", "log_softmax": "log_softmax",
	"maxpool1d": "max_pool", "maxpool2d": "max_pool", "max_pool1d": "max_pool", "max_pool2d": "max_pool", "max_pool": "max_pool",
	"avgpool1d": "avg_pool", "avgpool2d": "avg_pool", "avg_pool1d": "avg_pool", "avg_pool2d": "avg_pool", "avg_pool": "avg_pool",
	"adaptiveavgpool2d": "global_avg_pool", "adaptive_avg_pool2d": "global_avg_pool",
	"add": "add", "sub": "sub", "mul": "mul", "div": "div", "truediv": "div", "real_div": "div", "pow": "pow",
	"cat": "concat", "concat": "concat", "flatten": "reshape", "reshape": "reshape", "view": "reshape",
	"transpose": "transpose", "permute": "transpose",
	"mean": "reduce_mean", "sum": "reduce_sum", "reduce_mean": "reduce_mean", "reduce_sum": "reduce_sum", "reduce_max": "reduce_max",
	"instancenorm1d": "group_norm", "instancenorm2d": "group_norm", "instance_norm": "group_norm", "rmsnorm": "rms_norm",
	"embedding": "gather",
	"dropout":   "dropout", "dropout1d": "dropout", "dropout2d": "dropout",
}

// coreMLJoined gives for types that share a kind with another what the other is.
var coreMLJoined = map[string]string{
	"conv1d": "Conv2d", "conv2d": "Conv1d", "linear": "torch.matmul", "matmul": "Linear", "mm": "Linear", "bmm": "Linear",
}

// coreMLOther are further types that Core ML Tools knows. Where goqat has a kind of the
// same letters, that is meant, else it has no layer for them.
var coreMLOther = strings.Fields(`
	identity conv3d convtranspose3d conv_transpose3d
	batchnorm3d maxpool3d avgpool3d adaptiveavgpool1d adaptiveavgpool3d dropout3d einsum embeddingbag gather
	prelu rrelu logsigmoid hardsigmoid silu elu celu selu glu mish hardswish exp2 scaled_tanh
	layernorm groupnorm instancenorm3d layer_norm l2_norm
	lstm gru rnn multiheadattention`)

// kinds turns a type of Core ML Tools into kinds of layers.
func (r *coreMLReader) kinds(key, path string) ([]string, error) {
	if key == "const" {
		return nil, r.c.fault(path, "const stands for all weights in Core ML Tools, whatever reads them; here settings belong to layers: write them as global_config, or name the types of op that read the weights, such as conv")
	}
	bare := key
	for _, prefix := range []string{"torch.nn.functional.", "torch.nn.", "torch.", "operator.", "nn.", "F."} {
		bare = strings.TrimPrefix(bare, prefix)
	}
	bare = strings.ToLower(bare)
	if kinds, ok := coreMLKinds[bare]; ok {
		if other := coreMLJoined[bare]; other != "" {
			r.c.note(path, "it holds for %s too: goqat has one kind of layer for both, %s; write names of layers to tell them apart", other, kinds)
		}
		return strings.Fields(kinds), nil
	}
	if slices.Contains(coreMLOther, bare) {
		if kind := sameLetters(bare); kind != "" {
			return []string{kind}, nil
		}
		r.c.note(path, "no effect here: goqat has no such kind of layer; where Gorgonia builds it of simpler ops, configure those")
		return nil, nil
	}
	return nil, r.c.fault(path, "unknown type of layer: %s", suggestType(bare, key))
}

// sameLetters returns the kind that is spelled as the type is, but for underscores and
// what says that images are meant; "" without one.
func sameLetters(bare string) string {
	letters := func(s string) string { return strings.ReplaceAll(s, "_", "") }
	for _, kind := range nn.Kinds() {
		if letters(kind) == letters(strings.TrimSuffix(bare, "2d")) {
			return kind
		}
	}
	return ""
}

// suggestType is didYouMean for types, which it spells as PyTorch does.
func suggestType(bare, key string) string {
	var all []string
	for k := range coreMLKinds {
		all = append(all, k)
	}
	if s := words.DidYouMean(bare, append(all, coreMLOther...)); s != "" {
		return s
	}
	if _, err := nn.UnmarshalOp(key, []byte("{}")); err == nil {
		return "it is a kind of layer of goqat's own form"
	}
	return "want a class of torch.nn such as Conv2d or Linear, a function such as torch.add, or an op type such as conv"
}

// name checks a name of layers. PostTrainingQuantizer reads names as regular
// expressions; a dot alone is harmless.
func (r *coreMLReader) name(key, path string) ([]string, error) {
	if r.form == postTrainingQuantizer {
		if i := strings.IndexAny(key, `\*+?[](){}|^$`); i >= 0 {
			return nil, r.c.fault(path, "a regular expression (%q): write the names out, or a name above them, such as block1 for block1.conv1", key[i])
		}
	}
	return []string{key}, r.c.checkKey(path, key)
}
