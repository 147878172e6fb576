// Package vm runs Gorgonia graphs: a gorgonia.VM that computes what TapeMachine
// does, bit for bit, without its surprises. It computes only what was asked for,
// never overwrites an operand that anybody still needs, compiles in linear time,
// leaves the training mode of ops alone, and turns a panic of an op into an error.
//
// Ops of package place get their memory from the machine, which lets results share
// it, and chains of them run as one. Every result that was asked for is there after a
// run, as if nothing had been fused or shared.
package vm

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/goqat/goqat/internal/mem"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Machine runs one graph. It implements gorgonia.VM and is for one goroutine at a
// time.
type Machine struct {
	steps  []step
	vals   []gorgonia.Value
	bind   []binding
	blocks []int // sizes of the memory blocks
	mem    [][]float32
	poison bool
	watch  func(what string) (done func())
}

type step struct {
	n    *gorgonia.Node
	op   gorgonia.Op // nil for inputs and constants
	in   []int       // indices into vals
	args []gorgonia.Value
	into *gorgonia.Value // where a Read statement writes to; nil for other nodes

	placed  mem.Op // DoInto is used; nil otherwise
	facts   mem.Facts
	part    int // result of in[0] that it hands out; -1 for none
	view    int // operand whose memory it shows; -1 for none
	shown   *tensor.Dense
	regions []*region
	outs    []*tensor.Dense // the results, nil where nobody needs one
	data    [][]float32     // their elements
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
		if op := n.Op(); op != nil && op.Type() == nil && ReadTarget(n) == nil {
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
		if !keep[n] && len(outputs) > 0 && ReadTarget(n) == nil {
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

// ReadTarget returns the variable that a gorgonia.Read statement writes to, or nil
// for any other node. Its op does nothing when run; the stock machines look into
// the unexported field, and so must we.
func ReadTarget(n *gorgonia.Node) *gorgonia.Value {
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
	c := compiler{}
	made := map[*gorgonia.Node]*unit{}
	for _, n := range sorted {
		if !keep[n] {
			continue
		}
		u := &unit{n: n, op: n.Op(), into: ReadTarget(n)}
		u.bound = bound[n] && u.into == nil
		if _, constant := u.op.(interface{ Value() gorgonia.Value }); constant {
			u.op = nil
		}
		if u.op != nil {
			for _, k := range kids[n] {
				u.in = append(u.in, made[k])
			}
			u.op = ownSum(u.op, kids[n], n)
		}
		made[n] = u
		c.units = append(c.units, u)
	}
	c.link()
	c.fuse()
	m := &Machine{blocks: c.plan()}
	for _, u := range c.units {
		m.steps = append(m.steps, u.step())
		if u.bound {
			m.bind = append(m.bind, binding{u.n, u.at})
		}
	}
	m.vals = make([]gorgonia.Value, len(m.steps))
	return m
}

func (u *unit) step() step {
	s := step{n: u.n, op: u.op, into: u.into, placed: u.placed, facts: u.facts, part: u.part, view: u.view, regions: u.outs,
		args: make([]gorgonia.Value, len(u.in)), outs: make([]*tensor.Dense, len(u.outs)), data: make([][]float32, len(u.outs))}
	for _, x := range u.in {
		s.in = append(s.in, x.at)
	}
	return s
}

// RunAll runs everything once; no Reset is needed in between. An error names the
// node. What was bound before stays bound then.
func (m *Machine) RunAll() error {
	if m.mem == nil {
		m.memory()
	}
	if m.poison {
		m.spoil()
	}
	for i := range m.steps {
		v, err := m.watched(&m.steps[i])
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

// Watch has start called before each op, with the kind of its computation, and what that
// returns right after it: to time ops by kind or to label a profile. nil ends it.
func (m *Machine) Watch(start func(what string) (done func())) { m.watch = start }

func (m *Machine) watched(s *step) (gorgonia.Value, error) {
	if m.watch == nil || s.op == nil || s.part >= 0 || s.view >= 0 {
		return m.run(s)
	}
	what := ""
	if op, ok := s.op.(interface{ What() string }); ok {
		what = op.What()
	} else {
		what = "stock " + s.op.String()
	}
	done := m.watch(what)
	v, err := m.run(s)
	done()
	return v, err
}

func (m *Machine) run(s *step) (v gorgonia.Value, err error) {
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
		s.args[k] = m.vals[j]
	}
	if s.into != nil {
		return nil, read(s.into, s.args[0])
	}
	if s.part >= 0 {
		return m.further(s), nil
	}
	if s.view >= 0 && s.show(s.args[s.view]) {
		return s.shown, nil
	}
	if s.placed != nil {
		s.mend()
		if err = s.placed.DoInto(s.outs, s.args); err == nil {
			return s.result(s.facts.Own), nil
		}
	} else if v, err = s.op.Do(s.args...); err == nil {
		return v, nil
	}
	return nil, fmt.Errorf("vm: node %q (%v): %w", s.n.Name(), s.op, err)
}

// result returns result i of a placed step; nil if nobody needs it.
func (s *step) result(i int) gorgonia.Value {
	if s.outs[i] == nil {
		return nil
	}
	return s.outs[i]
}

// further returns a result of the step before that is not its node's value.
func (m *Machine) further(s *step) gorgonia.Value {
	src := &m.steps[s.in[0]]
	switch {
	case src.placed != nil:
		return src.result(s.part)
	case src.view >= 0 && m.vals[s.in[0]] == gorgonia.Value(src.shown):
		return src.shown
	}
	return src.op.(mem.Op).Result(s.part)
}

// mend renews the headers of results that a consumer has transposed or reshaped.
func (s *step) mend() {
	for i, d := range s.outs {
		if d != nil && (!slices.Equal(d.Shape(), s.facts.Out[i]) || d.RequiresIterator()) {
			s.outs[i] = header(s.facts.Out[i], s.data[i])
		}
	}
}

// show makes shown a tensor of the step's shape on the memory of v. It declines
// where the elements do not lie there in order.
func (s *step) show(v gorgonia.Value) bool {
	d, ok := v.(*tensor.Dense)
	shape := s.facts.Out[s.facts.Own]
	if !ok || d.Dtype() != tensor.Float32 || d.RequiresIterator() || d.DataOrder().IsColMajor() || d.Shape().Dims() == 0 || d.Shape().TotalSize() != shape.TotalSize() {
		return false
	}
	data := d.Float32s()
	if s.shown == nil || &s.shown.Float32s()[0] != &data[0] || !slices.Equal(s.shown.Shape(), shape) || s.shown.RequiresIterator() {
		s.shown = header(shape, data)
	}
	return true
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

// Memory returns the number of elements that the machine's own memory holds.
func (m *Machine) Memory() (elements int) {
	for _, n := range m.blocks {
		elements += n
	}
	return elements
}

// Poison makes every run start with NaN in the machine's memory, for tests: an op that
// reads what nobody wrote in this run shows.
func (m *Machine) Poison() { m.poison = true }

// Reset is there for gorgonia.VM; it does nothing.
func (m *Machine) Reset() {}

// Close is there for gorgonia.VM; it does nothing.
func (m *Machine) Close() error { return nil }
