package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/safetensors"
)

// Options say how a file's tensors find their nodes. The zero value wants the same
// names and shapes, each exactly once on both sides.
type Options struct {
	// Names gives the node's name for a tensor's name in the file. The file must have
	// the one, the graph the other. Names goes before Prefixes.
	Names map[string]string
	// Prefixes replaces the beginning of names in the file; the longest prefix that fits
	// counts. "" fits all names: {"": "model."} puts "model." before them.
	Prefixes map[string]string
	// Skip lists tensors of the file to leave alone. A * at the beginning or the end
	// stands for anything: "head.*", "*.running_mean".
	Skip []string
	// Transpose names nodes of rank 2 whose tensors the file has the other way round:
	// [out, in] in the file, as in PyTorch, and [in, out] here. Each must be among the
	// nodes.
	Transpose []string
	// UnitAxes lets shapes fit that differ only by axes of length 1, such as a bias
	// [16] in the file and [1, 16, 1, 1] here.
	UnitAxes bool
	// AllowMissing leaves nodes as they are for which the file has no tensor.
	AllowMissing bool
	// AllowUnexpected passes over tensors that no node wants.
	AllowUnexpected bool
}

// counters ends the names of what PyTorch counts beside its running statistics.
const counters = ".num_batches_tracked"

// validate checks what can be checked without a file.
func (o Options) validate() error {
	for from, to := range o.Names {
		if to == "" {
			return fmt.Errorf("%w: Names: %q has no name to go to: use Skip to leave a tensor out", ErrOptions, from)
		}
	}
	for _, s := range o.Skip {
		inner := strings.TrimSuffix(strings.TrimPrefix(s, "*"), "*")
		if inner == "" || strings.Contains(inner, "*") {
			return fmt.Errorf("%w: Skip: %q: want a name, with a * at the beginning, at the end, or none", ErrOptions, s)
		}
	}
	return nil
}

// skips reports whether the options leave a tensor of the file alone.
func (o Options) skips(name string) bool {
	return slices.ContainsFunc(o.Skip, func(pattern string) bool {
		inner := strings.TrimSuffix(strings.TrimPrefix(pattern, "*"), "*")
		head, tail := strings.HasPrefix(pattern, "*"), strings.HasSuffix(pattern, "*")
		switch {
		case head && tail:
			return strings.Contains(name, inner)
		case head:
			return strings.HasSuffix(name, inner)
		case tail:
			return strings.HasPrefix(name, inner)
		}
		return name == inner
	})
}

// rename returns the node's name for a tensor of the file.
func (o Options) rename(name string) string {
	if to, ok := o.Names[name]; ok {
		return to
	}
	best, found := "", false
	for from := range o.Prefixes {
		if strings.HasPrefix(name, from) && len(from) >= len(best) {
			best, found = from, true
		}
	}
	if !found {
		return name
	}
	return o.Prefixes[best] + name[len(best):]
}

// checkNames finds rules that nothing comes of: usually a slip of the pen.
func (o Options) checkNames(f *safetensors.File, slots map[string]*slot) error {
	for _, from := range slices.Sorted(maps.Keys(o.Names)) {
		if !f.Has(from) {
			return fmt.Errorf("%w: Names: the file has no tensor %q", ErrOptions, from)
		}
		if to := o.Names[from]; slots[to] == nil {
			return fmt.Errorf("%w: Names: %q goes to %q, but there is no such node", ErrOptions, from, to)
		}
		if o.skips(from) {
			return fmt.Errorf("%w: %q is in Names, and Skip leaves it out", ErrOptions, from)
		}
	}
	for _, name := range o.Transpose {
		s := slots[name]
		if s == nil {
			return fmt.Errorf("%w: Transpose: there is no node %q", ErrOptions, name)
		}
		if len(s.shape) != 2 {
			return fmt.Errorf("%w: Transpose: node %q has shape %v: only matrices can be transposed", ErrOptions, name, s.shape)
		}
	}
	return nil
}
