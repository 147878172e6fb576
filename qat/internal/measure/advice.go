package measure

// This file says what in a report calls for a change, and which.

import (
	"fmt"
	"math"
	"slices"

	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/report"
)

const (
	noisy  = 10.0 // dB; below it less than two bits of a tensor are left
	uneven = 80.0 // times a typical column's spread: 100, less what the spread of a small sample is off
)

// advise adds to a report what a reader should look at. sample are the inputs that it was
// made with; nil for none.
func advise(p *plan.Plan, r *report.Report, sample [][]float32) {
	for i, x := range sample {
		if text := columnAdvice(p.Net.Inputs[i].Name, p.Net.Inputs[i].Shape, p.Net.Inputs[i].BatchAxis, x); text != "" {
			r.Advice = append(r.Advice, text)
		}
	}
	r.Advice = append(r.Advice, floorAdvice(p)...)
	outputs := map[string]string{} // by layer
	for _, v := range p.Net.Outputs {
		if l := p.Maker[v]; l != nil && p.Families[v] != nil {
			outputs[l.Name] = v.Name
		}
	}
	for _, row := range r.Rows {
		if s := float64(row.SQNR); s < noisy {
			r.Advice = append(r.Advice, fmt.Sprintf("%s of %s: %.1f dB between signal and noise: give it more bits, another observer, or leave it float (names)", row.Tensor, row.Layer, s))
		}
		if c, output := float64(row.Clipped), outputs[row.Layer]; row.Tensor == "activation" && output != "" && c > 0 {
			r.Advice = append(r.Advice, fmt.Sprintf("output %s: %.2f %% of its elements lie beyond its range: leave it float (outputs: {%s: null}), or observe min_max", output, 100*c, output))
		}
	}
}

// floorAdvice names quantizers with learned scales that have fallen as low as they can.
func floorAdvice(p *plan.Plan) []string {
	var all []string
	for _, q := range p.Quantizers() {
		if n := q.AtFloor(); n > 0 {
			all = append(all, fmt.Sprintf("%s: %d learned scales are at their floor, 1/256 of where they started: lower the learning rate, or let the observer have the scale (estimator: ste)", q.Name(), n))
		}
	}
	return all
}

// CostAdvice names what costs most by itself; empty where nothing costs anything.
func CostAdvice(s report.Sensitivity) string {
	if len(s.Layers) == 0 || math.IsInf(float64(s.Layers[0].OnlySQNR), 1) {
		return ""
	}
	l := s.Layers[0] // the most sensitive comes first
	cure := fmt.Sprintf("names: {%s: null}", l.Layer)
	if l.Kind == "input" {
		cure = fmt.Sprintf("inputs: {%s: null}", l.Layer)
	}
	return fmt.Sprintf("%s costs most: with nothing else quantized the outputs have %s dB between signal and noise, with everything %s: give it more bits, or leave it float (%s)",
		l.Layer, l.OnlySQNR.Text("%.1f"), s.SQNR.Text("%.1f"), cure)
}

// columnAdvice compares the spreads of the columns of a batch of vectors.
func columnAdvice(name string, shape []int, batchAxis int, x []float32) string {
	if len(shape) != 2 || batchAxis != 0 || shape[1] < 2 || len(x) < 2*shape[1] {
		return ""
	}
	n := shape[1]
	spreads := make([]float64, n)
	for c := range spreads {
		var sum, squares float64
		rows := 0.0
		for i := c; i < len(x); i += n {
			sum += float64(x[i])
			squares += float64(x[i]) * float64(x[i])
			rows++
		}
		spreads[c] = math.Sqrt(max(0, squares/rows-sum/rows*(sum/rows)))
	}
	wide := slices.Index(spreads, slices.Max(spreads))
	typical := slices.Sorted(slices.Values(spreads))[(n-1)/2]
	if typical == 0 || !(spreads[wide]/typical >= uneven) {
		return ""
	}
	return fmt.Sprintf("input %s: column %d spreads %.0f times as far as a typical one, which one scale for all rounds away: bring columns to one size in front of the network, or leave it float (inputs: {%s: null})",
		name, wide, spreads[wide]/typical, name)
}
