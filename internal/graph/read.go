package graph

import (
	"errors"
	"fmt"
	"reflect"
	"sort"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Options tell the reader what it cannot see in the graph. The zero value is usual.
type Options struct {
	// Inputs names leaves that hold data although they have a value.
	Inputs []string
	// Params names leaves that are trained although they look like data or constants.
	Params []string
	// Constants names leaves whose value stays as it is.
	Constants []string
	// Batch is the batch axis of inputs by name, -1 for none.
	Batch map[string]int
}

// Read reads what outputs compute into a network, and what else the graph computes into
// its carried part. It works before and after gorgonia.Grad and leaves the graph alone.
//
// What the leaves are is told by opt first, then by marks ([Mark]), then by an earlier
// Grad, then by value and use; see assignRoles.
//
// It fails on nodes of another graph, on graphs that are not float32, on an output
// that depends on no input, and when two parameters share a name.
func Read(g *gorgonia.ExprGraph, outputs []*gorgonia.Node, opt Options) (net *Net, err error) {
	defer recovered("read", &err)
	r, err := newReader(g, outputs, opt)
	if err != nil {
		return nil, err
	}
	r.matchAll(outputs)
	if err := r.checkWhole(outputs); err != nil {
		return nil, err
	}
	if err := r.assignRoles(g); err != nil {
		return nil, err
	}
	e, err := r.emitAll(g, outputs)
	if err != nil {
		return nil, err
	}
	if err := checkReach(e.net); err != nil {
		return nil, err
	}
	if err := openBatch(e.net, opt.Batch); err != nil {
		return nil, err
	}
	if err := r.carry(g, e); err != nil {
		return nil, err
	}
	return e.net, nil
}

// recovered turns a panic of Gorgonia's into an error.
func recovered(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("graph: %s: %v", what, r)
	}
}

// reader holds the part of a graph that the outputs need and later, see carry, the rest.
type reader struct {
	opt   Options
	byPtr map[uintptr]*gorgonia.Node
	kids  map[*gorgonia.Node][]*gorgonia.Node
	users map[*gorgonia.Node][]*gorgonia.Node
	order []*gorgonia.Node       // reachable nodes, operands first
	index map[*gorgonia.Node]int // position in order
	found map[*gorgonia.Node]*match
	roles map[*gorgonia.Node]Role
	fixed map[*gorgonia.Node]bool   // parameters that nobody asked to train
	said  map[*gorgonia.Node]bool   // leaves whose role options or marks say
	asked map[*gorgonia.Node]bool   // outputs
	given map[*gorgonia.Node]*Value // exist already: no new layer reaches behind them

	graded bool // gorgonia.Grad was called in the graph
}

func newReader(g *gorgonia.ExprGraph, outputs []*gorgonia.Node, opt Options) (*reader, error) {
	if g == nil {
		return nil, errors.New("graph: the graph is nil")
	}
	if len(outputs) == 0 {
		return nil, errors.New("graph: no outputs: name at least one node to read from")
	}
	r := &reader{
		opt:   opt,
		byPtr: map[uintptr]*gorgonia.Node{},
		kids:  map[*gorgonia.Node][]*gorgonia.Node{},
		users: map[*gorgonia.Node][]*gorgonia.Node{},
		index: map[*gorgonia.Node]int{},
		found: map[*gorgonia.Node]*match{},
		roles: map[*gorgonia.Node]Role{},
		fixed: map[*gorgonia.Node]bool{},
		said:  map[*gorgonia.Node]bool{},
		asked: map[*gorgonia.Node]bool{},
	}
	for _, n := range g.AllNodes() {
		r.byPtr[reflect.ValueOf(n).Pointer()] = n
	}
	for i, n := range outputs {
		r.asked[n] = true
		switch {
		case n == nil:
			return nil, fmt.Errorf("graph: output %d is nil", i)
		case n.Graph() != g:
			return nil, fmt.Errorf("graph: output %d (%s) belongs to another graph", i, n.Name())
		}
		if err := r.visit(n); err != nil {
			return nil, err
		}
	}
	r.sortOrder()
	for _, n := range r.order {
		if err := checkType(n); err != nil {
			return nil, err
		}
		for _, k := range r.kids[n] {
			r.users[k] = append(r.users[k], n)
		}
	}
	return r, nil
}

// visit appends the nodes under n to the order, operands first and otherwise in
// creation order, with a stack of its own: graphs can be thousands of nodes deep.
func (r *reader) visit(n *gorgonia.Node) error {
	const open, done = 1, 2
	state := map[*gorgonia.Node]int{}
	stack := []*gorgonia.Node{n}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		if _, seen := r.index[n]; seen || state[n] == done {
			stack = stack[:len(stack)-1]
			continue
		}
		if state[n] == open {
			state[n] = done
			r.index[n] = len(r.order)
			r.order = append(r.order, n)
			stack = stack[:len(stack)-1]
			continue
		}
		state[n] = open
		kids, err := r.childrenOf(n)
		if err != nil {
			return err
		}
		r.kids[n] = kids
		for i := len(kids) - 1; i >= 0; i-- {
			if _, seen := r.index[kids[i]]; seen {
				continue
			}
			if state[kids[i]] == open {
				return fmt.Errorf("graph: node %s is part of a cycle", kids[i].Name())
			}
			stack = append(stack, kids[i])
		}
	}
	return nil
}

// sortOrder puts the order into creation order, which is topological in every graph
// that was built by Gorgonia's constructors; an edited graph keeps the visit's.
func (r *reader) sortOrder() {
	byID := append([]*gorgonia.Node(nil), r.order...)
	sort.SliceStable(byID, func(i, j int) bool { return byID[i].ID() < byID[j].ID() })
	at := make(map[*gorgonia.Node]int, len(byID))
	for i, n := range byID {
		for _, k := range r.kids[n] {
			if _, before := at[k]; !before {
				return
			}
		}
		at[n] = i
	}
	r.order, r.index = byID, at
}

// childrenOf reads the operands of n. ExprGraph.From would do, but it keeps a cache
// of positions in the graph that goes stale when Gorgonia removes a node, and
// filling that cache here would change the user's graph.
func (r *reader) childrenOf(n *gorgonia.Node) ([]*gorgonia.Node, error) {
	f := fieldsOf(n)
	v, ok := f.get("children", reflect.Slice)
	if !ok {
		return nil, fmt.Errorf("graph: node %s: %w", n.Name(), f.err)
	}
	kids := make([]*gorgonia.Node, v.Len())
	for i := range kids {
		if kids[i] = r.byPtr[v.Index(i).Pointer()]; kids[i] == nil {
			return nil, fmt.Errorf("graph: operand %d of node %s belongs to another graph", i, n.Name())
		}
	}
	return kids, nil
}

// checkType refuses what is neither float32 nor whole numbers, which can be indices.
func checkType(n *gorgonia.Node) error {
	if n.Type() == nil {
		return fmt.Errorf("graph: node %s has no value (a read or set statement): give the node that it reads", n.Name())
	}
	switch dt := n.Dtype(); {
	case dt == tensor.Float32 || IsWhole(dt):
		return nil
	case dt == tensor.Float64:
		return fmt.Errorf("graph: node %s is float64: build the graph with gorgonia.Float32", n.Name())
	default:
		return fmt.Errorf("graph: node %s is %v: goqat reads float32 graphs; compute it outside the network, or end the network before it", n.Name(), dt)
	}
}

// matchAll walks from the outputs down and finds the layer that ends at each node
// which is needed: an output, or an operand of a layer found before.
func (r *reader) matchAll(outputs []*gorgonia.Node) {
	need := make(map[*gorgonia.Node]bool, len(r.order))
	for _, n := range outputs {
		need[n] = true
	}
	for i := len(r.order) - 1; i >= 0; i-- {
		n := r.order[i]
		if !need[n] || isLeaf(n) || isConst(n) || r.randomOf(n) != nil {
			continue
		}
		m := r.match(n)
		r.found[n] = m
		for _, a := range m.args {
			need[a] = true
		}
	}
	for _, n := range r.order {
		if need[n] && (isLeaf(n) || isConst(n) || r.randomOf(n) != nil) {
			r.found[n] = &match{out: n}
		}
	}
}

// checkReach refuses outputs that no input reaches.
func checkReach(net *Net) error {
	data := map[*Value]bool{}
	for _, v := range net.Inputs {
		data[v] = true
	}
	for _, l := range net.Layers {
		for _, v := range l.In {
			data[l.Out] = data[l.Out] || data[v]
		}
	}
	for _, v := range net.Outputs {
		if !data[v] {
			return fmt.Errorf("graph: output %s depends on no input: it is a constant of the network; leave it out, or name its data leaf under inputs in the config", v.Name)
		}
	}
	return nil
}
