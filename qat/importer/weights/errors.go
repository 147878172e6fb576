package weights

// Which errors can callers tell apart, and how do they spell names?

import (
	"errors"
	"fmt"

	"github.com/goqat/goqat/internal/safetensors"
)

var (
	// ErrWeights is wrapped by errors about a file that does not fit the graph: names,
	// shapes, element types, numbers that are not finite.
	ErrWeights = errors.New("weights do not fit")
	// ErrFormat is wrapped by errors about a file that is not valid safetensors.
	ErrFormat = safetensors.ErrFormat
	// ErrNodes is wrapped by errors about nodes that cannot take or give weights.
	ErrNodes = errors.New("not a parameter")
	// ErrOptions is wrapped by errors about options that contradict themselves, the
	// file or the graph.
	ErrOptions = errors.New("invalid weights options")
)

// short cuts a name that is longer than anyone wants to read. The limit is in bytes,
// and %q makes good what a cut leaves of a letter.
func short(s string) string {
	const limit = 200
	if len(s) > limit {
		return fmt.Sprintf("%q…", s[:limit])
	}
	return fmt.Sprintf("%q", s)
}
