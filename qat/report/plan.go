package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Plan is what qat.Model.Plan found out about a network before its first step.
type Plan struct {
	// Inputs are data, in the order that Predict and the frozen network take them.
	Inputs []PlanInput `json:"inputs"`
	// Outputs are the names of the results.
	Outputs []string `json:"outputs"`
	// Params are trained: the parameters among qat.Model.Learnables.
	Params []PlanLeaf `json:"params"`
	// Constants are leaves that keep their value.
	Constants []PlanLeaf `json:"constants,omitempty"`
	// Batch is the batch size of the graph, 0 where there is no open batch axis; then
	// BatchNote says why.
	Batch     int    `json:"batch"`
	BatchNote string `json:"batch_note,omitempty"`
	// Float are layers that stay float, or whose weights do, with the reason.
	Float []PlanNote `json:"float,omitempty"`
	// NotFrozen are layers that the frozen network cannot run: Freeze would fail.
	NotFrozen []PlanNote `json:"not_frozen,omitempty"`
	// Notes are remarks on other layers.
	Notes []PlanNote `json:"notes,omitempty"`
}

// PlanInput is an input of the network.
type PlanInput struct {
	Name string `json:"name"`
	// Shape is that of the graph; BatchAxis, -1 for none, grows with the batch.
	Shape     []int `json:"shape"`
	BatchAxis int   `json:"batch_axis"`
	// Default says that the input has a value that stands where none is bound.
	Default bool `json:"default,omitempty"`
	// Random says that its numbers are drawn anew where none are given, in training and
	// in Predict. The frozen network draws none: it takes them like any other input.
	Random bool `json:"random,omitempty"`
}

// PlanLeaf is a parameter or a constant.
type PlanLeaf struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// PlanNote is a remark on a layer.
type PlanNote struct {
	Layer string `json:"layer"`
	Kind  string `json:"kind"`
	Why   string `json:"why"`
}

// WriteJSON writes the plan as JSON.
func (p Plan) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

// String lists the plan, a line for each entry.
func (p Plan) String() string {
	var b strings.Builder
	for _, x := range p.Inputs {
		fmt.Fprintf(&b, "input      %s %v", x.Name, x.Shape)
		if x.BatchAxis >= 0 {
			fmt.Fprintf(&b, ", batch axis %d", x.BatchAxis)
		} else {
			b.WriteString(", no batch axis")
		}
		if x.Default {
			b.WriteString(", its value is the default")
		}
		if x.Random {
			b.WriteString(", drawn anew in each run")
		}
		b.WriteByte('\n')
	}
	for _, name := range p.Outputs {
		fmt.Fprintf(&b, "output     %s\n", name)
	}
	for _, x := range p.Params {
		fmt.Fprintf(&b, "parameter  %s %v\n", x.Name, x.Shape)
	}
	for _, x := range p.Constants {
		fmt.Fprintf(&b, "constant   %s %v, not trained (roles: params would train it)\n", x.Name, x.Shape)
	}
	if p.Batch > 0 {
		fmt.Fprintf(&b, "batch      %d in the graph, any size outside training\n", p.Batch)
	} else {
		fmt.Fprintf(&b, "batch      fixed: %s (roles: batch names another axis)\n", p.BatchNote)
	}
	for _, list := range []struct {
		what  string
		notes []PlanNote
	}{{"float", p.Float}, {"no freeze", p.NotFrozen}, {"note", p.Notes}} {
		for _, n := range list.notes {
			fmt.Fprintf(&b, "%-10s %s (%s): %s\n", list.what, n.Layer, n.Kind, n.Why)
		}
	}
	return b.String()
}
