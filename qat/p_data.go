package qat

import "iter"

// Batches yields calibration data, batch after batch: one slice per input of the
// network, as for [Model.Predict]. The helpers run through it several times, so
// it must yield the same batches each time and at least one. [BatchesOf] makes one
// from slices.
type Batches = iter.Seq[[][]float32]

// BatchesOf returns the batches of a network with one input. They are not copied.
func BatchesOf(batches ...[]float32) Batches {
	return func(yield func([][]float32) bool) {
		for _, b := range batches {
			if !yield([][]float32{b}) {
				return
			}
		}
	}
}
