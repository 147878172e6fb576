package onnxin

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/goqat/goqat/internal/onnxpb"
	"gorgonia.org/gorgonia"
)

var (
	// ErrFormat is wrapped by errors about files that are not valid ONNX: damaged,
	// contradictory or beyond the limits.
	ErrFormat = errors.New("invalid ONNX model")
	// ErrUnsupported is wrapped by errors about valid models that goqat cannot import.
	// One error names all nodes concerned.
	ErrUnsupported = errors.New("unsupported")
)

// Options say how to read a model. The zero value is usual.
type Options struct {
	// Batch is the batch size of the graph: it replaces an open first dimension of the
	// inputs. 0: 1.
	Batch int
	// Shapes gives the shapes of inputs by name and replaces those in the file. It is
	// needed for open dimensions other than the batch.
	Shapes map[string][]int
	// Training makes the graph itself train: batch normalisation uses the statistics of
	// the batch and dropout drops. It is not needed for qat.Prepare, whose graphs
	// train anyway.
	Training bool
	// MaxElements bounds the elements of tensors that the file does not hold but has
	// computed (ConstantOfShape, Expand …), all together. 0: one million and four times
	// the size of the file in bytes.
	MaxElements int
}

// Model is a float model as a Gorgonia graph.
type Model struct {
	Graph *gorgonia.ExprGraph
	// Inputs are the graph's inputs that the outputs depend on, in the order and with
	// the names of the file. They have no values yet.
	Inputs gorgonia.Nodes
	// Outputs are in the order of the file, OutputNames their names there. The nodes
	// are named after the file's nodes that compute them.
	Outputs     gorgonia.Nodes
	OutputNames []string
	// Params are the trainable leaves by their names in the file. They hold their values.
	Params map[string]*gorgonia.Node
	// Producer is the program that wrote the file, with its version.
	Producer string
}

// ParamNames returns the names of Params, sorted.
func (m *Model) ParamNames() []string { return slices.Sorted(maps.Keys(m.Params)) }

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

// parsed is a model with the number of bytes it was read from.
type parsed struct {
	*onnxpb.ModelProto
	size    int
	opset   int
	decoded map[*onnxpb.TensorProto]*constant
}

// decode reads an initializer, once.
func (p *parsed) decode(t *onnxpb.TensorProto, files fileSource) (*constant, error) {
	if c := p.decoded[t]; c != nil {
		return c, nil
	}
	c, err := decode(t, files)
	if err == nil {
		p.decoded[t] = c
	}
	return c, err
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
