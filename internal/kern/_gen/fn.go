package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Set fn: the elementary functions of kern.Func and their gradients, of float32 computed in
// float64 or, those of fn_single.go, in float32. A kernel takes n elements, a positive multiple
// of 16, and the settings of the function, float64. Each exists for AVX2 and AVX-512.
func init() {
	sets["fn"] = func() {
		emitConsts()
		emitSingleConsts()
		for _, f := range fnKernels {
			for _, lanes := range []int{4, 8} {
				emitFn(f, lanes, false)
				emitFn(f, lanes, true)
			}
		}
		emitExpSum(4)
		emitExpSum(8)
		emitFnCalls()
	}
}

// Predicates of VCMPPS that hold for NaN: not below, not at most.
const (
	cmpNLT = 0x15
	cmpNLE = 0x16
)

// fnKernel is one function: y of x, and the gradient of x from x and dy.
type fnKernel struct {
	name     string // of kern's constant, without its Fn
	limits   []string
	params   int
	forward  func(f *fnVec, x vec) vec
	backward func(f *fnVec, x, dy vec) vec
}

var levelSuffix = map[int]string{4: "AVX2", 8: "AVX512"}

func emitFn(k fnKernel, lanes int, grad bool) {
	name, args, doc := "fn"+k.name, "dst, x", "writes the function of x"
	if grad {
		name, args, doc = name+"Grad", "dx, x, dy", "writes dy times the derivative at x"
	}
	name += levelSuffix[lanes]
	TEXT(name, NOSPLIT, fmt.Sprintf("func(%s *float32, n int, p *float64)", args))
	Doc(fmt.Sprintf("%s %s.", name, doc))
	Pragma("noescape")
	tables, single := fnSingles[k.name]
	f := &fnVec{lanes: lanes, width: 1, single: single, limits: map[string]VecVirtual{}, tables: map[string]VecVirtual{}}
	unit := 8 // elements that the loop for what is left takes
	if single {
		f.lanes, unit = 2*lanes, 16
	}
	ptrs := map[string]GPVirtual{}
	for _, a := range strings.Split(args, ", ") {
		ptrs[a] = ptr(a)
	}
	n := Load(Param("n"), GP64()).(GPVirtual)
	if k.params > 0 {
		p := ptr("p")
		f.p = p
	}
	if k.params > 0 && !single {
		for i := range k.params {
			f.params[i] = f.reg()
			VBROADCASTSD(Mem{Base: f.p, Disp: 8 * i}, f.params[i])
		}
	}
	for _, l := range k.limits {
		f.limits[l] = f.c(l)[0]
	}
	if f.wide() {
		table := tables.forward
		if grad {
			table = tables.backward
		}
		rows := tablesOf(table)
		if hasConst(table + "Line") {
			rows = append(rows, table+"Line")
		}
		for _, t := range rows {
			f.tables[t] = f.reg()
			VBROADCASTF32X8(fnAt(t, 0), f.tables[t])
		}
	}
	i, end := GP64(), GP64()
	XORQ(i, i)
	each := func(at int) {
		m := func(p string) Mem { return Mem{Base: ptrs[p], Index: i, Scale: 4, Disp: 4 * at} }
		x := f.load(m("x"))
		if grad {
			f.store(k.backward(f, x, f.load(m("dy"))), m("dx"))
		} else {
			f.store(k.forward(f, x), m("dst"))
		}
	}
	if f.width = k.width(lanes); f.lanes*f.width > unit {
		Label("wide")
		LEAQ(Mem{Base: i, Disp: f.lanes * f.width}, end)
		CMPQ(end, n)
		JA(LabelRef("rest"))
		each(0)
		MOVQ(end, i)
		JMP(LabelRef("wide"))
		Label("rest")
		CMPQ(i, n)
		JAE(LabelRef("done"))
	}
	f.width = min(f.width, unit/f.lanes)
	Label("loop")
	for at := 0; at < unit; at += f.lanes * f.width {
		each(at)
	}
	ADDQ(Imm(uint64(unit)), i)
	CMPQ(i, n)
	JB(LabelRef("loop"))
	Label("done")
	endElem()
}

// constant is the name of kern's constant: lower case for a form of a function.
func (k *fnKernel) constant() string {
	if k.name == "PowNear" {
		return "fn" + k.name
	}
	return "Fn" + k.name
}

// width is the number of vectors that are computed at once: as many as fit the registers,
// masks among them.
func (k *fnKernel) width(lanes int) int {
	wide := 4
	switch k.name {
	case "PowNear":
		wide = 3
	case "Log1p", "GELU", "GELUTanh", "SiLU", "HardSigmoid", "Pow":
		wide = 2
	}
	if lanes == 4 { // sixteen registers, though the allocator takes as many as with AVX-512
		wide /= 2
	}
	return wide
}

// emitExpSum: exp(x - shift) and its sums in sixteen lanes.
func emitExpSum(lanes int) {
	name := "expSum" + levelSuffix[lanes]
	TEXT(name, NOSPLIT, "func(dst, x *float32, n int, shift float64, sums *float64)")
	Doc(name + " writes exp(x - shift) unless dst is nil, and adds element i of it to sum i%16; n is a multiple of 16.")
	Pragma("noescape")
	f := &fnVec{lanes: lanes, width: 1, limits: map[string]VecVirtual{}}
	dst, x, n, to := ptr("dst"), ptr("x"), Load(Param("n"), GP64()).(GPVirtual), ptr("sums")
	shift := f.reg()
	addr, err := Param("shift").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSD(addr.Addr, shift)
	f.limits["fnExpMin"], f.limits["fnExpMax"] = f.c("fnExpMin")[0], f.c("fnExpMax")[0]
	var sums []VecVirtual
	for u := range 16 / lanes {
		sums = append(sums, f.reg())
		VMOVUPD(Mem{Base: to, Disp: 8 * lanes * u}, sums[u])
	}
	i := GP64()
	XORQ(i, i)
	f.width = 2
	each := func(label string, write bool) {
		Label(label)
		for u := 0; u < len(sums); u += f.width {
			at := 4 * lanes * u
			v := f.load(Mem{Base: x, Index: i, Scale: 4, Disp: at})
			e := f.exp(f.clamp(f.sub(v, f.same(shift)), "fnExp"))
			for j := range e {
				VADDPD(e[j], sums[u+j], sums[u+j])
			}
			if write {
				f.store(e, Mem{Base: dst, Index: i, Scale: 4, Disp: at})
			}
		}
		ADDQ(Imm(16), i)
		CMPQ(i, n)
		JB(LabelRef(label))
	}
	TESTQ(dst, dst)
	JZ(LabelRef("sum"))
	each("write", true)
	JMP(LabelRef("end"))
	each("sum", false)
	Label("end")
	for u, s := range sums {
		VMOVUPD(s, Mem{Base: to, Disp: 8 * lanes * u})
	}
	endElem()
}

// emitFnCalls writes the Go functions that pick a kernel.
func emitFnCalls() {
	var b strings.Builder
	for _, grad := range []bool{false, true} {
		name, args, doc := "fnEval", "dst, x", "fnEval writes the function of n elements, a multiple of 16, and says whether it has a kernel."
		if grad {
			name, args, doc = "fnGrad", "dx, x, dy", "fnGrad is fnEval for the gradient."
		}
		fmt.Fprintf(&b, "// %s\nfunc %s(fn Fn, %s *float32, n int, p *float64, wide bool) bool {\n\tswitch {\n", doc, name, args)
		for _, k := range fnKernels {
			suffix := ""
			if grad {
				suffix = "Grad"
			}
			for _, lanes := range []int{8, 4} {
				cond := "fn == " + k.constant()
				if lanes == 8 {
					cond += " && wide"
				}
				fmt.Fprintf(&b, "\tcase %s:\n\t\tfn%s%s%s(%s, n, p)\n", cond, k.name, suffix, levelSuffix[lanes], args)
			}
		}
		b.WriteString("\tdefault:\n\t\treturn false\n\t}\n\treturn true\n}\n\n")
	}
	extra["fn_calls_amd64.go"] = b.String()
}
