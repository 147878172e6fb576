package ptq

// This file says how calibration data is given.

import "iter"

// Data yields calibration data, batch after batch: one slice per input of the
// network, as for qat.Model.Predict. The helpers run through it several times, so
// it must yield the same batches each time and at least one. [DataOf] makes one
// from slices.
type Data = iter.Seq[[][]float32]

// DataOf returns the batches of a network with one input. They are not copied.
func DataOf(batches ...[]float32) Data {
	return func(yield func([][]float32) bool) {
		for _, b := range batches {
			if !yield([][]float32{b}) {
				return
			}
		}
	}
}
