// Package vm runs Gorgonia graphs: a gorgonia.VM that does what TapeMachine does,
// in the same order, without its surprises. It computes only what was asked for,
// never overwrites an operand in place, compiles in linear time, leaves the
// training mode of ops alone, and turns a panic of an op into an error.
package vm

import (
	"fmt"

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
	n   *gorgonia.Node
	op  gorgonia.Op // nil for inputs and constants
	in  []int       // indices into vals
	out []gorgonia.Value
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
	sorted, err := gorgonia.Sort(g)
	if err != nil {
		return nil, fmt.Errorf("vm: %w", err)
	}
	keep := map[*gorgonia.Node]bool{}
	bound := map[*gorgonia.Node]bool{}
	for _, o := range outputs {
		if o == nil || o.Graph() != g {
			return nil, fmt.Errorf("vm: an output is not a node of the graph")
		}
		keep[o], bound[o] = true, true
	}
	for _, n := range sorted { // consumers first
		if d := n.Deriv(); n.IsVar() && d != nil {
			keep[d], bound[d] = true, true
		}
	}
	for _, n := range sorted {
		_, read := isRead(n)
		if !keep[n] && len(outputs) > 0 && !read {
			continue
		}
		keep[n] = true
		if len(outputs) == 0 && n.Op() != nil {
			bound[n] = true
		}
		for it := g.From(n.ID()); it.Next(); {
			keep[it.Node().(*gorgonia.Node)] = true
		}
	}
	return build(g, sorted, keep, bound), nil
}

// isRead recognises gorgonia.Read's statement nodes.
func isRead(n *gorgonia.Node) (gorgonia.Op, bool) {
	op := n.Op()
	return op, op != nil && op.Type() == nil
}

func build(g *gorgonia.ExprGraph, sorted gorgonia.Nodes, keep, bound map[*gorgonia.Node]bool) *Machine {
	m := &Machine{}
	index := map[*gorgonia.Node]int{}
	for i := len(sorted) - 1; i >= 0; i-- {
		n := sorted[i]
		if !keep[n] {
			continue
		}
		s := step{n: n, op: n.Op()}
		if s.op != nil && s.op.Arity() == 0 && n.Value() != nil {
			s.op = nil // a constant
		}
		if s.op != nil {
			for it := g.From(n.ID()); it.Next(); {
				s.in = append(s.in, index[it.Node().(*gorgonia.Node)])
			}
		}
		s.out = make([]gorgonia.Value, len(s.in))
		index[n] = len(m.steps)
		if _, read := isRead(n); bound[n] && !read {
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
	if v, err = s.op.Do(s.out...); err != nil {
		return nil, fmt.Errorf("vm: node %q (%v): %w", s.n.Name(), s.op, err)
	}
	return v, nil
}

// Reset is there for gorgonia.VM; it does nothing.
func (m *Machine) Reset() {}

// Close is there for gorgonia.VM; it does nothing.
func (m *Machine) Close() error { return nil }
