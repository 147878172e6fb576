package models

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/goqat/goqat/internal/atomicfile"
	"github.com/goqat/goqat/internal/safetensors"
)

// saved is a tensor of a weights file: a parameter or a statistic.
type saved struct {
	Param
	variance bool // must not be negative
}

// saved lists everything a weights file holds.
func (n *Net) saved() []saved {
	var all []saved
	for _, p := range n.params {
		all = append(all, saved{Param: p})
	}
	for _, s := range n.norms {
		shape := []int{len(s.state.Mean)}
		all = append(all, saved{Param: Param{s.name + ".running_mean", shape, s.state.Mean}},
			saved{Param: Param{s.name + ".running_var", shape, s.state.Variance}, variance: true})
	}
	return all
}

// Write writes all parameters and statistics as a safetensors file of float32
// tensors, under the names that PyTorch would give them. Equal networks give equal
// bytes.
func (n *Net) Write(w io.Writer) error {
	var ts []safetensors.Tensor
	for _, s := range n.saved() {
		ts = append(ts, safetensors.FromFloat32s(s.Name, s.Shape, s.Data))
	}
	if err := safetensors.Write(w, ts, nil); err != nil {
		return fmt.Errorf("models: write weights: %w", err)
	}
	return nil
}

// WriteFile is Write to a file, which appears complete or not at all.
func (n *Net) WriteFile(path string) error {
	if err := atomicfile.WriteFile(path, n.Write); err != nil {
		return fmt.Errorf("models: write weights: %w", err)
	}
	return nil
}

// slack is what a weights file may have beside its values: header and metadata.
const slack = 16 << 20

// Read reads weights that [Net.Write] or PyTorch's safetensors wrote. The file must have
// every parameter and statistic of the network with its shape, as F32, F16, BF16
// or F64, and nothing else (but "…num_batches_tracked", which is left alone).
// Errors wrap ErrWeights and list what is missing or unexpected; the network is
// unchanged then. Values must be finite. Read reads r to its end.
func (n *Net) Read(r io.Reader) error {
	limit := int64(slack)
	for _, s := range n.saved() {
		limit += 8 * int64(len(s.Data)) // F64 at most
	}
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("models: read weights: %w", err)
	}
	if int64(len(raw)) > limit {
		return fmt.Errorf("models: read weights: %w: more than %d bytes, too much for a network of %d values", ErrWeights, limit, n.Size())
	}
	return n.load(bytes.NewReader(raw), int64(len(raw)))
}

// ReadFile is Read from a file.
func (n *Net) ReadFile(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("models: read weights: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("models: read weights: %w", err)
	}
	return n.load(f, info.Size())
}

func (n *Net) load(r io.ReaderAt, size int64) error {
	f, err := safetensors.Read(r, size)
	if err != nil {
		return fmt.Errorf("models: read weights: %w: %w", ErrWeights, err)
	}
	all := n.saved()
	if err := sameNames(all, f.Names()); err != nil {
		return fmt.Errorf("models: read weights: %w", err)
	}
	data := make([][]float32, len(all))
	for i, s := range all {
		if data[i], err = s.read(f); err != nil {
			return fmt.Errorf("models: read weights: %q: %w", s.Name, err)
		}
	}
	for i, s := range all {
		copy(s.Data, data[i])
	}
	return nil
}

// sameNames compares the names of a file with those of the network.
func sameNames(all []saved, names []string) error {
	var missing, unexpected []string
	for _, s := range all {
		if !slices.Contains(names, s.Name) {
			missing = append(missing, s.Name)
		}
	}
	for _, name := range names {
		known := slices.ContainsFunc(all, func(s saved) bool { return s.Name == name })
		if !known && !strings.HasSuffix(name, ".num_batches_tracked") {
			unexpected = append(unexpected, name)
		}
	}
	if len(missing)+len(unexpected) == 0 {
		return nil
	}
	return fmt.Errorf("%w: missing %s; unexpected %s: is it a file of this network?", ErrWeights, some(missing), some(unexpected))
}

// some joins the first names of a list, which a hostile file could make endless.
func some(names []string) string {
	const most = 10
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return fmt.Sprintf("%q and %d more", names[:most], len(names)-most)
	}
	return fmt.Sprintf("%q", names)
}

// read returns the values of a tensor after checking shape and values.
func (s saved) read(f *safetensors.File) ([]float32, error) {
	_, shape, _, err := f.Info(s.Name)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(shape, s.Shape) {
		return nil, fmt.Errorf("%w: shape %v in the file, %v in the network", ErrWeights, shape, s.Shape)
	}
	data, err := f.Float32s(s.Name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWeights, err)
	}
	for i, v := range data {
		if v != v || math.IsInf(float64(v), 0) || s.variance && v < 0 {
			return nil, fmt.Errorf("%w: element %d is %v", ErrWeights, i, v)
		}
	}
	return data, nil
}
