// Package mem is what graph ops and a machine tell each other about memory: an op
// whose results the machine may put where it likes, share with values that are no
// longer needed, or never make because two ops run as one. Machines that know
// nothing of it call Do as ever.
package mem

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Op is an op that neither keeps its operands nor returns one of them from Do.
type Op interface {
	gorgonia.Op
	// Facts describes the op's results. They never change.
	Facts() Facts
	// DoInto is Do with the machine's memory for the results: out[i] has the shape of
	// Facts().Out[i], any content, and is overwritten. It is nil for a result that the
	// op does not have, or that nobody needs where Facts().Optional is set.
	DoInto(out []*tensor.Dense, in []gorgonia.Value) error
	// Result returns result i of the last Do, for ops with several.
	Result(i int) gorgonia.Value
}

// Facts are about an op's results and operands.
type Facts struct {
	// Out holds the shapes of the results, all float32; nil entries are results that the
	// op does not have. A nil Out is an op that has to run with Do.
	Out []tensor.Shape
	// Own is the result that is the value of the op's node. Part nodes hand out others.
	Own int
	// Unread marks operands whose elements DoInto does not look at; nil: it looks at all.
	Unread []bool
	// ReadFor lists, operand by operand, the results for which DoInto looks at an
	// operand: it need not be there where all of them are nil. An operand without an entry,
	// or with nil, is looked at for any result.
	ReadFor [][]int
	// Over lists operands in whose memory the Own result may be made, best first.
	Over []int
	// View is 1 + the operand whose elements, as they are, are every result; 0 for none.
	View int
	// Same says that all results are equal, so that DoInto may be given one memory for
	// all of them.
	Same bool
	// Optional says that DoInto skips results that are nil.
	Optional bool
}

// Part is an op that hands out a further result of its only operand's op.
type Part interface {
	gorgonia.Op
	Part() int
}

// Backward is an op that computes the gradients of another one. Its last operand is
// the gradient of that op's result.
type Backward interface {
	Op
	BackwardOf() gorgonia.Op
}

// Fuser is an op that may run as one with the op behind it.
type Fuser interface {
	Op
	// Fuse returns an op that computes next of this op's result, bit for bit, without
	// that result. next is applied to it alone. A nil next asks for a form of this op
	// that a machine runs better than itself. It reports false where there is none.
	Fuse(next gorgonia.Op) (Fused, bool)
}

// Fused stands for a chain of ops. Its operands are those of the first.
type Fused interface {
	Fuser
	// Backward returns the op that computes the gradients of the operands from the
	// operands and the gradient of the result. It must be asked for before the first
	// run, or the forward pass keeps nothing for it.
	Backward() Backward
}
