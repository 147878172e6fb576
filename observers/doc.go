// Package observers estimates the ranges that quantization grids are fitted to,
// from the tensors that pass by. Each observer implements [fakequant.Observer]
// and is ready as its zero value:
//
//	Latest         the range of the latest tensor. For weights: their grid never
//	               lags behind the values that are quantized.
//	LatestMSE      the range with the least squared error on the latest tensor. For
//	               weights of 4 bits and fewer.
//	MovingAverage  m += c*(cur-m). For activations during training: the range
//	               follows the network as it changes and forgets outliers. Set
//	               Constant higher than its default 0.01 for short runs: the
//	               first batch counts until about 1/Constant more have passed.
//	EMA            m = r*m + (1-r)*cur, with the faster default r = 0.9.
//	MinMax         smallest and largest so far. For calibration of a network that
//	               does not change, and for inputs: nothing that was seen is clipped.
//	Percentile     leaves out the outermost 0.01 % of all values so far. For
//	               calibration with rare outliers: cheap and easy to explain.
//	MSE            the least squared error over all values so far. For calibration
//	               with few bits, or where a range must suit the very grid.
//	KL             keeps the most of the distribution of all values so far. For
//	               calibration of 8-bit classifiers, as in TensorRT.
//	Histogram      PyTorch's HistogramObserver: a small squared error for 8 bits.
//	               For calibration that should compare with PyTorch's default.
//
// Those with a histogram count all values since the start, so they suit a network
// that holds still; while weights are trained, early values stay in the count.
//
//	observer       for          clips  costs per tensor  costs per range  memory per group
//	Latest         weights      no     one pass          -                -
//	LatestMSE      weights      yes    10 to 100 passes  -                the tensor
//	MovingAverage  activations  a bit  one pass          -                -
//	EMA            activations  a bit  one pass          -                -
//	MinMax         both         no     one pass          -                -
//	Percentile     both         yes    two passes        microseconds     16*Bins bytes
//	MSE            both         yes    two passes        milliseconds     16*Bins bytes
//	KL             both         yes    two passes        a millisecond    16*Bins bytes
//	Histogram      both         a bit  two passes        a millisecond    16*Bins bytes
//
// An observer knows nothing of integers but what a [SpecSetter] is told;
// [fakequant.ParamsFromRange] turns its range into scale and zero point and extends
// it to include 0. Ranges are kept per group of the spec: one for the whole tensor,
// or one per channel or block. Infinities are left out of a range; NaN is an error
// and changes nothing.
//
// Replicas of a network that saw different data are brought together by
// [Merger]. State is saved and restored exactly as JSON. Histograms have bins whose
// width is a power of two and whose edges include 0, so neither growing nor merging
// loses anything: the counts are those of one observer that saw all data.
//
// The rules are those of Core ML Tools' LinearQuantizer
// (coremltools/optimize/torch/quantization/modules/observers.py), of PyTorch
// (torch/ao/quantization/observer.py) and, for KL, of TensorRT (Migacz, 8-bit
// Inference with TensorRT, GTC 2017).
package observers
