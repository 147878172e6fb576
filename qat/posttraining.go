package qat

import (
	"fmt"

	"github.com/goqat/goqat/qat/internal/tune"
	"github.com/goqat/goqat/qat/ptq"
)

// PostTraining quantizes a trained network without training it, as well as it can: it
// equalizes channels ([Model.Equalize]), observes the ranges of all batches
// ([Model.Calibrate]), rounds the weights and corrects the biases ([Model.Round],
// or without it [Model.CorrectBias]), in this order. Then call Freeze. A few hundred
// examples are enough; they need no labels. Ranges that were observed before are
// forgotten.
//
// Observers for a moving average follow the last batches; for a few batches min_max
// or mse are better (latest_mse for weights).
//
// An error names the step, the layer and the batch. Equalize may then have been done:
// it changes no result.
func (m *Model) PostTraining(data ptq.Data, opt ptq.Options) (ptq.Report, error) {
	r, err := tune.PostTraining(m.plan, data, opt)
	if err != nil {
		return r, fmt.Errorf("qat: post-training: %w", err)
	}
	return r, nil
}

// Equalize makes the channels of neighbouring layers alike, so that one scale for a
// whole tensor fits them all (cross-layer equalization, Nagel et al. 2019, section
// 4.1). Output channel c of one layer is divided by s[c], and input channel c of the
// next is multiplied by it, with s = sqrt(range before / range behind), over and over
// until nothing moves. That needs a way between the two which passes scales on: ReLU,
// leaky ReLU, pooling, dropout and reshapes that keep channels apart. ReLU6 and other
// clips do not; the report says so.
//
// It writes to your float weights, biases and batch normalisations' gammas and betas
// in place. The float network computes what it did before, up to rounding. All
// observed ranges and what [Model.Round] and [Model.CorrectBias] found are
// forgotten, so calibrate after it. On an error nothing has changed.
func (m *Model) Equalize(opt ptq.EqualizeOptions) (ptq.EqualizeReport, error) {
	r, err := tune.Equalize(m.plan, opt)
	if err != nil {
		return ptq.EqualizeReport{}, fmt.Errorf("qat: equalize: %w", err)
	}
	return r, nil
}

// Round chooses the codes of all quantized weights so that the layers' results, not
// the weights, keep close to the float network's on the data: GPTQ (Frantar et al.
// 2022) with second moments of the layer's inputs, in the quantized network, and what
// [ptq.RoundOptions] lists. Convolutions count as products over patches, group by group.
// Layers are done in network order, on the results of those before. Ranges must be
// known, so calibrate first. It never does worse than rounding to nearest, by its
// measure.
//
// Your weights are not touched: codes and scales are kept apart for Predict, Freeze,
// Verify and Report, while they quantize, and training does not see them. The first
// Step, ReadState or Equalize drops them, and WriteState leaves them out. Each call
// begins anew, also with what CorrectBias found. The result depends on the network and
// the data alone. On an error nothing has changed.
func (m *Model) Round(data ptq.Data, opt ptq.RoundOptions) ([]ptq.RoundedLayer, error) {
	out, err := tune.Round(m.plan, data, opt)
	if err != nil {
		return nil, fmt.Errorf("qat: round: %w", err)
	}
	return out, nil
}

// CorrectBias takes the mean error out of every layer with quantized weights (Nagel
// et al. 2019, section 4.2, with data): per output channel, the mean of the float
// network's result before the activation less that of the quantized one's, over the
// data, goes to the bias. Layers are done in network order, each on the results of
// those corrected before it. Ranges must be known, so calibrate first.
//
// Your parameters are not touched: the correction is a constant of its own, which
// Predict, Freeze, Verify and Report use while they quantize and training does not.
// The first Step, ReadState or Equalize drops it, and WriteState leaves it out. A
// second call adds to the first. On an error nothing has changed.
func (m *Model) CorrectBias(data ptq.Data) ([]ptq.BiasCorrection, error) {
	out, err := tune.CorrectBias(m.plan, data)
	if err != nil {
		return nil, fmt.Errorf("qat: correct bias: %w", err)
	}
	return out, nil
}
