// Package observers estimates the ranges that quantization grids are fitted to,
// from the tensors that pass by. Each observer implements [fakequant.Observer]
// and is ready as its zero value:
//
//	Latest         the range of the latest tensor. For weights: their grid never
//	               lags behind the values that are quantized.
//	MovingAverage  m += c*(cur-m). For activations during training: the range
//	               follows the network as it changes and forgets outliers. Set
//	               Constant higher than its default 0.01 for short runs: the
//	               first batch counts until about 1/Constant more have passed.
//	EMA            m = r*m + (1-r)*cur, with the faster default r = 0.9.
//	MinMax         smallest and largest so far. For calibration of a network that
//	               does not change: nothing that was seen is clipped.
//
// An observer knows nothing of integers; [fakequant.ParamsFromRange] turns its
// range into scale and zero point and extends it to include 0. Ranges are kept
// per group of the spec: one for the whole tensor, or one per channel or block.
// Infinities are left out of a range; NaN is an error and changes nothing.
//
// Replicas of a network that saw different data are brought together by
// [Merger]. State is saved and restored exactly as JSON.
//
// The rules are those of Core ML Tools' LinearQuantizer
// (coremltools/optimize/torch/quantization/modules/observers.py) and of PyTorch
// (torch/ao/quantization/observer.py).
package observers
