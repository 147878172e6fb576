package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// What is moved or mixed along one axis at a time?

// eachAxis calls step for each of axes in turn: from x, of the given shape, by scratch
// memory to out. An axis gets sizes[k] elements; a step goes from n elements to these, with
// so many elements before and behind the axis. Without axes out is a copy of x.
func eachAxis[E Element](out, x []E, shape, axes, sizes []int, step func(dst, src []E, k, outer, n, inner int)) {
	if len(axes) == 0 {
		copy(out, x)
		return
	}
	shape = slices.Clone(shape)
	for k, a := range axes {
		outer, inner := spans(shape, a)
		n := shape[a]
		shape[a] = sizes[k]
		dst := out
		if k < len(axes)-1 {
			kept := kern.Scratch[E](product(shape))
			defer kern.Return(kept)
			dst = *kept
		}
		step(dst, x, k, outer, n, inner)
		x = dst
	}
}

// backAxes is eachAxis for gradients: the axes in reverse, from dout to dx. A step goes from
// the sizes[k] elements of the result to n.
func backAxes[E Element](dx, dout []E, shape, axes, sizes []int, step func(dst, src []E, k, outer, n, inner int)) {
	shape = slices.Clone(shape)
	from := make([]int, len(axes)) // sizes before each step
	for k, a := range axes {
		from[k], shape[a] = shape[a], sizes[k]
	}
	reversed := slices.Clone(axes)
	slices.Reverse(reversed)
	slices.Reverse(from)
	eachAxis(dx, dout, shape, reversed, from, func(dst, src []E, k, outer, _, inner int) {
		step(dst, src, len(axes)-1-k, outer, from[k], inner)
	})
}

// takeAxis copies element index[j] of an axis of n to element j.
func takeAxis[E Element](threads int, dst, src []E, outer, n, inner int, index []int) {
	par.ForN(threads, outer*len(index), max(1, elementGrain/inner), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			from := (r/len(index)*n + index[r%len(index)]) * inner
			if inner == 1 {
				dst[r] = src[from]
				continue
			}
			copy(dst[r*inner:(r+1)*inner], src[from:])
		}
	})
}

// mix says what elements of an axis become: element j is the sum of weight·element at over
// the taps first[j] to first[j+1]. Without weights all are 1.
type mix struct {
	first, at []int
	weight    []float64
}

// takes is the mix of [takeAxis].
func takes(index []int) mix {
	m := mix{first: make([]int, len(index)+1), at: index}
	for j := range m.first {
		m.first[j] = j
	}
	return m
}

// turned is the mix of the gradient: an element of n gets what it gave, in the order of the
// results.
func (m mix) turned(n int) mix {
	t := mix{first: make([]int, n+1), at: make([]int, len(m.at))}
	if m.weight != nil {
		t.weight = make([]float64, len(m.at))
	}
	for _, a := range m.at {
		t.first[a+1]++
	}
	for a := range n {
		t.first[a+1] += t.first[a]
	}
	next := slices.Clone(t.first)
	for j := range len(m.first) - 1 {
		for k := m.first[j]; k < m.first[j+1]; k++ {
			to := next[m.at[k]]
			next[m.at[k]]++
			t.at[to] = j
			if m.weight != nil {
				t.weight[to] = m.weight[k]
			}
		}
	}
	return t
}

// mixAxis sums in float64 in the order of the taps and rounds once.
func mixAxis[F Float](dst, src []F, outer, n, inner int, m mix) {
	size := len(m.first) - 1
	par.For(outer*size, max(1, elementGrain/inner), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			j, base := r%size, r/size*n*inner
			at := m.at[m.first[j]:m.first[j+1]]
			row := dst[r*inner : (r+1)*inner]
			if m.weight == nil {
				for i := range row {
					sum := 0.0
					for _, a := range at {
						sum += float64(src[base+a*inner+i])
					}
					row[i] = F(sum)
				}
				continue
			}
			weight := m.weight[m.first[j]:m.first[j+1]]
			for i := range row {
				sum := 0.0
				for k, a := range at {
					sum += float64(weight[k] * float64(src[base+a*inner+i]))
				}
				row[i] = F(sum)
			}
		}
	})
}
