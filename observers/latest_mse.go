package observers

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// LatestMSE chooses, for the latest tensor alone, the range whose grid has the
// least squared error over its values. It is [MSE] for weights, as [Latest] is
// MinMax for them, and keeps no histogram: the error is that of the very values.
// With 8 bits it hardly differs from Latest; with 4 and fewer it clips the largest
// weights and gains accuracy.
type LatestMSE struct {
	// Spec is the format to choose the range for. The zero value is int8 symmetric.
	Spec fakequant.Spec
	// NonNegative says that the data cannot be negative; see fakequant.New.
	NonNegative bool
	state
}

// SetSpec sets Spec and NonNegative. See [SpecSetter].
func (o *LatestMSE) SetSpec(s fakequant.Spec, nonNegative bool) {
	o.Spec, o.NonNegative = s, nonNegative
}

// Observe chooses a range, extended to 0, for each group of x. It fails, wrapping ErrSettings,
// when Spec is invalid. See [fakequant.Observer].
func (o *LatestMSE) Observe(x []float32, l fakequant.Layout) error {
	c := codesOf(o.Spec, o.NonNegative)
	if err := c.check(); err != nil {
		return err
	}
	if err := o.measure(x, l); err != nil {
		return err
	}
	data, ends := gather(x, l)
	par.For(len(ends), groupsAtOnce, func(from, to int) {
		for g := from; g < to; g++ {
			start := 0
			if g > 0 {
				start = ends[g-1]
			}
			values := data[start:ends[g]]
			negative, positive := valuePower(values)
			o.curLo[g], o.curHi[g] = c.search(o.curLo[g], o.curHi[g], negative, positive, func(g kern.Grid, limit float64) float64 {
				return valueError(values, g, limit)
			})
		}
	})
	o.take(replace)
	return nil
}

// Fresh returns a new LatestMSE with the same settings and no data.
func (o *LatestMSE) Fresh() fakequant.Observer {
	return &LatestMSE{Spec: o.Spec, NonNegative: o.NonNegative}
}

// Memoryless returns true.
func (o *LatestMSE) Memoryless() bool { return true }

// Merge takes the union of both ranges: replicas see their latest tensors at the
// same time. See [Merger].
func (o *LatestMSE) Merge(other fakequant.Observer) error {
	p, ok := other.(*LatestMSE)
	if !ok || p == nil {
		return cannotMerge(KindLatestMSE, other)
	}
	if err := codesOf(o.Spec, o.NonNegative).same(codesOf(p.Spec, p.NonNegative)); err != nil {
		return err
	}
	return o.merge(&p.state, union)
}

// gather returns the finite values of x, group after group, and where each group
// ends.
func gather(x []float32, l fakequant.Layout) (data []float32, ends []int) {
	ends = make([]int, l.Groups())
	each(x, l, func(g int, _ float32) { ends[g]++ })
	sum := 0
	for g, n := range ends { // from counts to starts
		ends[g] = sum
		sum += n
	}
	data = make([]float32, sum)
	each(x, l, func(g int, v float32) { // from starts to ends
		data[ends[g]] = v
		ends[g]++
	})
	return data, ends
}

// each calls fn for every finite value.
func each(x []float32, l fakequant.Layout, fn func(group int, v float32)) {
	l.Runs(func(from, to, group, step int) {
		for i, v := range x[from:to] {
			if v-v == 0 {
				fn(group+i*step, v)
			}
		}
	})
}

// valuePower sums up both sides of 0.
func valuePower(values []float32) (negative, positive power) {
	for _, v := range values {
		p := &positive
		if v < 0 {
			p = &negative
		}
		p.n++
		p.squares += float64(float64(v) * float64(v))
	}
	return negative, positive
}

// chunk is how many values are fake-quantized between two looks at the limit.
const chunk = 256

// valueError returns the summed squared error of the values on a grid, or any
// value above limit when it is larger than that.
func valueError(values []float32, g kern.Grid, limit float64) float64 {
	var buf [chunk]float32
	var sum float64
	for len(values) > 0 && sum <= limit {
		part := values[:min(chunk, len(values))]
		values = values[len(part):]
		kern.FakeQuantize(buf[:len(part)], part, g)
		for i, v := range part {
			d := float64(v) - float64(buf[i])
			sum += float64(d * d)
		}
	}
	return sum
}
