package weights

import (
	"fmt"
	"strings"
)

// Report says what became of each name. Lists are in alphabetical order of the nodes
// where there is one, else of the tensors.
type Report struct {
	// Loaded are the nodes that got values, or would have without the error.
	Loaded []Match
	// Missing are the nodes for which the file has no tensor.
	Missing []string
	// Unexpected are the tensors of the file that no node wants, by their names there.
	Unexpected []string
	// Misshaped are the nodes whose tensor has another shape.
	Misshaped []Mismatch
	// Skipped are the tensors that Options.Skip names, and PyTorch's batch counters.
	Skipped []string
}

// Match is a node with its tensor.
type Match struct {
	Node   string // name in the graph
	Tensor string // name in the file
	DType  string // F32, F16, BF16 or F64
}

// Mismatch is a node whose tensor does not fit.
type Mismatch struct {
	Node, Tensor string
	// Want is the node's shape, Got the tensor's as the file has it.
	Want, Got []int
}

// String is the report in one line, long lists cut.
func (r Report) String() string {
	parts := []string{fmt.Sprintf("%d loaded", len(r.Loaded))}
	for _, p := range []struct {
		what  string
		names []string
	}{{"missing", r.Missing}, {"unexpected", r.Unexpected}, {"wrong shape", mismatches(r.Misshaped)}, {"skipped", r.Skipped}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+" "+some(p.names))
		}
	}
	return strings.Join(parts, "; ")
}

// maxListed is how many names of a list a text repeats: a hostile file has millions.
const maxListed = 10

func some(names []string) string {
	rest := ""
	if n := len(names) - maxListed; n > 0 {
		names, rest = names[:maxListed], fmt.Sprintf(" and %d more", n)
	}
	cut := make([]string, len(names))
	for i, s := range names {
		cut[i] = short(s)
	}
	return strings.Join(cut, ", ") + rest
}

func mismatches(list []Mismatch) []string {
	out := make([]string, len(list))
	for i, m := range list {
		out[i] = fmt.Sprintf("%s (%v in the file, %v here)", m.Node, m.Got, m.Want)
	}
	return out
}

// err is what the options do not allow.
func (r Report) err(opt Options) error {
	var wrong []string
	if len(r.Missing) > 0 && !opt.AllowMissing {
		wrong = append(wrong, "missing "+some(r.Missing))
	}
	if len(r.Unexpected) > 0 && !opt.AllowUnexpected {
		wrong = append(wrong, "unexpected "+some(r.Unexpected))
	}
	if len(r.Misshaped) > 0 {
		wrong = append(wrong, "wrong shape "+some(mismatches(r.Misshaped)))
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrWeights, strings.Join(wrong, "; "))
}
