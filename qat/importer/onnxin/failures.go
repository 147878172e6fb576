package onnxin

import (
	"errors"
	"fmt"
)

// maxFailures bounds the length of an error.
const maxFailures = 50

func (b *builder) fail(err error) {
	if len(b.failures) == maxFailures {
		b.omitted++
		return
	}
	if text := err.Error(); len(text) > maxText {
		err = clipped{err, text[:maxText] + "…"}
	}
	b.failures = append(b.failures, err)
}

// maxText bounds one failure: it may quote a list from the file.
const maxText = 1000

// clipped is an error with a shorter text.
type clipped struct {
	error
	text string
}

func (c clipped) Error() string { return c.text }
func (c clipped) Unwrap() error { return c.error }

// failure is one error for all nodes that could not be imported.
func (b *builder) failure() error {
	switch {
	case len(b.failures) == 0:
		return nil
	case b.omitted > 0:
		b.failures = append(b.failures, fmt.Errorf("and %d nodes more", b.omitted))
	case len(b.failures) == 1:
		return b.failures[0]
	}
	return fmt.Errorf("%d nodes cannot be imported:\n%w", len(b.failures)+b.omitted-min(b.omitted, 1), errors.Join(b.failures...))
}
