package vm

import (
	"slices"

	"github.com/goqat/goqat/internal/mem"
	"gorgonia.org/gorgonia"
)

// unit is a step while the machine is being compiled.
type unit struct {
	n     *gorgonia.Node
	op    gorgonia.Op // nil for inputs and constants
	in    []*unit
	into  *gorgonia.Value // of a Read statement
	bound bool            // its value belongs to somebody outside
	gone  bool            // another step does its work
	users []*unit

	at     int // index among the steps
	facts  mem.Facts
	placed mem.Op    // DoInto is used
	part   int       // result of in[0] that it hands out; -1 for none
	view   int       // operand whose memory it shows; -1 for none
	outs   []*region // memory of the results
	own    *region   // memory of its value; nil if it is not planned
}

// compiler turns units into steps.
type compiler struct {
	units []*unit
	back  map[gorgonia.Op]*unit // the backward step of an op; nil where there are several
}

// link fills in who uses each unit.
func (c *compiler) link() {
	c.units = slices.DeleteFunc(c.units, func(u *unit) bool { return u.gone })
	for i, u := range c.units {
		u.at, u.users = i, u.users[:0]
	}
	for _, u := range c.units {
		for _, x := range u.in {
			x.users = append(x.users, u)
		}
	}
}

// fuse lets chains of ops run as one: forward, and their gradients on the way back.
func (c *compiler) fuse() {
	c.back = map[gorgonia.Op]*unit{}
	for _, u := range c.units {
		if b, ok := u.op.(mem.Backward); ok {
			of := b.BackwardOf()
			if _, twice := c.back[of]; twice {
				u = nil
			}
			c.back[of] = u
		}
	}
	for _, u := range c.units {
		first, ok := u.op.(mem.Fuser)
		if _, done := u.op.(mem.Fused); ok && !done && !u.gone {
			c.fuseFrom(u, first)
		}
	}
	c.link()
}

// fuseFrom fuses the longest chain that starts at u.
func (c *compiler) fuseFrom(u *unit, op mem.Fuser) {
	b, hasBack := c.back[op]
	if hasBack && b == nil {
		return
	}
	chain := []*unit{u}
	var fused mem.Fused
	for {
		next := c.follower(chain[len(chain)-1])
		if next == nil {
			break
		}
		longer, ok := op.Fuse(next.op)
		if !ok {
			break
		}
		fused, op, chain = longer, longer, append(chain, next)
	}
	if fused == nil {
		var ok bool
		if fused, ok = op.Fuse(nil); !ok {
			return
		}
	}
	last := chain[len(chain)-1]
	lastBack := c.back[last.op]
	for _, x := range chain[:len(chain)-1] {
		x.gone = true
	}
	for _, x := range chain[1:] {
		if back := c.back[x.op]; back != nil {
			back.gone = true
		}
	}
	last.op, last.in = fused, u.in
	if b != nil {
		grad := lastBack.in[len(lastBack.in)-1]
		b.op = fused.Backward()
		b.in = append(slices.Clone(u.in), grad)
	}
}

// follower returns the only step that reads tail, the gradients of both aside, which
// must lead from one to the other and nowhere else; nil if there is none.
func (c *compiler) follower(tail *unit) *unit {
	if tail.bound {
		return nil
	}
	tailBack := c.back[tail.op]
	var next *unit
	for _, x := range tail.users {
		if _, back := x.op.(mem.Backward); back {
			continue // looked at below
		}
		if next != nil && next != x {
			return nil
		}
		next = x
	}
	if next == nil || len(next.in) != 1 {
		return nil
	}
	if _, ours := next.op.(mem.Fuser); !ours {
		return nil
	}
	nextBack, known := c.back[next.op]
	for _, x := range tail.users {
		if x != next && x != tailBack && x != nextBack {
			return nil
		}
	}
	switch {
	case known && nextBack == nil, (nextBack == nil) != (tailBack == nil):
		return nil
	case nextBack == nil:
		return next
	case nextBack.bound || tailBack.in[len(tailBack.in)-1] != nextBack:
		return nil
	case slices.ContainsFunc(nextBack.users, func(x *unit) bool { return x != tailBack }):
		return nil
	}
	return next
}
