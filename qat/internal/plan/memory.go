package plan

// This file says what memory training changes.

import (
	"maps"
	"slices"
	"unsafe"

	"github.com/goqat/goqat/internal/graph"
	"gorgonia.org/gorgonia"
)

// VariancePrefix begins the names of running variances in [Plan.Memory].
const VariancePrefix = "running_variance."

// Memory returns the memory of all that training changes, by a unique name.
func (p *Plan) Memory() map[string][]float32 {
	m := map[string][]float32{}
	for _, v := range slices.Concat(p.Net.Values, p.Net.Carried.Values) {
		if v.Role != graph.Param {
			continue
		}
		if scalar, ok := v.Node.Value().(*gorgonia.F32); ok {
			m["param."+v.Name] = unsafe.Slice((*float32)(scalar), 1) // the number itself, not a copy
		} else if data, err := v.Floats(); err == nil {
			m["param."+v.Name] = data
		}
	}
	for l, st := range p.Statistics {
		m["running_mean."+l.Name] = st.Mean
		m[VariancePrefix+l.Name] = st.Variance
	}
	for _, l := range p.Layers {
		if l.Oscillation != nil {
			maps.Copy(m, l.Oscillation.tensors())
		}
	}
	return m
}
