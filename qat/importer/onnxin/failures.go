package onnxin

// How do the faults of many nodes become one error?

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxFailures bounds the length of an error.
const maxFailures = 50

// fail notes what is wrong with a node.
func (b *builder) fail(n *node, err error) {
	b.failed[n.op]++
	if len(b.failures) == maxFailures {
		b.omitted++
		return
	}
	err = fmt.Errorf("node %s (%s): %w", n.label, n.op, err)
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

// failure is one error for all nodes that could not be imported, with how many there are
// of each operator.
func (b *builder) failure() error {
	count := len(b.failures) + b.omitted
	switch {
	case count == 0:
		return nil
	case count == 1:
		return b.failures[0]
	case b.omitted > 0:
		b.failures = append(b.failures, fmt.Errorf("and %d nodes more", b.omitted))
	}
	var ops []string
	for _, op := range slices.Sorted(maps.Keys(b.failed)) {
		ops = append(ops, fmt.Sprintf("%d %s", b.failed[op], op))
	}
	return fmt.Errorf("%d nodes cannot be imported (%s):\n%w", count, strings.Join(ops, ", "), errors.Join(b.failures...))
}
