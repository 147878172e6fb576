package onnxin

// What is a model while it is being built: the builder, its values, its nodes?

import (
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/onnxpb"
	"gorgonia.org/gorgonia"
)

// builder turns the nodes of a file into a Gorgonia graph, in the file's order.
type builder struct {
	p     *parsed
	files fileSource
	opt   Options
	m     *Model

	values  map[string]*value
	broken  map[string]bool // results of nodes that failed
	made    map[string]bool // names of all results
	users   map[string][]*node
	makers  map[string]*node // of live nodes, by result
	wanted  map[string]bool  // names of the outputs
	done    map[*node]bool   // fused into an earlier node
	refused map[*node]bool   // by the scan
	named   map[*gorgonia.Node]bool
	printed map[string][]float32 // constants in the graph by how Gorgonia prints them
	scalars map[string]float32   // those of one number by name
	// transposed holds matrices that are transpositions, and of what.
	transposed map[*gorgonia.Node]*gorgonia.Node
	widen      bool           // fixed first dimensions get one row more
	reshapes   [][]int        // shapes asked for, in order
	shadow     *builder       // the same model at another batch size, or nil
	budget     int            // elements that may still be computed while reading
	seed       uint64         // of the next dropout
	depth      int            // branches within branches
	failed     map[string]int // nodes that failed by operator
	failures   []error
	omitted    int // failures beyond maxFailures
}

// value is a tensor of the model.
type value struct {
	name string
	// c is set if the tensor is known, t before it is decoded, n once it is in the graph.
	c     *constant
	t     *onnxpb.TensorProto
	n     *gorgonia.Node
	init  bool   // an initializer, or weights made of one that holds codes
	whole bool   // whole numbers, if it is data
	pad   [4]int // zeros that the convolution behind it adds: top, left, bottom, right
}

// known reports whether the elements do not depend on inputs or parameters.
func (v *value) known() bool { return v.c != nil || v.t != nil }

func newBuilder(p *parsed, files fileSource, opt Options) *builder {
	b := &builder{p: p, files: files, opt: opt, budget: opt.MaxElements,
		m:      &Model{Graph: gorgonia.NewGraph(), Params: map[string]*gorgonia.Node{}},
		values: map[string]*value{}, broken: map[string]bool{}, made: map[string]bool{}, users: map[string][]*node{}, makers: map[string]*node{}, wanted: map[string]bool{},
		done: map[*node]bool{}, refused: map[*node]bool{}, failed: map[string]int{}, named: map[*gorgonia.Node]bool{}, printed: map[string][]float32{}, scalars: map[string]float32{}, transposed: map[*gorgonia.Node]*gorgonia.Node{}}
	b.m.Producer = strings.TrimSpace(p.GetProducerName() + " " + p.GetProducerVersion())
	if b.budget == 0 {
		b.budget = 1<<20 + 4*p.size
	}
	return b
}

// onlyUser returns the node that alone reads a value, or nil.
func (b *builder) onlyUser(name string) *node {
	if u := b.users[name]; len(u) == 1 && !b.wanted[name] {
		return u[0]
	}
	return nil
}

// needs reports whether anything reads a result.
func (b *builder) needs(name string) bool {
	return name != "" && (len(b.users[name]) > 0 || b.wanted[name])
}

// isParam reports whether v is an initializer that training should be able to change.
func (v *value) isParam() bool {
	switch {
	case !v.init:
		return false
	case v.t != nil:
		return len(v.t.Dims) > 0 && isFloatType(dataType(v.t.GetDataType()))
	}
	return v.c != nil && v.c.float && len(v.c.shape) > 0 // of codes
}

// whole reports whether an operand is data of whole numbers.
func (n *node) whole() bool {
	return slices.ContainsFunc(n.in, func(v *value) bool { return v != nil && v.n != nil && v.whole })
}

// node is a node of the file with its operands.
type node struct {
	b     *builder
	pb    *onnxpb.NodeProto
	op    string
	label string
	attrs map[string]*onnxpb.AttributeProto
	in    []*value // nil where an optional operand is left out
	err   error    // the first attribute of a wrong type
	// absorbed says that a later node's result was made with this one's.
	absorbed bool
}
