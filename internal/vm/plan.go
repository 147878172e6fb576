package vm

import (
	"math"
	"slices"

	"github.com/goqat/goqat/internal/mem"
	"gorgonia.org/tensor"
)

// region is the memory of one result, or of several that are one.
type region struct {
	size   int // elements
	last   int // the last step that reads it
	pinned bool
	block  int
	moved  bool // a later result has taken it over
}

// plan gives results memory. Results that are not needed at the same time share a
// block: steps run in order, so a block is free after the last step that reads what
// lies in it. What somebody outside sees stays to the end, and so does what an op
// that is not ours reads, since its result may be the same memory.
func (c *compiler) plan() (blocks []int) {
	for _, u := range c.units {
		c.place(u)
	}
	c.lifetimes()
	dying := make([][]*region, len(c.units))
	for _, u := range c.units {
		for i, r := range u.outs {
			if r != nil && !slices.Contains(u.outs[:i], r) && !r.pinned {
				dying[r.last] = append(dying[r.last], r)
			}
		}
	}
	f := freeList{}
	for _, u := range c.units {
		for i, r := range u.outs {
			if r == nil || slices.Contains(u.outs[:i], r) {
				continue
			}
			if old := u.takeOver(r); old != nil {
				r.block, old.moved = old.block, true
				continue
			}
			r.block = f.take(r.size)
		}
		for _, r := range dying[u.at] {
			if !r.moved {
				f.free = append(f.free, r.block)
			}
		}
	}
	return f.sizes
}

// place decides how a unit gets its value.
func (c *compiler) place(u *unit) {
	u.part, u.view = -1, -1
	if p, ok := u.op.(mem.Part); ok {
		u.part = p.Part()
		src := u.in[0]
		switch {
		case src.view >= 0:
			u.own = src.own
		case src.placed != nil:
			u.own = src.outs[u.part]
		}
		return
	}
	op, ok := u.op.(mem.Op)
	if !ok {
		return
	}
	u.facts = op.Facts()
	seen := u.bound || slices.ContainsFunc(u.users, func(x *unit) bool { _, part := x.op.(mem.Part); return part && x.bound })
	if u.facts.View > 0 && !seen {
		u.view = u.facts.View - 1
		u.own = u.in[u.view].own
		return
	}
	if u.facts.Out == nil {
		return
	}
	u.placed = op
	u.outs = make([]*region, len(u.facts.Out))
	var shared *region
	for i, shape := range u.facts.Out {
		switch {
		case shape == nil || u.facts.Optional && !u.needs(i):
		case u.facts.Same && shared != nil && !seen:
			u.outs[i] = shared
		default:
			u.outs[i] = &region{size: shape.TotalSize(), last: u.at}
			shared = u.outs[i]
		}
	}
	u.own = u.outs[u.facts.Own]
}

// needs reports whether anybody reads result i.
func (u *unit) needs(i int) bool {
	if i == u.facts.Own && u.bound {
		return true
	}
	return slices.ContainsFunc(u.users, func(x *unit) bool {
		if p, ok := x.op.(mem.Part); ok {
			return p.Part() == i
		}
		return i == u.facts.Own
	})
}

// reads reports whether the step looks at the elements of operand k.
func (u *unit) reads(k int) bool {
	if k < len(u.facts.Unread) && u.facts.Unread[k] {
		return false
	}
	if u.placed == nil || k >= len(u.facts.ReadFor) || u.facts.ReadFor[k] == nil {
		return true
	}
	return slices.ContainsFunc(u.facts.ReadFor[k], func(i int) bool { return u.outs[i] != nil })
}

// lifetimes finds the last reader of each region.
func (c *compiler) lifetimes() {
	for _, u := range c.units {
		if u.bound && u.own != nil {
			u.own.pinned = true
		}
		if u.part >= 0 {
			continue
		}
		_, ours := u.op.(mem.Op)
		for k, x := range u.in {
			if x.own == nil || !u.reads(k) {
				continue
			}
			x.own.last = u.at
			if !ours && u.into == nil {
				x.own.pinned = true
			}
		}
	}
}

// takeOver returns the region of an operand that dies at this step, and in whose
// memory result r may be made; nil if there is none.
func (u *unit) takeOver(r *region) *region {
	if r != u.own {
		return nil
	}
	for _, k := range u.facts.Over {
		old := u.in[k].own
		if old == nil || old.pinned || old.moved || old.last != u.at || old.size != r.size {
			continue
		}
		once := true
		for j, x := range u.in {
			once = once && (j == k || x.own != old)
		}
		if once {
			return old
		}
	}
	return nil
}

// freeList hands out blocks.
type freeList struct {
	sizes []int // of all blocks
	free  []int // indices of those not in use
}

// take returns the smallest free block that is large enough but not wasteful, else
// the largest of the smaller ones, made larger, else a new one. Of equal ones it takes
// the one that was freed last: its memory is the most likely to be in a cache.
func (f *freeList) take(size int) int {
	best, most := -1, 0
	for i := len(f.free) - 1; i >= 0; i-- {
		have := f.sizes[f.free[i]]
		if have > 2*size+smallBlock {
			continue
		}
		if best < 0 || have >= size && (most < size || have < most) || have < size && most < size && have > most {
			best, most = i, have
		}
	}
	if best < 0 {
		f.sizes = append(f.sizes, size)
		return len(f.sizes) - 1
	}
	b := f.free[best]
	f.free = slices.Delete(f.free, best, best+1)
	f.sizes[b] = max(f.sizes[b], size)
	return b
}

// smallBlock is a number of elements that may go to waste.
const smallBlock = 1 << 12

// memory makes the blocks and the tensors on them.
func (m *Machine) memory() {
	m.mem = make([][]float32, len(m.blocks))
	for i, n := range m.blocks {
		m.mem[i] = make([]float32, n)
	}
	for i := range m.steps {
		s := &m.steps[i]
		for j, r := range s.regions {
			if r != nil {
				s.data[j] = middle(m.mem[r.block], r.size)
				s.outs[j] = header(s.facts.Out[j], s.data[j])
			}
		}
		s.regions = nil
	}
}

// middle is the middle of a block. Loops give each goroutine a part of a tensor: with two
// of them the first half of every tensor in a block is then in the first half of the block,
// and no processor writes where the other's cache has what was there before.
func middle(block []float32, n int) []float32 {
	from := (len(block) - n) / 2 &^ 15 // at a cache line
	return block[from : from+n : from+n]
}

// spoil fills the memory with NaN.
func (m *Machine) spoil() {
	for _, b := range m.mem {
		for i := range b {
			b[i] = float32(math.NaN())
		}
	}
}

func header(shape tensor.Shape, data []float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape.Clone()...), tensor.WithBacking(data))
}
