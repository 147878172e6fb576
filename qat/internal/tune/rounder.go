package tune

// This file says how the weights of one layer are rounded with moments of its input.

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/internal/par"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/ptq"
	"gorgonia.org/gorgonia"
)

// rounder rounds the weights of one layer.
type rounder struct {
	p   *plan.Plan
	l   *plan.Layer
	opt ptq.RoundOptions
	geo weightGeometry
	w   []float32 // folded float weights
	m   []*moments
	// halves are the moments of either half of the data; m are those of all.
	halves  [2][]*moments
	batches int
}

// solveAll rounds all units into weights and returns the parameters.
func (r *rounder) solveAll(units []unit, params fakequant.Params, weights []float32, row *ptq.RoundedLayer) fakequant.Params {
	final := params.Clone()
	s := &solver{spec: r.l.WeightQuantizer.Spec(), params: params, plain: r.opt.Plain, fit: r.l.WeightQuantizer.FitScale}
	answers, nearest := make([]answer, len(units)), make([]answer, len(units))
	par.For(len(units), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			answers[i], nearest[i] = s.solve(units[i]), s.nearest(units[i])
		}
	})
	var before, after, signal float64
	for i, u := range units {
		a := answers[i]
		before, after = before+nearest[i].cost, after+a.cost
		for g, scale := range a.scales {
			final.Scale[g] = scale
		}
		for j, c := range u.channels {
			signal += c.h.cost(c.target)
			for x, v := range a.values[j] {
				weights[c.index[x]] = float32(v)
			}
		}
	}
	if signal > 0 {
		row.Nearest, row.Rounded = math.Sqrt(before/signal), math.Sqrt(after/signal)
	}
	return final
}

// gather runs the data through the float and the quantized network up to the layer, or
// to all that share its weights.
func (r *rounder) gather(data ptq.Data) error {
	for range r.geo.groups {
		for h := range r.halves {
			r.halves[h] = append(r.halves[h], NewMoments(r.geo.cols))
		}
	}
	users := r.p.Users(r.l)
	batch, samples := 0, make([]int, len(users)) // seen so far
	input := func(e *plan.Emitter) []*gorgonia.Node {
		var ns []*gorgonia.Node
		for _, l := range users {
			ns = append(ns, e.Nodes[l.In[0]])
		}
		return ns
	}
	float, quantized := r.p.NewProbe(fqop.Eval, input), r.p.NewProbe(fqop.Quantized, input)
	err := plan.EachBatch(data, func(inputs [][]float32) error {
		xq, err := quantized.Run(inputs)
		if err != nil {
			return err
		}
		xf := xq
		if !r.opt.Plain {
			if err := r.p.InFloat(func() error { xf, err = float.Run(inputs); return err }); err != nil {
				return err
			}
		}
		for i, l := range users {
			for _, x := range [][]float32{xq[i].Data, xf[i].Data} {
				if err := plan.CheckFinite(x); err != nil {
					return fmt.Errorf("input: %w", err)
				}
			}
			cut := rowsOf(l, xq[i].Shape, r.opt.MaxPositions)
			half := func(sample int) int {
				if r.batches > 1 {
					return batch % 2
				}
				return (samples[i] + sample) % 2
			}
			par.For(r.geo.groups, 1, func(lo, hi int) {
				for g := lo; g < hi; g++ {
					cut.each(g, xf[i].Data, xq[i].Data, func(sample int, vf, vq []float64) {
						r.halves[half(sample)][g].add(vf, vq)
					})
				}
			})
			samples[i] += cut.n
		}
		batch++
		return nil
	})
	for g := range r.geo.groups {
		a, b := r.halves[0][g], r.halves[1][g]
		a.finish()
		b.finish()
		m := a.plus(b)
		if !r.opt.KeepBias {
			a.centre()
			b.centre()
			m.centre()
		}
		r.m = append(r.m, m)
	}
	return err
}

// units makes the roundings of all output channels that have usable moments. The
// others stay as they are, and the row says why.
func (r *rounder) units(moments []*moments, damping float64, layout fakequant.Layout, row *ptq.RoundedLayer) ([]unit, error) {
	groupOf := make([]int, layout.Len())
	layout.Runs(func(lo, hi, group, step int) {
		for i := lo; i < hi; i++ {
			groupOf[i] = group + (i-lo)*step
		}
	})
	var all []unit
	perGroup := r.geo.out / r.geo.groups
	for g, m := range moments {
		h, lambda := NewQuadratic(m, damping, r.order(m))
		if h == nil {
			row.Note = "the second moments of its input hold no numbers: rounded to nearest"
			if layout.Groups() == 1 {
				return nil, nil // the scale of all must not change
			}
			continue
		}
		for j := range m.k {
			if m.QQ[j*m.k+j] == 0 {
				row.Dead++
			}
		}
		for k := g * perGroup; k < (g+1)*perGroup; k++ {
			all = append(all, r.unit(k, m, h, lambda, groupOf))
		}
	}
	if layout.Groups() > 1 || len(all) == 0 {
		return all, nil
	}
	whole := unit{groups: []int{0}}
	for _, u := range all {
		whole.channels = append(whole.channels, u.channels...)
	}
	return []unit{whole}, nil
}

// order is the order in which columns are rounded.
func (r *rounder) order(m *moments) []int {
	order := make([]int, m.k)
	for i := range order {
		order[i] = i
	}
	if r.opt.Order == ptq.ByActivation {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(m.QQ[b*m.k+b], m.QQ[a*m.k+a]) })
	}
	return order
}

// unit makes the rounding of output channel k. Its target makes the layer's result on
// quantized inputs equal to the float one's as far as weights can, in the sense of
// least squares, with the damping as a pull towards the weights.
func (r *rounder) unit(k int, m *moments, h *quadratic, lambda float64, groupOf []int) unit {
	c := &channel{h: h, target: make([]float64, m.k)}
	w := make([]float64, m.k)
	for j := range w {
		w[j] = float64(r.w[r.geo.at(k, j)])
	}
	var u unit
	for i, j := range h.order {
		at := r.geo.at(k, j)
		c.index, c.nearest, c.group = append(c.index, at), append(c.nearest, r.w[at]), append(c.group, groupOf[at])
		if !slices.Contains(u.groups, groupOf[at]) {
			u.groups = append(u.groups, groupOf[at])
		}
		if r.opt.Plain {
			c.target[i] = w[j]
			continue
		}
		c.target[i] = lambda * w[j]
		for x := range w {
			c.target[i] += float64(m.fq[x*m.k+j] * w[x])
		}
	}
	if !r.opt.Plain {
		h.solve(c.target)
	}
	u.channels = []*channel{c}
	return u
}

// shift is the mean error of each output channel with the rounded weights, on the samples
// of the moments.
func (r *rounder) shift(weights []float32, moments []*moments) []float32 {
	d := make([]float32, r.geo.out)
	perGroup := r.geo.out / r.geo.groups
	for k := range d {
		m := moments[k/perGroup]
		s := 0.0
		for j := range m.k {
			at := r.geo.at(k, j)
			s += float64(float64(r.w[at]) * m.f[j])
			s -= float64(float64(weights[at]) * m.q[j])
		}
		d[k] = float32(s / float64(m.n))
	}
	return d
}
