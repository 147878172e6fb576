package fakequant

import (
	"errors"
	"fmt"
)

var (
	// ErrData is wrapped by errors about the values themselves: NaN, nothing
	// finite, the wrong number of elements.
	ErrData = errors.New("invalid data")
	// ErrNotCalibrated is wrapped when a quantizer is asked for parameters
	// before it has seen any data.
	ErrNotCalibrated = errors.New("quantizer has seen no data")
)

// LayerError says where an error happened. Unwrap gives the cause.
type LayerError struct {
	Layer string // the layer's or the quantizer's name
	Part  string // "weight", "input", "output" …; may be empty
	Err   error  // the cause, never nil
}

// Error is "layer \"name\" (part): cause".
func (e *LayerError) Error() string {
	if e.Part == "" {
		return fmt.Sprintf("layer %q: %v", e.Layer, e.Err)
	}
	return fmt.Sprintf("layer %q (%s): %v", e.Layer, e.Part, e.Err)
}

// Unwrap returns the cause.
func (e *LayerError) Unwrap() error { return e.Err }
