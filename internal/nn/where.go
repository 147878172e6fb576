package nn

import (
	"github.com/goqat/goqat/internal/kern"
)

// Where takes elements of its second input where those of the first, a condition, are not 0,
// and of the third where they are; NaN is not 0. Shapes broadcast as NumPy's do. The condition
// gets a gradient of zeros.
type Where struct{}

func (Where) Kind() string { return "where" }

func init() {
	register(family[Where]{
		kinds: []string{"where"}, inputs: [2]int{3, 3},
		shape: whereShape,
		traits: func(Where) Traits {
			return Traits{Infinite: true, IgnoresOutput: true, OnlyForOther: [2]bool{false, true}}
		},
		batch: whereBatch,
		f32:   wherePasses[float32](), f64: wherePasses[float64](),
	})
}

func whereShape(o Where, in [][]int) ([]int, error) {
	out := in[0]
	for i := range in {
		rank := max(len(out), len(in[i]))
		both := make([]int, rank)
		for k := range both {
			a, b := dimFromEnd(out, rank-k), dimFromEnd(in[i], rank-k)
			if a != b && a != 1 && b != 1 {
				return nil, shapeErr(o, "shapes %v, %v and %v do not broadcast", in[0], in[1], in[2])
			}
			both[k] = max(a, b)
		}
		out = both
	}
	return out, nil
}

// whereBatch is binaryBatch, which takes any number of operands.
func whereBatch(_ Where, g *Growth) (int, error) { return binaryBatch(Binary{}, g) }

// condition is the condition in the output's shape, in scratch memory if it repeats.
func condition[F Float](cond, out Tensor[F]) (c []F, free func()) {
	if len(cond.Data) == len(out.Data) {
		return cond.Data, func() {}
	}
	kept := kern.Scratch[F](len(out.Data))
	s := broadcastStrides(cond.Shape, out.Shape)
	walkParallel(out.Shape, s, s, func(at, from, _, n, d, _ int) {
		if row := (*kept)[at : at+n]; d == 0 {
			fill(row, cond.Data[from])
		} else {
			copy(row, cond.Data[from:])
		}
	})
	return *kept, func() { kern.Return(kept) }
}

func wherePasses[F Float]() passes[Where, F] {
	return passes[Where, F]{
		forward: func(_ Where, out Tensor[F], in []Tensor[F]) error {
			c, free := condition(in[0], out)
			defer free()
			a, b := in[1], in[2]
			walkParallel(out.Shape, broadcastStrides(a.Shape, out.Shape), broadcastStrides(b.Shape, out.Shape), func(at, oa, ob, n, da, db int) {
				kern.Select(out.Data[at:at+n], c[at:at+n], a.Data[oa:], da, b.Data[ob:], db)
			})
			return nil
		},
		backward: func(_ Where, grads, in []Tensor[F], out, dout Tensor[F]) error {
			c, free := condition(in[0], out)
			defer free()
			clear(grads[0].Data)
			for side, g := range grads[1:] {
				if g.Data != nil {
					whereGrad(side == 0, g, c, dout)
				}
			}
			return nil
		},
	}
}

// whereGrad writes the gradient of one side; one that was repeated gets the float64 sum over
// its copies.
func whereGrad[F Float](left bool, g Tensor[F], c []F, dout Tensor[F]) {
	dst := g.Data
	whole := len(dst) == len(dout.Data)
	if !whole {
		kept := kern.Scratch[F](len(dout.Data))
		defer kern.Return(kept)
		dst = *kept
	}
	none, s := []F{0}, broadcastStrides(dout.Shape, dout.Shape)
	walkParallel(dout.Shape, s, s, func(at, _, _, n, _, _ int) {
		to, d := dst[at:at+n], dout.Data[at:at+n]
		if left {
			kern.Select(to, c[at:at+n], d, 1, none, 0)
		} else {
			kern.Select(to, c[at:at+n], none, 0, d, 1)
		}
	})
	if whole {
		return
	}
	sums := kern.Scratch[float64](len(g.Data))
	defer kern.Return(sums)
	sumKept(*sums, dst, dout.Shape, broadcastStrides(g.Shape, dout.Shape))
	kern.RoundSums(g.Data, *sums, 1)
}
