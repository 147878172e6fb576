package onnxin

// Which nodes can be refused before anything is built, so that one error names all?

import "fmt"

// errOnlyKnown refuses operators that only fold.
var errOnlyKnown = fmt.Errorf("%w: goqat computes this operator only while reading, on values that depend on no input", ErrUnsupported)

// refusal says why no model with the node can be read; nil: by its operator it can.
func refusal(n *node) error {
	switch {
	case !isStandard(n.pb.GetDomain()):
		return fmt.Errorf("%w: operator of domain %q", ErrUnsupported, n.pb.GetDomain())
	case handlers[n.op] != nil || folds[n.op] != nil || n.op == "If":
		return nil
	case n.op == "QuantizeLinear":
		return errQuantized
	case refusals[n.op] != "":
		return fmt.Errorf("%w: %s", ErrUnsupported, refusals[n.op])
	}
	return fmt.Errorf("%w operator", ErrUnsupported)
}

// refusals say why an operator is not read, where there is more to say than that.
var refusals = map[string]string{
	"MaxUnpool":         "it puts values at positions that depend on an input, which no layer of goqat does",
	"RoiAlign":          "where it samples depends on an input: end the network before it with Options.Outputs",
	"MaxRoiPool":        "where it pools depends on an input: end the network before it with Options.Outputs",
	"NonMaxSuppression": "its result has no fixed size: end the network before it with Options.Outputs",
	"NonZero":           "its result has no fixed size: end the network before it with Options.Outputs",
	"Unique":            "its result has no fixed size: end the network before it with Options.Outputs",
	"Compress":          "its result has no fixed size: end the network before it with Options.Outputs",
	"Loop":              "loops have no fixed number of steps: unroll them before the export",
	"Scan":              "loops have no fixed number of steps: unroll them before the export",
}

// scan refuses, before the first node is built, all whose operator cannot be read, or can
// only on values that depend on no input. Otherwise what stands behind a node that fails
// would not be looked at.
func (b *builder) scan(nodes []*node) {
	data := map[string]bool{} // values that surely depend on an input
	for name, v := range b.values {
		data[name] = v.n != nil
	}
	for _, n := range nodes {
		reads := false
		for _, in := range n.pb.Input {
			reads = reads || data[in]
		}
		err := refusal(n)
		if err == nil && reads && handlers[n.op] == nil && n.op != "If" && n.op != "Shape" && n.op != "Size" {
			err = errOnlyKnown
		}
		if err != nil {
			b.refused[n] = true
			b.fail(n, err)
		}
		// A Gather, say, of a known row is known, so what only may depend is left out.
		for _, out := range n.pb.Output {
			data[out] = reads && n.op != "Shape" && n.op != "Size" && n.op != "If"
		}
	}
}
