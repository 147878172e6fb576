package frozen

// The layer kinds of this package are those of internal/nn: same fields, same names. A
// conversion that does not compile says that they have come apart.

import (
	"fmt"

	"github.com/goqat/goqat/internal/nn"
)

// ParseOp makes a kind of the name and the settings, a JSON object, that a file of a
// network has for it. It is strict: an unknown kind or field, settings that no input can
// make right, and anything else than one object are errors that wrap ErrFormat.
func ParseOp(kind string, settings []byte) (Op, error) {
	op, err := parseOp(kind, settings)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return op, nil
}

func parseOp(kind string, settings []byte) (Op, error) {
	o, err := nn.UnmarshalOp(kind, settings)
	if err != nil {
		return nil, err
	}
	if op := opOf(o); op != nil {
		return op, nil
	}
	return nil, fmt.Errorf("layer kind %q has no frozen form", kind)
}

func (o Conv) op() nn.Op { return nn.Conv(o) }

func (o MatMul) op() nn.Op { return nn.MatMul(o) }

func (o Binary) op() nn.Op { return nn.Binary(o) }

func (o Unary) op() nn.Op { return nn.Unary(o) }

func (o Pool) op() nn.Op { return nn.Pool(o) }

func (o GlobalAvgPool) op() nn.Op { return nn.GlobalAvgPool(o) }

func (o Reduce) op() nn.Op { return nn.Reduce(o) }

func (o Reshape) op() nn.Op { return nn.Reshape(o) }

func (o Transpose) op() nn.Op { return nn.Transpose(o) }

func (o Concat) op() nn.Op { return nn.Concat(o) }

func (o Slice) op() nn.Op { return nn.Slice(o) }

func (o Softmax) op() nn.Op { return nn.Softmax(o) }

func (o BatchNorm) op() nn.Op { return nn.BatchNorm(o) }

func (o LayerNorm) op() nn.Op { return nn.LayerNorm(o) }

func (o GroupNorm) op() nn.Op { return nn.GroupNorm(o) }

func (o Dropout) op() nn.Op { return nn.Dropout(o) }

func (o Pad) op() nn.Op { return nn.Pad(o) }

func (o LRN) op() nn.Op { return nn.LRN(o) }

func (o Gather) op() nn.Op { return nn.Gather(o) }

// Kind is the name in files.
func (o Conv) Kind() string { return nn.Conv(o).Kind() }

// Kind is the name in files.
func (o MatMul) Kind() string { return nn.MatMul(o).Kind() }

// Kind is the name in files.
func (o Binary) Kind() string { return nn.Binary(o).Kind() }

// Kind is the name in files.
func (o Unary) Kind() string { return nn.Unary(o).Kind() }

// Kind is the name in files.
func (o Pool) Kind() string { return nn.Pool(o).Kind() }

// Kind is the name in files.
func (o GlobalAvgPool) Kind() string { return nn.GlobalAvgPool(o).Kind() }

// Kind is the name in files.
func (o Reduce) Kind() string { return nn.Reduce(o).Kind() }

// Kind is the name in files.
func (o Reshape) Kind() string { return nn.Reshape(o).Kind() }

// Kind is the name in files.
func (o Transpose) Kind() string { return nn.Transpose(o).Kind() }

// Kind is the name in files.
func (o Concat) Kind() string { return nn.Concat(o).Kind() }

// Kind is the name in files.
func (o Slice) Kind() string { return nn.Slice(o).Kind() }

// Kind is the name in files.
func (o Softmax) Kind() string { return nn.Softmax(o).Kind() }

// Kind is the name in files.
func (o BatchNorm) Kind() string { return nn.BatchNorm(o).Kind() }

// Kind is the name in files.
func (o LayerNorm) Kind() string { return nn.LayerNorm(o).Kind() }

// Kind is the name in files.
func (o GroupNorm) Kind() string { return nn.GroupNorm(o).Kind() }

// Kind is the name in files.
func (o Dropout) Kind() string { return nn.Dropout(o).Kind() }

// Kind is the name in files.
func (o Pad) Kind() string { return nn.Pad(o).Kind() }

// Kind is the name in files.
func (o LRN) Kind() string { return nn.LRN(o).Kind() }

// Kind is the name in files.
func (o Gather) Kind() string { return nn.Gather(o).Kind() }

// opOf is the frozen form of a layer kind; nil if it has none.
func opOf(op nn.Op) Op {
	switch o := op.(type) {
	case nn.Conv:
		return Conv(o)
	case nn.MatMul:
		return MatMul(o)
	case nn.Binary:
		return Binary(o)
	case nn.Unary:
		return Unary(o)
	case nn.Pool:
		return Pool(o)
	case nn.GlobalAvgPool:
		return GlobalAvgPool(o)
	case nn.Reduce:
		return Reduce(o)
	case nn.Reshape:
		return Reshape(o)
	case nn.Transpose:
		return Transpose(o)
	case nn.Concat:
		return Concat(o)
	case nn.Slice:
		return Slice(o)
	case nn.Softmax:
		return Softmax(o)
	case nn.BatchNorm:
		return BatchNorm(o)
	case nn.LayerNorm:
		return LayerNorm(o)
	case nn.GroupNorm:
		return GroupNorm(o)
	case nn.Dropout:
		return Dropout(o)
	case nn.Pad:
		return Pad(o)
	case nn.LRN:
		return LRN(o)
	case nn.Gather:
		return Gather(o)
	}
	return nil
}
