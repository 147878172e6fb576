package onnxin

// Which operator is read by which function?

import (
	"maps"
	"slices"
)

// handlers add a node of the file to the graph.
var handlers map[string]func(*node) error

// movesWhole are the operators that also work on whole numbers that depend on inputs,
// which float32 holds.
var movesWhole = map[string]bool{"Gather": true, "Cast": true, "CastLike": true, "Identity": true, "Reshape": true, "Unsqueeze": true, "Squeeze": true,
	"Flatten": true, "Transpose": true, "Concat": true, "Slice": true, "Split": true, "Add": true, "Sub": true, "Mul": true,
	"Where": true, "Less": true, "LessOrEqual": true, "Greater": true, "GreaterOrEqual": true, "Equal": true, "And": true, "Or": true, "Xor": true, "Not": true,
	"Max": true, "Min": true, "Tile": true, "Expand": true, "GatherElements": true, "GatherND": true, "DepthToSpace": true, "SpaceToDepth": true}

func init() {
	handlers = map[string]func(*node) error{
		"Conv": conv, "ConvTranspose": convTranspose, "MaxPool": maxPool, "AveragePool": averagePool, "LpPool": lpPool,
		"GlobalAveragePool": globalPool, "GlobalMaxPool": globalPool, "Pad": pad,
		"Resize": resize, "Upsample": resize, "Tile": tile, "DepthToSpace": depthToSpace, "SpaceToDepth": spaceToDepth,
		"Gemm": gemm, "MatMul": matMul,
		"BatchNormalization": batchNorm, "LayerNormalization": layerNorm, "RMSNormalization": layerNorm,
		"GroupNormalization": groupNorm, "InstanceNormalization": groupNorm, "LRN": lrn,
		"Softmax": softmax, "LogSoftmax": softmax, "Dropout": dropout,
		"Add": pairOf, "Sub": pairOf, "Mul": pairOf, "Div": pairOf, "Pow": pairOf,
		"Sum": sum, "Mean": sum, "Max": limit, "Min": limit, "PRelu": prelu,
		"ReduceProd": reduce, "ReduceLogSumExp": reduce,
		"Hardmax": hardmax, "LpNormalization": lpNorm, "MeanVarianceNormalization": meanVariance,
		"SoftmaxCrossEntropyLoss": classLoss, "NegativeLogLikelihoodLoss": classLoss,
		"Identity": identity, "Cast": cast, "CastLike": castLike, "Reshape": reshape, "Flatten": flatten, "Transpose": transpose,
		"Squeeze": squeeze, "Unsqueeze": unsqueeze, "Concat": concat, "Slice": slice, "Split": split,
		"GatherElements": gatherPlaces, "GatherND": gatherPlaces, "ScatterElements": scatter, "Scatter": scatter, "ScatterND": scatter,
		"DequantizeLinear": dequantize,
		"Gather":           gather, "Expand": expand, "Where": where, "Not": not,
	}
	for op := range comparisons {
		handlers[op] = truthOf
	}
	for op := range logic {
		handlers[op] = truthOf
	}
	for op := range unaries {
		handlers[op] = unary
	}
	for op := range reductions {
		handlers[op] = reduce
	}
	for op := range sums {
		handlers[op] = reduce
	}
}

// Ops returns the operators that a float model may have, sorted: those that become
// layers and those that are only computed while reading.
func Ops() (layers, constants []string) {
	only := maps.Clone(folds)
	maps.DeleteFunc(only, func(op string, _ func(*node) (*constant, error)) bool { return handlers[op] != nil })
	return slices.Sorted(maps.Keys(handlers)), slices.Sorted(maps.Keys(only))
}

// folds compute nodes whose operands are known while reading: shapes, mostly.
var folds map[string]func(*node) (*constant, error)

func init() {
	folds = map[string]func(*node) (*constant, error){
		"Shape": foldShape, "Size": foldSize, "Constant": foldConstant, "ConstantOfShape": foldFill, "Range": foldRange,
		"Cast": foldCast, "CastLike": foldCast, "Reshape": foldReshape, "Flatten": foldFlatten, "Squeeze": foldSqueeze, "Unsqueeze": foldUnsqueeze,
		"Transpose": foldTranspose, "Concat": foldConcat, "Slice": foldSlice, "Gather": foldGather, "Expand": foldExpand, "Tile": foldTile, "GatherElements": foldPlaces, "GatherND": foldPlaces,
		"Where": foldWhere, "Not": foldNot, "ReduceProd": foldReduce, "ReduceSum": foldReduce, "ReduceMax": foldReduce, "ReduceMin": foldReduce,
	}
	for op := range arithmetic {
		folds[op] = foldArithmetic
	}
	for op := range functions {
		folds[op] = foldFunction
	}
}
