package nn

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// Transpose permutes the axes: output axis i is input axis Perm[i].
type Transpose struct {
	Perm []int `json:"perm"`
}

func (Transpose) Kind() string { return "transpose" }

// Concat joins its inputs along Axis.
type Concat struct {
	Axis int `json:"axis"`
}

func (Concat) Kind() string { return "concat" }

// Slice takes elements Start, Start+Step … below End along Axis. With Squeeze
// (which wants exactly one element) the axis is dropped.
type Slice struct {
	Axis    int  `json:"axis"`
	Start   int  `json:"start"`
	End     int  `json:"end"`
	Step    int  `json:"step"` // at least 1
	Squeeze bool `json:"squeeze,omitempty"`
}

func (Slice) Kind() string { return "slice" }

// Layers that only move elements: each gradient is the move back.

func permuted(o Transpose, x []int) []int {
	own, s := strides(x), make([]int, len(x))
	for i, p := range o.Perm {
		s[i] = own[p]
	}
	return s
}

func transposeForward[F Float](o Transpose, out, x Tensor[F]) {
	permute(out.Data, x.Data, out.Shape, permuted(o, x.Shape))
}

func transposeBackward[F Float](o Transpose, dx, dout Tensor[F]) {
	own, from := strides(dout.Shape), make([]int, len(o.Perm))
	for i, p := range o.Perm {
		from[p] = own[i]
	}
	permute(dx.Data, dout.Data, dx.Shape, from)
}

// permute fills dst, of the given shape, from x, where one step along axis i is from[i]
// elements. Runs that stay together are copied; else blocks of two axes are transposed:
// the last one of dst and the last one of x.
func permute[F Float](dst, x []F, shape, from []int) {
	dims, s, _ := merge(shape, from, from)
	last := len(dims) - 1
	if s[last] <= 1 {
		walkParallel(shape, from, from, func(at, ox, _, n, _, _ int) { copy(dst[at:at+n], x[ox:]) })
		return
	}
	j, to := slices.Index(s, 1), strides(dims)
	rows, cols := dims[last], dims[j]
	parts := (cols-1)/permuteBlock + 1
	dims[j], dims[last] = 1, 1 // what is left are the blocks' places
	par.For(product(dims)*parts, max(1, elementGrain/(rows*min(cols, permuteBlock))), func(lo, hi int) {
		for u := lo; u < hi; u++ {
			c, at, ox := u%parts*permuteBlock, 0, 0
			for i, rest := last, u/parts; i >= 0; i-- {
				at, ox, rest = at+rest%dims[i]*to[i], ox+rest%dims[i]*s[i], rest/dims[i]
			}
			kern.Transpose(dst[at+c*to[j]:], to[j], x[ox+c:], s[last], rows, min(cols-c, permuteBlock))
		}
	})
}

// permuteBlock is the number of columns of a matrix that are transposed in one goroutine.
const permuteBlock = 128

// spans returns the number of elements before an axis and behind it.
func spans(shape []int, axis int) (outer, inner int) {
	return product(shape[:axis]), product(shape[axis+1:])
}

func concatForward[F Element](o Concat, out Tensor[F], in []Tensor[F]) {
	outer, inner := spans(out.Shape, o.Axis)
	row, at := out.Shape[o.Axis]*inner, 0
	for _, t := range in {
		n := t.Shape[o.Axis] * inner
		par.For(outer, max(1, elementGrain/n), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				copy(out.Data[i*row+at:][:n], t.Data[i*n:])
			}
		})
		at += n
	}
}

func concatBackward[F Float](o Concat, grads, in []Tensor[F], dout Tensor[F]) {
	outer, inner := spans(dout.Shape, o.Axis)
	row, at := dout.Shape[o.Axis]*inner, 0
	for j, t := range in {
		n := t.Shape[o.Axis] * inner
		if to := grads[j].Data; to != nil {
			par.For(outer, max(1, elementGrain/n), func(lo, hi int) {
				for i := lo; i < hi; i++ {
					copy(to[i*n:][:n], dout.Data[i*row+at:])
				}
			})
		}
		at += n
	}
}

// sliceRows calls fn for each run of elements that a slice keeps: at in the output
// and from in the input, n of them.
func sliceRows(o Slice, x []int, fn func(at, from, n int)) {
	outer, inner := spans(x, o.Axis)
	at := 0
	for i := range outer {
		if o.Step == 1 {
			n := (o.End - o.Start) * inner
			fn(at, (i*x[o.Axis]+o.Start)*inner, n)
			at += n
			continue
		}
		// Counting the elements keeps j from overflowing with a huge step.
		j := o.Start
		for range (o.End-o.Start-1)/o.Step + 1 {
			fn(at, (i*x[o.Axis]+j)*inner, inner)
			at, j = at+inner, j+o.Step
		}
	}
}

func sliceForward[F Element](o Slice, out, x Tensor[F]) {
	sliceRows(o, x.Shape, func(at, from, n int) { copy(out.Data[at:at+n], x.Data[from:]) })
}

func sliceBackward[F Float](o Slice, dx, x, dout Tensor[F]) {
	clear(dx.Data)
	sliceRows(o, x.Shape, func(at, from, n int) { copy(dx.Data[from:from+n], dout.Data[at:]) })
}

func checkPerm(o Transpose) error {
	seen := make([]bool, len(o.Perm))
	for _, p := range o.Perm {
		if p < 0 || p >= len(seen) || seen[p] {
			return settingsErr(o, "%v is not a permutation of the axes 0 to %d", o.Perm, len(o.Perm)-1)
		}
		seen[p] = true
	}
	return nil
}

func transposeShape(o Transpose, x []int) ([]int, error) {
	if len(o.Perm) != len(x) {
		return nil, shapeErr(o, "permutation %v does not fit input of shape %v", o.Perm, x)
	}
	out := make([]int, len(x))
	for i, p := range o.Perm {
		out[i] = x[p]
	}
	return out, nil
}

func concatShape(o Concat, in [][]int) ([]int, error) {
	if err := checkAxis(o, o.Axis, in[0]); err != nil {
		return nil, err
	}
	out := slices.Clone(in[0])
	for i, s := range in[1:] {
		same := len(s) == len(out)
		for j := 0; same && j < len(s); j++ {
			same = j == o.Axis || s[j] == out[j]
		}
		if !same {
			return nil, shapeErr(o, "input %d of shape %v does not join shape %v along axis %d", i+1, s, in[0], o.Axis)
		}
		if out[o.Axis] > maxElements-s[o.Axis] {
			return nil, shapeErr(o, "the joined axis has more than %d elements", maxElements)
		}
		out[o.Axis] += s[o.Axis]
	}
	return out, nil
}

func sliceShape(o Slice, x []int) ([]int, error) {
	if err := checkAxis(o, o.Axis, x); err != nil {
		return nil, err
	}
	if o.End > x[o.Axis] {
		return nil, shapeErr(o, "end %d is past axis %d of shape %v", o.End, o.Axis, x)
	}
	n := (o.End-o.Start-1)/o.Step + 1
	out := slices.Clone(x)
	if !o.Squeeze {
		out[o.Axis] = n
		return out, nil
	}
	if n != 1 {
		return nil, shapeErr(o, "squeeze wants one element along axis %d, the slice has %d", o.Axis, n)
	}
	return slices.Delete(out, o.Axis, o.Axis+1), nil
}

// moveTraits are those of layers that only move elements.
var moveTraits = Traits{Moves: true, KeepsNonNegative: true, IgnoresInputs: true, IgnoresOutput: true}

func init() {
	register(family[Transpose]{
		kinds: []string{"transpose"}, inputs: [2]int{1, 1},
		check: checkPerm,
		shape: func(o Transpose, in [][]int) ([]int, error) { return transposeShape(o, in[0]) },
		traits: func(Transpose) Traits {
			t := moveTraits
			t.Relayout = true
			return t
		},
		batch: func(o Transpose, g *Growth) (int, error) { return slices.Index(o.Perm, g.In[0].Axis), nil },
		f32:   transposePasses[float32](), f64: transposePasses[float64](),
		codes: transposeCodes,
	})
	register(family[Concat]{
		kinds: []string{"concat"}, inputs: [2]int{1, math.MaxInt},
		check:  func(o Concat) error { return checkNotNegative(o, "axis", o.Axis) },
		shape:  concatShape,
		traits: func(Concat) Traits { return moveTraits },
		batch:  concatBatch,
		f32:    concatPasses[float32](), f64: concatPasses[float64](),
		codes: func(o Concat, _ int, out Tensor[uint8], in []Tensor[uint8]) { concatForward(o, out, in) },
	})
	register(family[Slice]{
		kinds: []string{"slice"}, inputs: [2]int{1, 1},
		check: func(o Slice) error {
			if o.Axis < 0 || o.Start < 0 || o.End <= o.Start || o.Step < 1 {
				return settingsErr(o, "axis %d, elements %d to %d by %d: want axis and start at least 0, end above start, step at least 1",
					o.Axis, o.Start, o.End, o.Step)
			}
			return nil
		},
		shape:  func(o Slice, in [][]int) ([]int, error) { return sliceShape(o, in[0]) },
		traits: func(Slice) Traits { return moveTraits },
		batch:  sliceBatch,
		f32:    slicePasses[float32](), f64: slicePasses[float64](),
		codes: func(o Slice, _ int, out Tensor[uint8], in []Tensor[uint8]) { sliceForward(o, out, in[0]) },
	})
}

func transposePasses[F Float]() passes[Transpose, F] {
	return passes[Transpose, F]{
		forward: func(o Transpose, out Tensor[F], in []Tensor[F]) error {
			transposeForward(o, out, in[0])
			return nil
		},
		backward: func(o Transpose, grads, _ []Tensor[F], _, dout Tensor[F]) error {
			transposeBackward(o, grads[0], dout)
			return nil
		},
	}
}

func concatPasses[F Float]() passes[Concat, F] {
	return passes[Concat, F]{
		forward: func(o Concat, out Tensor[F], in []Tensor[F]) error {
			concatForward(o, out, in)
			return nil
		},
		backward: func(o Concat, grads, in []Tensor[F], _, dout Tensor[F]) error {
			concatBackward(o, grads, in, dout)
			return nil
		},
	}
}

func slicePasses[F Float]() passes[Slice, F] {
	return passes[Slice, F]{
		forward: func(o Slice, out Tensor[F], in []Tensor[F]) error {
			sliceForward(o, out, in[0])
			return nil
		},
		backward: func(o Slice, grads, in []Tensor[F], _, dout Tensor[F]) error {
			sliceBackward(o, grads[0], in[0], dout)
			return nil
		},
	}
}

func concatBatch(o Concat, g *Growth) (int, error) {
	a := NoAxis
	for _, v := range g.In {
		a = max(a, v.Axis)
	}
	together := true
	for i, v := range g.In {
		g.Want[i] = a
		together = together && v.Axis == a
	}
	if together && o.Axis == a && len(g.In) > 1 {
		return 0, errors.New("it joins along the batch axis")
	}
	return a, nil
}

func sliceBatch(o Slice, g *Growth) (int, error) {
	a := g.In[0].Axis
	switch {
	case o.Axis == a:
		return 0, fmt.Errorf("it takes a part of the batch axis of %s", g.In[0].Name)
	case o.Squeeze && o.Axis < a:
		return a - 1, nil
	}
	return a, nil
}
