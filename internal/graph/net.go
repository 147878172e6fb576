// Package graph reads a Gorgonia expression graph into a small typed network:
// layers of package nn's kinds between named values. Training preparation, the
// evaluator, freezing and the exporters all start from this one form. Reading
// never changes the user's graph, and gradient nodes are never part of it: the
// network is what the asked-for outputs need, and what else the graph computes forward
// is read into a carried part beside it.
package graph

import (
	"fmt"
	"slices"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Net is what one or more outputs of a graph compute.
type Net struct {
	Values  []*Value // in creation order, producers before consumers
	Layers  []*Layer // topological
	Inputs  []*Value // in creation order
	Outputs []*Value // in the order they were asked for

	// Batch is the size of the batch axis in the traced graph, or 0 when the network
	// has no open batch; then BatchNote says why not.
	Batch     int
	BatchNote string

	// Skipped lists the nodes that stay stock ops, with the reason.
	Skipped []Note

	// Carried is what the graph holds beside the network.
	Carried Carried

	graph  *gorgonia.ExprGraph
	left   map[*gorgonia.Node]string // why a node was not carried over
	nodes  map[*gorgonia.Node]*Value
	kids   map[*gorgonia.Node][]*gorgonia.Node // operands of the user's nodes
	groups []*group
}

// Note says why something was left as it is.
type Note struct {
	Layer  string // name of the layer
	Reason string
}

// Notes are remarks on the network's layers: where Gorgonia's own op computes wrongly and
// goqat's does not, and where an output may not be what the program wrote.
func (n *Net) Notes() []Note {
	var notes []Note
	for _, l := range n.Layers {
		if l.Wrong != "" {
			notes = append(notes, Note{l.Name, "Gorgonia's op computes wrongly: " + l.Wrong})
		}
		if s, ok := l.Op.(nn.Softmax); ok && s.Log && opName(l.Stock) == "softmaxOp" && slices.Contains(n.Outputs, l.Out) {
			notes = append(notes, Note{l.Name, "this output is the logarithm of a softmax: the program wrote LogSoftMax, or it took gorgonia.Log of a SoftMax, " +
				"which turns the SoftMax itself into a logarithm; for probabilities, call Prepare before Log, or give what goes into the SoftMax as output"})
		}
	}
	return notes
}

// Role says where a value comes from.
type Role int

const (
	Activation Role = iota // the output of a layer
	Input                  // data: bound anew for each batch
	Param                  // a weight, bias or other leaf with a value that stays, trained or not
	Const                  // a constant of the graph
)

func (r Role) String() string {
	if r < Activation || r > Const {
		return fmt.Sprintf("Role(%d)", int(r))
	}
	return [...]string{"activation", "input", "param", "const"}[r]
}

// Value is one tensor of the network.
type Value struct {
	Name  string // unique in its network
	Shape []int  // as traced; empty for a scalar
	// BatchAxis is the axis that grows with the batch, -1 when there is none. The
	// axis may hold a multiple of the batch (as in a [N*T, C] matrix).
	BatchAxis int
	Role      Role
	// Fixed marks a Param that is not trained.
	Fixed bool
	// Node is the user's node. It is nil for a value between two layers that stand
	// for one user node.
	Node     *gorgonia.Node
	Producer *Layer    // nil for leaves
	Data     []float32 // of a Const: a copy of its elements
	// Random is what the numbers of an Input are drawn from where none are bound; nil for
	// other inputs.
	Random *ops.Random

	said    bool // options or a mark say what the leaf is
	guessed bool // its role is a guess
}

// Trained reports whether the value is a parameter that training moves.
func (v *Value) Trained() bool { return v.Role == Param && !v.Fixed }

// Differentiable reports whether a gradient of the value can be asked for: it is trained, or
// that it is not is only a guess.
func (v *Value) Differentiable() bool {
	return v.Trained() || v.guessed && v.Node != nil && v.Node.Value() != nil && v.Node.Dtype() == tensor.Float32
}

// Default is the value that an input had in the user's graph, row-major, nil for none.
// Inputs that are known to be data have none: that was a batch.
func (v *Value) Default() []float32 {
	if v.Role != Input || v.said || v.Node == nil || v.Node.Value() == nil {
		return nil
	}
	x, err := floats(v.Node.Value())
	if err != nil {
		return nil
	}
	return x
}

// Layer is one operation of the network.
type Layer struct {
	Name string // unique in its network
	Op   nn.Op  // nil when Opaque
	In   []*Value
	Out  *Value
	// Nodes are the user nodes that this layer stands for, topological. It is empty
	// for a helper layer (a reshape around a product, say) of another one.
	Nodes []*gorgonia.Node
	BN    *BatchNorm // of a batch normalisation, else nil
	// Opaque marks an op that has no layer kind: it stays Stock, applied to In.
	Opaque bool
	Stock  gorgonia.Op // the op of the user's node; nil for a helper layer
	// Wrong says what Gorgonia's own op computes wrongly; empty when it is right.
	Wrong string

	group *group
}

// Kind is the kind of the layer's op, or "opaque".
func (l *Layer) Kind() string {
	if l.Op == nil {
		return "opaque"
	}
	return l.Op.Kind()
}

// group is the set of layers that stand for one user node.
type group struct {
	layers []*Layer // the last one's output is the node's value
	main   *Layer
	node   *gorgonia.Node
}

// BatchNorm is what a batch normalisation has beyond its nn.BatchNorm. The layer's
// operands are x, gamma and beta, or x alone.
type BatchNorm struct {
	// Gamma and Beta hold one element per channel, in whatever shape the user gave
	// ([1,C,1,1], [1,C] or [C]). Both are nil for a bare normalisation.
	Gamma, Beta *Value
	Momentum    float64 // running += Momentum * (batch - running)
	Training    bool    // whether the op uses batch statistics
	// Stock is the user's op, or nil; State is that of our own op, or nil.
	Stock *gorgonia.BatchNormOp
	State *ops.BNState
}

// Stats returns copies of the running mean and variance, one element per channel.
// Gorgonia's op holds variance 0 until a machine was made for its graph.
func (b *BatchNorm) Stats() (mean, variance []float32) {
	if b.State != nil {
		return append([]float32(nil), b.State.Mean...), append([]float32(nil), b.State.Variance...)
	}
	if b.Stock == nil {
		return nil, nil
	}
	m, v := b.Stock.Stats()
	return denseCopy(m), denseCopy(v)
}

func denseCopy(t tensor.Tensor) []float32 {
	if d, ok := t.(*tensor.Dense); ok && d.Dtype() == tensor.Float32 {
		return append([]float32(nil), d.Float32s()...)
	}
	return nil
}

// Value returns the value that a user's node became, in the network or the carried part;
// nil when the node lies inside a layer ([Net.Inside]) or was left out ([Net.Missing]).
func (n *Net) Value(node *gorgonia.Node) *Value { return n.nodes[node] }

// Consumers returns the layers that read each value.
func (n *Net) Consumers() map[*Value][]*Layer {
	out := make(map[*Value][]*Layer, len(n.Values))
	for _, l := range n.Layers {
		for _, v := range l.In {
			out[v] = append(out[v], l)
		}
	}
	return out
}

// Base follows reshapes and transposes back to the value whose elements v holds:
// from a bias in its broadcast shape to the bias parameter.
func (v *Value) Base() *Value {
	for v.Producer != nil && nn.TraitsOf(v.Producer.Op).Relayout {
		v = v.Producer.In[0]
	}
	return v
}

// Floats returns the elements that the user's node of a leaf holds now, row-major.
// The slice is the user's own memory where the tensor is contiguous. It fails on
// values without a leaf node and on leaves that have no value.
func (v *Value) Floats() ([]float32, error) {
	if v.Role == Const {
		return v.Data, nil
	}
	if v.Role == Activation || v.Node == nil {
		return nil, fmt.Errorf("graph: %s is computed, it holds no elements of its own", v.Name)
	}
	x, err := floats(v.Node.Value())
	if err != nil {
		return nil, fmt.Errorf("graph: %s: %w", v.Name, err)
	}
	return x, nil
}

// floats reads a float32 Gorgonia value, without a copy where it is contiguous.
func floats(v gorgonia.Value) ([]float32, error) {
	switch v := v.(type) {
	case nil:
		return nil, fmt.Errorf("it has no value: use gorgonia.Let")
	case *gorgonia.F32:
		return []float32{float32(*v)}, nil
	case *tensor.Dense:
		if IsWhole(v.Dtype()) && !v.RequiresIterator() {
			return wholes(v)
		}
		if v.Dtype() != tensor.Float32 {
			return nil, fmt.Errorf("it holds %v: use float32", v.Dtype())
		}
		if v.RequiresIterator() || v.DataOrder().IsColMajor() {
			m, ok := v.Materialize().(*tensor.Dense)
			if !ok {
				return nil, fmt.Errorf("its tensor of shape %v cannot be made contiguous", v.Shape())
			}
			v = m
		}
		if v.Shape().Dims() == 0 {
			x, ok := v.Data().(float32)
			if ok {
				return []float32{x}, nil
			}
		}
		return v.Float32s(), nil
	default:
		return nil, fmt.Errorf("it holds a %T: use a float32 tensor", v)
	}
}
