package nn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/kern"
)

// Binary is an elementwise operation with NumPy's broadcasting.
type Binary struct {
	// Fn is add, sub, mul, div, pow, min or max; or a comparison, whose results are 1 and 0:
	// less, less_equal, greater, greater_equal, equal or not_equal.
	Fn string `json:"fn"`
}

func (b Binary) Kind() string { return b.Fn }

type binaryFn int

const (
	fnAdd binaryFn = iota
	fnSub
	fnMul
	fnDiv
	fnPow
	fnMin
	fnMax
	fnCompare // and behind it, in the order of kern.Relation
)

var binaryFns = map[string]binaryFn{"add": fnAdd, "sub": fnSub, "mul": fnMul, "div": fnDiv, "pow": fnPow, "min": fnMin, "max": fnMax,
	"less": fnCompare + binaryFn(kern.Less), "less_equal": fnCompare + binaryFn(kern.LessEqual), "equal": fnCompare + binaryFn(kern.Equal),
	"not_equal": fnCompare + binaryFn(kern.NotEqual), "greater": fnCompare + binaryFn(kern.Greater), "greater_equal": fnCompare + binaryFn(kern.GreaterEqual)}

func binaryForward[F Float](o Binary, out, a, b Tensor[F]) {
	fn := binaryFns[o.Fn]
	sa, sb := broadcastStrides(a.Shape, out.Shape), broadcastStrides(b.Shape, out.Shape)
	walkParallel(out.Shape, sa, sb, func(at, oa, ob, n, da, db int) {
		binaryRun(fn, out.Data[at:at+n], a.Data[oa:], b.Data[ob:], da, db)
	})
}

// binaryRun computes one stretch; da and db are 0 or 1.
func binaryRun[F Float](fn binaryFn, y, a, b []F, da, db int) {
	n := len(y)
	switch fn {
	case fnAdd, fnSub, fnMul:
		switch {
		case da == 1 && db == 1:
			binaryVectors(fn, y, a[:n], b[:n])
		case da == 1:
			binaryOne(fn, y, a[:n], b[0])
		case fn == fnSub && db == 1:
			kern.OneSub(y, a[0], b[:n])
		case db == 1:
			binaryOne(fn, y, b[:n], a[0])
		default: // one element, repeated
			binaryVectors(fn, y[:1], a[:1], b[:1])
			fill(y, y[0])
		}
	case fnDiv:
		switch {
		case da == 1 && db == 1:
			kern.Div(y, a[:n], b[:n])
		case da == 1:
			kern.DivOne(y, a[:n], b[0])
		case db == 1:
			kern.OneDiv(y, a[0], b[:n])
		default:
			fill(y, a[0]/b[0])
		}
	case fnMin, fnMax:
		limitRun(fn, y, a, b, da, db)
	case fnPow:
		for i := range y {
			y[i] = F(kern.PowOf(float64(a[i*da]), float64(b[i*db])))
		}
	default:
		compareRun(kern.Relation(fn-fnCompare), y, a, b, da, db)
	}
}

// limitRun is min or max of one stretch.
func limitRun[F Float](fn binaryFn, y, a, b []F, da, db int) {
	if da == 0 {
		a, b, da, db = b, a, db, da
	}
	one, two := kern.MinOne[F], kern.Min[F]
	if fn == fnMax {
		one, two = kern.MaxOne[F], kern.Max[F]
	}
	switch {
	case db == 1:
		two(y, a[:len(y)], b[:len(y)])
	case da == 1:
		one(y, a[:len(y)], b[0])
	default:
		one(y[:1], a[:1], b[0])
		fill(y, y[0])
	}
}

// compareRun compares one stretch.
func compareRun[F Float](r kern.Relation, y, a, b []F, da, db int) {
	if da == 0 {
		r, a, b, da, db = r.Swapped(), b, a, db, da
	}
	switch {
	case db == 1:
		kern.Compare(r, y, a[:len(y)], b[:len(y)])
	case da == 1:
		kern.CompareOne(r, y, a[:len(y)], b[0])
	default:
		kern.CompareOne(r, y[:1], a[:1], b[0])
		fill(y, y[0])
	}
}

func binaryVectors[F Float](fn binaryFn, y, a, b []F) {
	switch fn {
	case fnAdd:
		kern.Add(y, a, b)
	case fnSub:
		kern.Sub(y, a, b)
	default:
		kern.Mul(y, a, b)
	}
}

func binaryOne[F Float](fn binaryFn, y, a []F, b F) {
	switch fn {
	case fnAdd:
		kern.AddOne(y, a, b)
	case fnSub:
		kern.SubOne(y, a, b)
	default:
		kern.MulOne(y, a, b)
	}
}

// binaryBackward writes the gradients of both operands. An operand that was
// repeated gets the float64 sum over its copies.
func binaryBackward[F Float](o Binary, grads []Tensor[F], a, b, out, dout Tensor[F]) {
	fn := binaryFns[o.Fn]
	sa, sb := broadcastStrides(a.Shape, out.Shape), broadcastStrides(b.Shape, out.Shape)
	for side, g := range grads {
		switch {
		case g.Data == nil:
		case fn >= fnCompare: // flat everywhere
			clear(g.Data)
		case len(g.Data) == len(out.Data):
			walkParallel(out.Shape, sa, sb, func(at, oa, ob, n, da, db int) {
				binaryGrad(fn, side == 0, g.Data[at:at+n], a.Data[oa:], b.Data[ob:], dout.Data[at:], da, db)
			})
		default:
			kept := kern.Scratch[float64](len(g.Data))
			repeatedSums(fn, side, *kept, a, b, out, dout)
			kern.RoundSums(g.Data, *kept, 1)
			kern.Return(kept)
		}
	}
}

// channelwise reports whether an operand with these strides has one element for each
// channel of out seen as [n, c, inner]; a single element is that of the only channel.
func channelwise(out, strides []int) (n, c, inner int, ok bool) {
	dims, s, _ := merge(out, strides, strides)
	if len(dims) == 1 && s[0] == 0 {
		return 1, 1, dims[0], true
	}
	n, inner = 1, 1
	if s[0] == 0 {
		n, dims, s = dims[0], dims[1:], s[1:]
	}
	if l := len(dims) - 1; s[l] == 0 && l > 0 {
		inner, dims, s = dims[l], dims[:l], s[:l]
	}
	return n, dims[0], inner, len(dims) == 1 && s[0] == 1
}

// repeatedSums adds up the gradients of a repeated operand.
func repeatedSums[F Float](fn binaryFn, side int, sums []float64, a, b, out, dout Tensor[F]) {
	sa, sb := broadcastStrides(a.Shape, out.Shape), broadcastStrides(b.Shape, out.Shape)
	own, other := sa, b
	if side == 1 {
		own, other = sb, a
	}
	n, c, inner, ok := channelwise(out.Shape, own)
	whole := len(other.Data) == len(out.Data)
	switch {
	case fn == fnAdd, fn == fnSub:
		sumKept(sums, dout.Data, out.Shape, own)
		for i := range sums {
			if fn == fnSub && side == 1 {
				sums[i] = -sums[i]
			}
		}
		return
	case ok && whole && (fn == fnMul || fn == fnDiv && side == 1):
		productSums(sums, dout.Data, other.Data, n, c, inner)
		for i := range sums {
			if fn == fnDiv { // Σ dy·(-a/b²)
				v := float64(b.Data[i])
				sums[i] = -sums[i] / v / v
			}
		}
		return
	}
	clear(sums)
	walkApart(out.Shape, sa, sb, own, func(at, oa, ob, n, da, db int) {
		row := kern.Scratch[F](n)
		binaryGrad(fn, side == 0, *row, a.Data[oa:], b.Data[ob:], dout.Data[at:], da, db)
		if side == 0 {
			addRow(sums[oa:], *row, da)
		} else {
			addRow(sums[ob:], *row, db)
		}
		kern.Return(row)
	})
}

// productSums writes Σ dy·x of each channel.
func productSums[F Float](sums []float64, dy, x []F, n, c, inner int) {
	both := kern.Scratch[kern.Sums](c)
	defer kern.Return(both)
	sumsOf(*both, dy, x, n, c, inner)
	for i, s := range *both {
		sums[i] = s.DX
	}
}

// binaryGrad computes one stretch of the gradient of one operand into dst, by pieces that
// stay in the cache where it takes several steps.
func binaryGrad[F Float](fn binaryFn, left bool, dst, a, b, d []F, da, db int) {
	d = d[:len(dst)]
	switch {
	case fn == fnAdd, fn == fnSub && left:
		copy(dst, d)
	case fn == fnSub:
		kern.MulOne(dst, d, -1)
	case fn == fnMul && left:
		mulRow(dst, d, b, db)
	case fn == fnMul:
		mulRow(dst, d, a, da)
	case fn == fnDiv:
		for lo := 0; lo < len(dst); lo += quotientPiece {
			hi := min(lo+quotientPiece, len(dst))
			quotientGrad(left, dst[lo:hi], a[lo*da:], b[lo*db:], d[lo:hi], da, db)
		}
	case fn == fnMin || fn == fnMax:
		limitGrad(fn, left, dst, a, b, d, da, db)
	default:
		partial := powerPartial(left)
		for i, v := range d {
			dst[i] = F(partial(float64(a[i*da]), float64(b[i*db]), float64(v)))
		}
	}
}

// limitGrad: a gets the gradient where it is the result, also of two equal numbers, and b
// the others'.
func limitGrad[F Float](fn binaryFn, left bool, dst, a, b, d []F, da, db int) {
	r, none := kern.LessEqual, []F{0}
	if fn == fnMax {
		r = kern.GreaterEqual
	}
	mask := kern.Scratch[F](min(len(dst), quotientPiece))
	defer kern.Return(mask)
	for lo := 0; lo < len(dst); lo += quotientPiece {
		hi := min(lo+quotientPiece, len(dst))
		m := (*mask)[:hi-lo]
		compareRun(r, m, a[lo*da:], b[lo*db:], da, db)
		if left {
			kern.Select(dst[lo:hi], m, d[lo:hi], 1, none, 0)
		} else {
			kern.Select(dst[lo:hi], m, none, 0, d[lo:hi], 1)
		}
	}
}

const quotientPiece = 4 << 10

// quotientGrad: d/b or, for the divisor, ((d/b)·a)/-b, every step rounded.
func quotientGrad[F Float](left bool, dst, a, b, d []F, da, db int) {
	divRow(dst, d, b, db)
	if !left {
		mulRow(dst, dst, a, da)
		divRow(dst, dst, b, db)
		kern.MulOne(dst, dst, -1)
	}
}

// divRow divides by numbers that move by step, 0 or 1.
func divRow[F Float](dst, d, by []F, step int) {
	if step == 0 {
		kern.DivOne(dst, d, by[0])
		return
	}
	kern.Div(dst, d, by[:len(d)])
}

// mulRow multiplies by factors that move by step, 0 or 1.
func mulRow[F Float](dst, d, by []F, step int) {
	if step == 0 {
		kern.MulOne(dst, d, by[0])
		return
	}
	kern.Mul(dst, d, by[:len(d)])
}

// powerPartial returns the gradient of one operand of a power from a, b and dout = d.
func powerPartial(left bool) func(a, b, d float64) float64 {
	if left {
		return func(a, b, d float64) float64 {
			if b == 0 {
				return 0 // a^0 is 1 for every a, also where a^(b-1) is infinite
			}
			return float64(float64(d*b) * kern.PowOf(a, b-1))
		}
	}
	return func(a, b, d float64) float64 {
		if a == 0 && b >= 0 {
			return 0 // the limit of a^b·log(a)
		}
		return float64(float64(d*kern.PowOf(a, b)) * kern.LogOf(a))
	}
}

// broadcast is NumPy's rule for two operands.
func broadcast(o Binary, a, b []int) ([]int, error) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		da, db := dimFromEnd(a, len(out)-i), dimFromEnd(b, len(out)-i)
		if da != db && da != 1 && db != 1 {
			return nil, shapeErr(o, "shapes %v and %v do not broadcast", a, b)
		}
		out[i] = max(da, db)
	}
	return out, nil
}

// dimFromEnd is the i-th dimension counted from the last (1), or 1 past the first.
func dimFromEnd(s []int, i int) int {
	if i > len(s) {
		return 1
	}
	return s[len(s)-i]
}

func init() {
	var kinds []string
	for fn := range binaryFns {
		kinds = append(kinds, fn)
	}
	register(family[Binary]{
		kinds: kinds, inputs: [2]int{2, 2},
		check: func(o Binary) error {
			if _, ok := binaryFns[o.Fn]; !ok {
				return settingsErr(o, "unknown function %q, want one of %s", o.Fn, strings.Join(slices.Sorted(maps.Keys(binaryFns)), ", "))
			}
			return nil
		},
		shape: func(o Binary, in [][]int) ([]int, error) { return broadcast(o, in[0], in[1]) },
		traits: func(o Binary) Traits {
			if binaryFns[o.Fn] >= fnCompare {
				return Traits{NonNegative: true, Infinite: true, IgnoresInputs: true, IgnoresOutput: true}
			}
			linear := o.Fn == "add" || o.Fn == "sub"
			// Quotients and powers become no codes: their range depends on single small operands.
			return Traits{Quantized: o.OnCodes(), DataOnly: true, TakesActivation: o.OnCodes(), Adds: o.Fn == "add",
				Infinite:         slices.Contains([]string{"add", "min", "max"}, o.Fn),
				KeepsNonNegative: slices.Contains([]string{"add", "mul", "min", "max"}, o.Fn), IgnoresInputs: linear, IgnoresOutput: true,
				OnlyForOther: [2]bool{o.Fn == "mul" || o.Fn == "div", o.Fn == "mul"}}
		},
		batch: binaryBatch,
		f32:   binaryPasses[float32](), f64: binaryPasses[float64](),
	})
}

func binaryPasses[F Float]() passes[Binary, F] {
	return passes[Binary, F]{
		forward: func(o Binary, out Tensor[F], in []Tensor[F]) error {
			binaryForward(o, out, in[0], in[1])
			return nil
		},
		backward: func(o Binary, grads, in []Tensor[F], out, dout Tensor[F]) error {
			binaryBackward(o, grads, in[0], in[1], out, dout)
			return nil
		},
	}
}

// binaryBatch follows NumPy's broadcasting: shapes are aligned at the right.
func binaryBatch(_ Binary, g *Growth) (int, error) {
	at := NoAxis
	for _, v := range g.In {
		if v.Axis != NoAxis {
			at = max(at, v.Axis+len(g.Out)-len(v.Shape))
		}
	}
	for i, v := range g.In {
		a := at - (len(g.Out) - len(v.Shape))
		if v.Axis == NoAxis && (a < 0 || v.Shape[a] == 1) {
			g.Want[i] = NoAxis // broadcast along the batch
			continue
		}
		if g.Want[i] = a; a == v.Axis && v.Shape[a] != g.Out[at] {
			return 0, fmt.Errorf("the batch axis of %s, of size %d, is broadcast to %d", v.Name, v.Shape[a], g.Out[at])
		}
	}
	return at, nil
}
