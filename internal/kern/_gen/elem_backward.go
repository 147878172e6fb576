package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// emitBackward emits the backward passes without parameters, with one for each plane of n
// elements and with one for each element.
func emitBackward() {
	for _, form := range []string{"", "Plane", "Row"} {
		emitMasked("maskScale"+form+"AVX2", form, false)
	}
	for _, form := range []string{"Plane", "Row"} {
		emitMasked("backward"+form+"AVX2", form, true)
	}
}

// emitMasked: dm = dy where the bit is set, else 0; then dx = dm, dm*p or, if affine,
// dm*p + (x*q + r).
func emitMasked(name, form string, affine bool) {
	ptrs, params, planes := "dx, dy", "", ", planes"
	if affine {
		ptrs, params = "dx, dy, x", "q, r, "
	}
	if form != "" {
		params = ", " + params + "p *float32"
	}
	if form == "Row" {
		planes = ""
	}
	k := beginElem(name, "func("+ptrs+" *float32, n"+planes+" int, mask *uint8"+params+")", name+" is AffineBackward; mask may be nil.")
	mask, bv, m, j := ptr("mask"), bitVec(), bits32(^uint32(0)), GP64()
	dx, dy := ptr("dx"), ptr("dy")
	moving := []GPVirtual{dx, dy}
	var x GPVirtual
	if affine {
		x = ptr("x")
		moving = append(moving, x)
	}
	names := map[string][]string{"Plane": {"p"}, "Row": {"p"}}[form]
	if affine {
		names = append(names, "q", "r")
	}
	start, vec := k.parameters(form, names)
	XORQ(j, j)
	pass := func() {
		k.loopTail(func(tail *VecVirtual) {
			id := newLabel()
			TESTQ(mask, mask)
			JZ(LabelRef("nomask" + id))
			spread(Mem{Base: mask, Index: j, Scale: 1}, bv, m)
			Label("nomask" + id)
			d := get(k.at(dy, 0), tail)
			VANDPS(m, d, d)
			if form != "" {
				VMULPS(vec("p", tail), d, d)
			}
			if affine {
				v := get(k.at(x, 0), tail)
				VMULPS(vec("q", tail), v, v)
				VADDPS(vec("r", tail), v, v)
				VADDPS(v, d, d)
			}
			put(d, k.at(dx, 0), tail)
			INCQ(j)
		})
	}
	if form == "Row" {
		pass()
	} else {
		k.planes(moving, start, pass)
	}
	endElem()
}

// parameters loads the pointers of parameters and returns what to do before each plane
// and how to get the vector of one.
func (k *elemKernel) parameters(form string, names []string) (start func(), vec func(name string, tail *VecVirtual) VecVirtual) {
	f := map[string]factor{}
	for _, name := range names {
		f[name] = planeFactor(name)
	}
	if form == "Row" {
		return nil, func(name string, tail *VecVirtual) VecVirtual { return get(k.at(f[name].p, 0), tail) }
	}
	return func() {
		for _, name := range names {
			f[name].next()
		}
	}, func(name string, _ *VecVirtual) VecVirtual { return f[name].v }
}
