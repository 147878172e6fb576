package tune

// This file says how far the data supports a rounding: what it does to samples that it
// was not found on.

import (
	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/ptq"
)

// enoughVectors is how many input vectors a weight of a channel must have for its
// rounding to hold on other data, too: an error of least squares grows by 1 + k/n on new
// samples, here by 3 %. With fewer the rounding is tried on samples held out.
const enoughVectors = 32

// dampingTries are what the damping is multiplied with where the data is scarce. With the
// default of 0.01 the last is 1: the pull towards the float weights is as strong as the data,
// and more of it comes to rounding to nearest, which is tried too. Tenfold is the step by
// which the damping is raised for a matrix that is not positive definite.
var dampingTries = []float64{1, 10, 100}

// choice is how the weights of a layer are to be rounded.
type choice struct {
	damping float64 // 0: to nearest
	keep    bool    // leave the bias as it is
	note    string
}

// choose decides by each half of the data what serves the other half best. Weights that
// are rounded to nearest are one of the choices, and win a tie.
func (r *rounder) choose(layout fakequant.Layout, params fakequant.Params, nearest []float32) choice {
	first := choice{damping: r.opt.Damping, keep: r.opt.KeepBias}
	a, b := r.halves[0], r.halves[1]
	if n := a[0].n + b[0].n; n >= enoughVectors*r.geo.cols || a[0].n == 0 || b[0].n == 0 {
		return first
	}
	best, cost := choice{keep: true, note: "rounded to nearest: samples held out lose by more"}, 0.0
	try := func(damping float64) {
		with, without := 0.0, 0.0 // the correction of the bias
		for _, fold := range [][2][]*moments{{a, b}, {b, a}} {
			weights := nearest
			if damping > 0 {
				var scratch ptq.RoundedLayer
				units, err := r.units(fold[0], damping, layout, &scratch)
				if err != nil || len(units) == 0 {
					return
				}
				weights = append([]float32(nil), nearest...)
				r.solveAll(units, params, weights, &scratch)
			}
			x, y := r.heldCost(weights, fold[0], fold[1])
			with, without = with+x, without+y
		}
		c := choice{damping: damping, keep: r.opt.KeepBias || !(with < without)}
		got := with
		if c.keep {
			got = without
		}
		if damping == 0 {
			best.keep, cost = c.keep, got
			return
		}
		if got < cost {
			best, cost = c, got
		}
	}
	try(0)
	for _, f := range dampingTries {
		try(f * r.opt.Damping)
	}
	return best
}

// heldCost is the squared error of the layer's result on the samples of test, up to a
// part that no choice changes: with the bias corrected by the mean error on the samples
// of found, and without.
func (r *rounder) heldCost(weights []float32, found, test []*moments) (with, without float64) {
	perGroup := r.geo.out / r.geo.groups
	shift := r.shift(weights, found)
	w, q := make([]float64, r.geo.cols), make([]float64, r.geo.cols)
	for k := range r.geo.out {
		m := test[k/perGroup]
		for j := range m.k {
			at := r.geo.at(k, j)
			w[j], q[j] = float64(r.w[at]), float64(weights[at])
		}
		same := 0.0 // for both
		for j := range m.k {
			same += float64(q[j] * dot(m.QQ[j*m.k:(j+1)*m.k], q))
			same -= float64(2 * w[j] * dot(m.fq[j*m.k:(j+1)*m.k], q))
		}
		with, without = with+same, without+same
		if r.opt.KeepBias {
			continue // the sums are not centred: the mean error is among them
		}
		n := float64(m.n)
		mean := (dot(w, m.f) - dot(q, m.q)) / n
		d := float64(shift[k])
		with += float64(n * (mean - d) * (mean - d))
		without += float64(n * mean * mean)
	}
	return with, without
}
