package onnxin

// How is a model read from a reader or a file?

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
)

// Read reads a float model of one piece. A model with external data needs
// [ReadFile]. Errors wrap [ErrFormat] or [ErrUnsupported] and name the node or tensor.
func Read(r io.Reader, opt Options) (*Model, error) {
	m, err := readAll(r)
	if err != nil {
		return nil, fmt.Errorf("onnxin: %w", err)
	}
	return build(m, noFiles{}, opt)
}

// ReadFile reads a float model from a file; external data is looked for in the
// file's folder and below. Errors are those of [Read].
func ReadFile(path string, opt Options) (*Model, error) {
	m, files, err := openModel(path)
	if err != nil {
		return nil, fmt.Errorf("onnxin: %w", err)
	}
	defer files.Close()
	return build(m, files, opt)
}

// openModel reads the model and opens its folder.
func openModel(path string) (*parsed, *folder, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	m, err := readAll(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	return m, &folder{root: root}, nil
}

// newShadow builds the model for one row more, so that the real one can tell by
// comparison where the batch is; shapes alone do not tell a batch of 1 from no batch. It
// returns nil where the model has one size only.
func newShadow(p *parsed, files fileSource, opt Options) *builder {
	opt.Batch++
	opt.Shapes = maps.Clone(opt.Shapes)
	open := false
	for _, in := range p.Graph.Input {
		dims := in.GetType().GetTensorType().GetShape().GetDim()
		open = open || len(dims) > 0 && dims[0].GetDimValue() <= 0 && opt.Shapes[in.GetName()] == nil
	}
	for name, shape := range opt.Shapes {
		if !open && len(shape) > 1 {
			opt.Shapes[name] = append([]int{shape[0] + 1}, shape[1:]...)
		}
	}
	b := newBuilder(p, files, opt)
	b.widen = !open
	if b.run() != nil {
		return nil
	}
	return b
}

// build makes the graph. It never panics: Gorgonia panics in places.
func build(p *parsed, files fileSource, opt Options) (m *Model, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("onnxin: %w: building the graph: %v", ErrFormat, r)
		}
	}()
	if opt.Batch == 0 {
		opt.Batch = 1
	}
	if opt.Batch < 0 || opt.MaxElements < 0 {
		return nil, fmt.Errorf("onnxin: options: batch %d, max elements %d: want at least 0", opt.Batch, opt.MaxElements)
	}
	b := newBuilder(p, files, opt)
	b.shadow = newShadow(p, files, opt)
	if err := b.run(); err != nil {
		return nil, fmt.Errorf("onnxin: %w", err)
	}
	return b.m, nil
}
