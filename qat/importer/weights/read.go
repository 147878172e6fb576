package weights

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/safetensors"
	"gorgonia.org/gorgonia"
)

// Read reads the safetensors file of the given size behind r and writes its tensors
// into the nodes of the same names, which are leaves of float32 or float64: see
// [Leaves]. Nodes with a value keep their memory, others get a value.
//
// Errors wrap ErrFormat, ErrWeights, ErrNodes or ErrOptions, or are those of r, and name
// what is wrong; nothing has changed then. The report is complete as soon as names and
// shapes have been compared, also with an error.
func Read(r io.ReaderAt, size int64, nodes gorgonia.Nodes, opt Options) (Report, error) {
	slots, err := slotsOf(nodes)
	if err != nil {
		return Report{}, fmt.Errorf("weights: %w", err)
	}
	report, err := load(r, size, slots, opt)
	if err != nil {
		return report, fmt.Errorf("weights: read: %w", err)
	}
	return report, nil
}

// ReadFile is Read from a file.
func ReadFile(path string, nodes gorgonia.Nodes, opt Options) (report Report, err error) {
	err = withFile(path, func(f *os.File, size int64) (err error) {
		report, err = Read(f, size, nodes, opt)
		return err
	})
	return report, err
}

// withFile opens a file for reading; errors of fn get the path.
func withFile(path string, fn func(f *os.File, size int64) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("weights: read: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("weights: read: %w", err)
	}
	if err := fn(f, info.Size()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// load compares, reads and only then writes.
func load(r io.ReaderAt, size int64, slots map[string]*slot, opt Options) (Report, error) {
	if err := opt.validate(); err != nil {
		return Report{}, err
	}
	f, err := safetensors.Read(r, size)
	if err != nil {
		return Report{}, err
	}
	if f.Metadata["format"] == "goqat" {
		return Report{}, fmt.Errorf("%w: the file is a frozen network, not float weights: read it with package frozen", ErrWeights)
	}
	if err := opt.checkNames(f, slots); err != nil {
		return Report{}, err
	}
	report, err := compare(f, slots, opt)
	if err != nil {
		return report, err
	}
	staged := make([]numbers, len(report.Loaded))
	for i, m := range report.Loaded {
		s := slots[m.Node]
		if staged[i], err = read(f, m.Tensor, s.double()); err != nil {
			return report, fmt.Errorf("node %q: %w: %w", m.Node, ErrWeights, err)
		}
		if slices.Contains(opt.Transpose, m.Node) {
			staged[i] = staged[i].transposed(s.shape[0], s.shape[1])
		}
	}
	for i, m := range report.Loaded {
		// Let cannot fail here: shape and type are those of the node.
		if err := slots[m.Node].set(staged[i]); err != nil {
			return report, fmt.Errorf("node %q: %w", m.Node, err)
		}
	}
	return report, nil
}

// compare fills the report from names and shapes.
func compare(f *safetensors.File, slots map[string]*slot, opt Options) (Report, error) {
	var r Report
	from := map[string]string{} // tensor of each node
	for _, name := range f.Names() {
		to := opt.rename(name)
		wanted := slots[to] != nil
		switch {
		case opt.skips(name), !wanted && strings.HasSuffix(name, counters):
			r.Skipped = append(r.Skipped, name)
		case !wanted:
			r.Unexpected = append(r.Unexpected, name)
		case from[to] != "":
			return r, fmt.Errorf("%w: tensors %s and %s both go to node %q", ErrOptions, short(from[to]), short(name), to)
		default:
			from[to] = name
		}
	}
	for _, node := range slices.Sorted(maps.Keys(slots)) {
		name, ok := from[node]
		if !ok {
			r.Missing = append(r.Missing, node)
			continue
		}
		d, shape, _, err := f.Info(name)
		if err != nil {
			return r, err
		}
		if s := slots[node]; !fits(shape, s.shape, slices.Contains(opt.Transpose, node), opt.UnitAxes) {
			r.Misshaped = append(r.Misshaped, Mismatch{Node: node, Tensor: name, Want: s.shape, Got: shape})
			continue
		}
		r.Loaded = append(r.Loaded, Match{Node: node, Tensor: name, DType: string(d)})
	}
	return r, r.err(opt)
}

// fits reports whether a tensor's shape is a node's. The order of the elements does not
// depend on axes of length 1.
func fits(file, node []int, transposed, unitAxes bool) bool {
	if transposed {
		return len(file) == 2 && file[0] == node[1] && file[1] == node[0]
	}
	if unitAxes {
		one := func(d int) bool { return d == 1 }
		file, node = slices.DeleteFunc(slices.Clone(file), one), slices.DeleteFunc(slices.Clone(node), one)
	}
	return slices.Equal(file, node)
}
