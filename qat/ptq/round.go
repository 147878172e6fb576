package ptq

// This file says how weights are rounded, and what came of it.

// RoundOptions are the settings of qat.Model.Round. The zero value is good.
type RoundOptions struct {
	// Damping is added to the diagonal of the input's second moments, as a share of its
	// mean, and pulls the result towards the float weights; 0 means 0.01. It is raised
	// tenfold where a matrix is not positive definite. A layer with fewer than 32 input
	// vectors to each weight of a channel is also tried with 10 and 100 times as much and
	// with rounding to nearest, each half of the data judging what the other half found.
	Damping float64
	// Order is the order in which the columns of a weight are rounded.
	Order ColumnOrder
	// Plain is the method of the paper alone: error feedback with the scales that the
	// observer gives. Otherwise the scales are searched too, errors made before the
	// layer are made good in it, and codes change one by one while the error falls.
	Plain bool
	// KeepBias leaves out the correction of the mean error that rounding makes, which
	// otherwise goes to the bias; see qat.Model.CorrectBias.
	KeepBias bool
	// MaxPositions bounds the output positions of a convolution that are used of each
	// image, spread evenly; 0 means 256.
	MaxPositions int
}

// ColumnOrder says in which order the columns of a weight are rounded. Errors of early
// ones are made good in later ones.
type ColumnOrder string

// The orders.
const (
	ByActivation ColumnOrder = ""      // columns with the largest inputs first, the default
	ByIndex      ColumnOrder = "index" // as they come
)

// RoundedLayer is what qat.Model.Round did to one layer.
type RoundedLayer struct {
	Layer string `json:"layer"`
	// Nearest and Rounded are the errors of the layer's result on the data, relative to
	// it (root mean squares; the mean error counts only with KeepBias): with every
	// weight rounded to nearest, and as kept. The best float weights for the layer's
	// quantized input have 0.
	Nearest float64 `json:"nearest"`
	Rounded float64 `json:"rounded"`
	// Damping is the share that was chosen: RoundOptions.Damping, or 10 or 100 times that
	// where the data has few vectors for the layer's weights and samples held out say so. What
	// a matrix that is not positive definite needs comes on top. 0: rounded to nearest.
	Damping float64 `json:"damping,omitempty"`
	// Dead is how many columns no data reached; they are rounded to nearest.
	Dead int `json:"dead_columns,omitempty"`
	// Note says why a layer, or a part of one, was rounded to nearest.
	Note string `json:"note,omitempty"`
}
