package onnxin

// Which errors can callers tell apart?

import "errors"

var (
	// ErrFormat is wrapped by errors about files that are not valid ONNX: damaged,
	// contradictory or beyond the limits.
	ErrFormat = errors.New("invalid ONNX model")
	// ErrUnsupported is wrapped by errors about valid models that goqat cannot import.
	// One error names all nodes concerned.
	ErrUnsupported = errors.New("unsupported")
)
