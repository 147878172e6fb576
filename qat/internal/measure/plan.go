package measure

// This file says what is known of a network before its first step.

import (
	"slices"

	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/qat/internal/plan"
	"github.com/goqat/goqat/qat/report"
)

// Plan describes what Prepare made of a graph.
func Plan(p *plan.Plan) report.Plan {
	out := report.Plan{Batch: p.Net.Batch, BatchNote: p.Net.BatchNote, Outputs: plan.NamesOf(p.Net.Outputs)}
	for _, v := range p.Net.Inputs {
		in := report.PlanInput{Name: v.Name, Shape: slices.Clone(v.Shape), BatchAxis: v.BatchAxis, Default: v.Default() != nil, Random: v.Random != nil}
		if p.Net.Batch == 0 {
			in.BatchAxis = nn.NoAxis
		}
		out.Inputs = append(out.Inputs, in)
	}
	for _, v := range p.Net.Values {
		leaf := report.PlanLeaf{Name: v.Name, Shape: slices.Clone(v.Shape)}
		switch {
		case v.Trained():
			out.Params = append(out.Params, leaf)
		case v.Role == graph.Param:
			out.Constants = append(out.Constants, leaf)
		}
	}
	unfrozen := p.Unfrozen()
	for _, l := range p.Layers {
		if p.Static[l.Out] {
			continue
		}
		note := report.PlanNote{Layer: l.Name, Kind: l.Kind, Why: l.Why}
		if l.Why != "" && !p.Config.Float {
			out.Float = append(out.Float, note)
		}
		if err := unfrozen[l]; err != nil {
			if note.Why = err.Error(); l.Op == nil {
				note.Why = l.Why
			}
			out.NotFrozen = append(out.NotFrozen, note)
		}
	}
	for _, n := range p.Net.Notes() {
		kind := ""
		if i := slices.IndexFunc(p.Layers, func(l *plan.Layer) bool { return l.Name == n.Layer }); i >= 0 {
			kind = p.Layers[i].Kind
		}
		out.Notes = append(out.Notes, report.PlanNote{Layer: n.Layer, Kind: kind, Why: n.Reason})
	}
	return out
}
