package frozen

// This file says which errors there are.

import (
	"errors"
)

var (
	// ErrNetwork is wrapped by errors about a network that contradicts itself.
	ErrNetwork = errors.New("invalid frozen network")
	// ErrInput is wrapped when the numbers given to Run do not fit the inputs.
	ErrInput = errors.New("invalid network input")
	// ErrFormat is wrapped by errors about a file that is not, or not wholly, a
	// frozen network that this version reads.
	ErrFormat = errors.New("invalid network file")
)
