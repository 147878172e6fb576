package qat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"unsafe"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/graph"
	"github.com/goqat/goqat/internal/safetensors"
	"gorgonia.org/gorgonia"
)

// ErrState is wrapped by errors about a saved training state that is broken or
// belongs to another network.
var ErrState = errors.New("invalid training state")

// Keys and values of a state file's metadata.
const (
	stateFormat  = "goqat-training-state"
	stateVersion = "1"
)

// progress is the part of a state that is no tensor.
type progress struct {
	Steps      int               `json:"steps"`
	Epochs     int               `json:"epochs"`
	Override   map[string]bool   `json:"observing,omitempty"` // see SetObserving
	Quantizers []fakequant.State `json:"quantizers"`
	Dropout    []uint64          `json:"dropout,omitempty"` // runs of each dropout layer
	History    *rangeHistory     `json:"history,omitempty"` // see Record
}

// SaveState writes everything that the next training step depends on: weights and
// all other parameters, running statistics, ranges, scales (learned ones too), the
// place in the schedule and the state of dropout. The solver's state is its own
// affair; package train saves both in one file. The format is safetensors.
func (q *Quantizer) SaveState(w io.Writer) error {
	ts, meta, err := q.StateTensors()
	if err != nil {
		return err
	}
	return safetensors.Write(w, ts, meta)
}

// StateTensors returns what SaveState writes, for callers that put more into the
// same file.
func (q *Quantizer) StateTensors() ([]safetensors.Tensor, map[string]string, error) {
	if q.prepared == nil {
		return nil, nil, ErrNotPrepared
	}
	p := q.prepared.plan
	var ts []safetensors.Tensor
	for name, data := range p.trained() {
		ts = append(ts, safetensors.FromFloat32s(name, []int{len(data)}, data))
	}
	st := progress{Steps: q.steps, Epochs: q.epochs, Override: q.observing, History: q.history}
	for _, f := range p.quantizers() {
		s, err := f.State()
		if err != nil {
			return nil, nil, fmt.Errorf("qat: save state: %w", err)
		}
		st.Quantizers = append(st.Quantizers, s)
	}
	for _, runs := range q.prepared.train.dropouts {
		st.Dropout = append(st.Dropout, *runs)
	}
	text, err := json.Marshal(st)
	if err != nil {
		return nil, nil, fmt.Errorf("qat: save state: %w", err)
	}
	return ts, map[string]string{"format": stateFormat, "version": stateVersion, "progress": string(text)}, nil
}

// trained returns the memory of all that training changes, by a unique name.
func (p *plan) trained() map[string][]float32 {
	m := map[string][]float32{}
	for _, v := range slices.Concat(p.net.Values, p.net.Carried.Values) {
		if v.Role != graph.Param {
			continue
		}
		if scalar, ok := v.Node.Value().(*gorgonia.F32); ok {
			m["param."+v.Name] = unsafe.Slice((*float32)(scalar), 1) // the number itself, not a copy
		} else if data, err := v.Floats(); err == nil {
			m["param."+v.Name] = data
		}
	}
	for l, st := range p.bn {
		m["running_mean."+l.Name] = st.Mean
		m["running_variance."+l.Name] = st.Variance
	}
	for _, l := range p.layers {
		if l.osc != nil {
			maps.Copy(m, l.osc.tensors())
		}
	}
	return m
}

// LoadState puts a state that SaveState wrote, for the same network and config, back
// in place: the next step then gives the same bits as it would have without the
// interruption. r holds size bytes. Errors wrap [ErrState] and name what does not
// fit; everything is as before then.
func (q *Quantizer) LoadState(r io.ReaderAt, size int64) error {
	f, err := safetensors.Read(r, size)
	if err != nil {
		return fmt.Errorf("qat: load state: %w: %w", ErrState, err)
	}
	return q.loadState(f)
}

func (q *Quantizer) loadState(f *safetensors.File) error {
	if q.prepared == nil {
		return ErrNotPrepared
	}
	st, tensors, err := q.readState(f)
	if err != nil {
		return fmt.Errorf("qat: load state: %w", err)
	}
	// Quantizers check and change themselves one by one; go back if one refuses.
	qs := q.prepared.plan.quantizers()
	before := make([]fakequant.State, len(qs))
	for i, z := range qs {
		if before[i], err = z.State(); err != nil {
			return fmt.Errorf("qat: load state: %w", err)
		}
	}
	for i, z := range qs {
		if err := z.Restore(st.Quantizers[i]); err != nil {
			for k := range i {
				err = errors.Join(err, qs[k].Restore(before[k]))
			}
			return fmt.Errorf("qat: load state: %w: %w", ErrState, err)
		}
	}
	for name, data := range q.prepared.plan.trained() {
		copy(data, tensors[name])
	}
	for i, runs := range q.prepared.train.dropouts {
		*runs = st.Dropout[i]
	}
	q.prepared.dropTuned()
	q.steps, q.epochs, q.observing = st.Steps, st.Epochs, st.Override
	switch {
	case st.History != nil:
		q.history = st.History
	case q.history != nil: // that of another run
		q.history = &rangeHistory{Every: q.history.Every}
	}
	q.apply()
	return nil
}

// readState checks everything about a state that can be checked before any change.
func (q *Quantizer) readState(f *safetensors.File) (progress, map[string][]float32, error) {
	var st progress
	if got := f.Metadata["format"]; got != stateFormat {
		return st, nil, fmt.Errorf("%w: the file's format is %q, want %q", ErrState, got, stateFormat)
	}
	if got := f.Metadata["version"]; got != stateVersion {
		return st, nil, fmt.Errorf("%w: the file's version is %q: this goqat reads version %s", ErrState, got, stateVersion)
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(f.Metadata["progress"])))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&st); err != nil {
		return st, nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	p := q.prepared
	if n := len(p.plan.quantizers()); len(st.Quantizers) != n {
		return st, nil, fmt.Errorf("%w: it has %d quantizers, the network %d: is it of another config?", ErrState, len(st.Quantizers), n)
	}
	if len(st.Dropout) != len(p.train.dropouts) {
		return st, nil, fmt.Errorf("%w: it has %d dropout layers, the network %d", ErrState, len(st.Dropout), len(p.train.dropouts))
	}
	if st.Steps < 0 || st.Epochs < 0 {
		return st, nil, fmt.Errorf("%w: step %d, epoch %d", ErrState, st.Steps, st.Epochs)
	}
	if err := st.History.check(p.plan); err != nil {
		return st, nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	tensors := map[string][]float32{}
	for name, data := range p.plan.trained() {
		if !f.Has(name) {
			return st, nil, fmt.Errorf("%w: tensor %q is missing", ErrState, name)
		}
		x, err := f.Float32s(name)
		if err != nil {
			return st, nil, fmt.Errorf("%w: %w", ErrState, err)
		}
		if len(x) != len(data) {
			return st, nil, fmt.Errorf("%w: tensor %q has %d elements, the network's %d", ErrState, name, len(x), len(data))
		}
		for i, v := range x {
			if math.IsNaN(float64(v)) {
				return st, nil, fmt.Errorf("%w: tensor %q: element %d is NaN", ErrState, name, i)
			}
		}
		tensors[name] = x
	}
	return st, tensors, nil
}
