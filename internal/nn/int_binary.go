package nn

import (
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// pairFns are the elementwise operations that have a form on codes.
var pairFns = map[string]kern.PairFn{"add": kern.PairAdd, "sub": kern.PairSub, "mul": kern.PairMul}

// OnCodes reports whether [BinaryCodes] computes the operation.
func (b Binary) OnCodes() bool {
	_, ok := pairFns[b.Fn]
	return ok
}

// BinaryCodes computes a Binary of two tensors of codes, with NumPy's broadcasting, its
// activation and the rounding to out's grid: what Forward, the activation and the
// rounding give of the operands' real numbers. Shapes are those of the layer and known to
// fit. At most threads goroutines take part, GOMAXPROCS with 0.
func BinaryCodes(threads int, op Binary, out IntTensor, act kern.Clip, a, b IntTensor) {
	fn := pairFns[op.Fn]
	dims, sa, sb := merge(out.Shape, broadcastStrides(a.Shape, out.Shape), broadcastStrides(b.Shape, out.Shape))
	last := len(dims) - 1
	n := dims[last]
	run := func(at, oa, ob, n, da, db int) {
		side := func(x []uint8, o, d int) []uint8 {
			if d == 0 {
				return x[o:][:1]
			}
			return x[o:][:n]
		}
		kern.PairCodes(fn, out.Codes[at:][:n], side(a.Codes, oa, da), side(b.Codes, ob, db), a.Grid, b.Grid, out.Grid, act)
	}
	if last == 0 {
		par.ForN(threads, n, codesGrain, func(lo, hi int) {
			run(lo, lo*sa[0], lo*sb[0], hi-lo, sa[0], sb[0])
		})
		return
	}
	par.ForN(threads, product(dims[:last]), max(1, codesGrain/n), func(lo, hi int) {
		walkRows(dims, sa, sb, lo, hi, run)
	})
}

// codesGrain is the number of codes that are worth a goroutine.
const codesGrain = 32 << 10
