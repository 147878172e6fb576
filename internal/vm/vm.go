// Package vm runs Gorgonia graphs: a gorgonia.VM that computes what TapeMachine
// does, without its surprises. It computes only what was asked for,
// never overwrites an operand in place, compiles in linear time, leaves the
// training mode of ops alone, and turns a panic of an op into an error.
package vm

import (
	"fmt"
	"reflect"
	"slices"

	"gorgonia.org/gorgonia"
)

// Machine runs one graph. It implements gorgonia.VM and is for one goroutine at a
// time.
type Machine struct {
	steps []step
	vals  []gorgonia.Value
	bind  []binding
}

type step struct {
	n    *gorgonia.Node
	op   gorgonia.Op // nil for inputs and constants
	in   []int       // indices into vals
	out  []gorgonia.Value
	into *gorgonia.Value // where a Read statement writes to; nil for other nodes
}

type binding struct {
	n *gorgonia.Node
	i int
}

var _ gorgonia.VM = (*Machine)(nil)

// New compiles the part of the graph that the outputs, the gradients of inputs
// (where Grad was called) and Read statements need; without outputs, all of it.
// After a run these nodes carry their values: Node.Value, Node.Grad.
func New(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) (m *Machine, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("vm: compile: %v", r)
		}
	}()
	if g == nil {
		return nil, fmt.Errorf("vm: no graph")
	}
	sorted, kids := order(g)
	for _, n := range sorted {
		if op := n.Op(); op != nil && op.Type() == nil && readTarget(n) == nil {
			return nil, fmt.Errorf("vm: node %q (%v) is a statement that this machine does not run: only Read is", n.Name(), op)
		}
	}
	keep := map[*gorgonia.Node]bool{}
	bound := map[*gorgonia.Node]bool{}
	for i, o := range outputs {
		switch {
		case o == nil:
			return nil, fmt.Errorf("vm: output %d is nil", i)
		case o.Graph() != g:
			return nil, fmt.Errorf("vm: output %d, node %q, belongs to another graph", i, o.Name())
		}
		keep[o], bound[o] = true, true
	}
	for _, n := range sorted {
		if d := n.Deriv(); n.IsVar() && d != nil {
			keep[d], bound[d] = true, true
		}
	}
	for _, n := range slices.Backward(sorted) { // consumers first
		if !keep[n] && len(outputs) > 0 && readTarget(n) == nil {
			continue
		}
		keep[n] = true
		if len(outputs) == 0 && n.Op() != nil {
			bound[n] = true
		}
		for _, k := range kids[n] {
			keep[k] = true
		}
	}
	return build(sorted, kids, keep, bound), nil
}

// order returns all nodes, operands before those that use them and otherwise as
// they were created, and the operands of each. It has a stack of its own: graphs
// can be thousands of nodes deep.
func order(g *gorgonia.ExprGraph) (sorted gorgonia.Nodes, kids map[*gorgonia.Node]gorgonia.Nodes) {
	kids = map[*gorgonia.Node]gorgonia.Nodes{}
	placed := map[*gorgonia.Node]bool{}
	for _, root := range g.AllNodes() {
		for stack := (gorgonia.Nodes{root}); len(stack) > 0; {
			n := stack[len(stack)-1]
			_, open := kids[n]
			if !open {
				kids[n] = operands(n)
				for _, k := range slices.Backward(kids[n]) {
					if !placed[k] {
						stack = append(stack, k)
					}
				}
				continue
			}
			stack = stack[:len(stack)-1]
			if !placed[n] {
				placed[n] = true
				sorted = append(sorted, n)
			}
		}
	}
	return sorted, kids
}

// operands returns the operands of n in order. The exported way, ExprGraph.From
// and gorgonia.Sort, finds nodes by a number that is wrong once Gorgonia has
// dropped a node of the graph, as it does for the logarithm of a sigmoid.
func operands(n *gorgonia.Node) gorgonia.Nodes {
	f := reflect.ValueOf(n).Elem().FieldByName("children")
	kids := make(gorgonia.Nodes, f.Len())
	for i := range kids {
		kids[i] = (*gorgonia.Node)(f.Index(i).UnsafePointer())
	}
	return kids
}

// readTarget returns the variable that a gorgonia.Read statement writes to, or nil
// for any other node. Its op does nothing when run; the stock machines look into
// the unexported field, and so must we.
func readTarget(n *gorgonia.Node) *gorgonia.Value {
	op := n.Op()
	if op == nil || op.Type() != nil {
		return nil
	}
	v := reflect.ValueOf(op)
	if v.Kind() != reflect.Struct {
		return nil
	}
	f := v.FieldByName("into")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*gorgonia.Value]() {
		return nil
	}
	return (*gorgonia.Value)(f.UnsafePointer())
}

func build(sorted gorgonia.Nodes, kids map[*gorgonia.Node]gorgonia.Nodes, keep, bound map[*gorgonia.Node]bool) *Machine {
	m := &Machine{}
	index := map[*gorgonia.Node]int{}
	for _, n := range sorted {
		if !keep[n] {
			continue
		}
		s := step{n: n, op: n.Op()}
		s.into = readTarget(n)
		if _, constant := s.op.(interface{ Value() gorgonia.Value }); constant {
			s.op = nil
		}
		if s.op != nil {
			for _, k := range kids[n] {
				s.in = append(s.in, index[k])
			}
		}
		s.out = make([]gorgonia.Value, len(s.in))
		index[n] = len(m.steps)
		if bound[n] && s.into == nil {
			m.bind = append(m.bind, binding{n, len(m.steps)})
		}
		m.steps = append(m.steps, s)
	}
	m.vals = make([]gorgonia.Value, len(m.steps))
	return m
}

// RunAll runs everything once; no Reset is needed in between. An error names the
// node. What was bound before stays bound then.
func (m *Machine) RunAll() error {
	for i := range m.steps {
		v, err := m.steps[i].run(m.vals)
		if err != nil {
			return err
		}
		m.vals[i] = v
	}
	for _, b := range m.bind {
		if err := gorgonia.UnsafeLet(b.n, m.vals[b.i]); err != nil {
			return fmt.Errorf("vm: node %q: %w", b.n.Name(), err)
		}
	}
	return nil
}

func (s *step) run(vals []gorgonia.Value) (v gorgonia.Value, err error) {
	if s.op == nil {
		if v = s.n.Value(); v == nil {
			return nil, fmt.Errorf("vm: input %q has no value: Let it before RunAll", s.n.Name())
		}
		return v, nil
	}
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("vm: node %q (%v): panic: %v", s.n.Name(), s.op, r)
		}
	}()
	for k, j := range s.in {
		s.out[k] = vals[j]
	}
	if s.into != nil {
		return nil, read(s.into, s.out[0])
	}
	if v, err = s.op.Do(s.out...); err != nil {
		return nil, fmt.Errorf("vm: node %q (%v): %w", s.n.Name(), s.op, err)
	}
	return v, nil
}

// read does what a stock machine does for a Read statement: the first time it
// clones the value, later it copies into that clone.
func read(into *gorgonia.Value, v gorgonia.Value) (err error) {
	if *into == nil {
		*into, err = gorgonia.CloneValue(v)
	} else {
		_, err = gorgonia.Copy(*into, v)
	}
	if err != nil {
		return fmt.Errorf("vm: read: %w", err)
	}
	return nil
}

// Reset is there for gorgonia.VM; it does nothing.
func (m *Machine) Reset() {}

// Close is there for gorgonia.VM; it does nothing.
func (m *Machine) Close() error { return nil }
