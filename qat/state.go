package qat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/qat/internal/measure"
	"github.com/goqat/goqat/qat/internal/plan"
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
	Dropout    []uint64          `json:"dropout,omitempty"`            // runs of each dropout layer
	History    *measure.History  `json:"history,omitempty"`            // see Record
	Statistics *bool             `json:"running_statistics,omitempty"` // see FreezeStatistics
}

// State is everything that the next training step depends on: weights and all other
// parameters, running statistics, ranges, scales (learned ones too), the place among the
// milestones and the state of dropout. The solver's state is its own affair; package
// train puts both into one file.
type State struct {
	// Tensors are all numbers that training changes, by name. Those of [Model.State] are
	// the network's own memory: write them out before the next step.
	Tensors map[string][]float32
	// Meta are the format, its version, and the rest of the state as JSON. Other keys
	// are ignored.
	Meta map[string]string
}

// State returns the state of the training.
func (m *Model) State() (State, error) {
	st := progress{Steps: m.clock.Steps, Epochs: m.clock.Epochs, Override: m.clock.Observing, Statistics: m.clock.Statistics, History: m.history}
	for _, f := range m.plan.Quantizers() {
		s, err := f.State()
		if err != nil {
			return State{}, fmt.Errorf("qat: state: %w", err)
		}
		st.Quantizers = append(st.Quantizers, s)
	}
	for _, runs := range m.train.Dropouts {
		st.Dropout = append(st.Dropout, *runs)
	}
	text, err := json.Marshal(st)
	if err != nil {
		return State{}, fmt.Errorf("qat: state: %w", err)
	}
	return State{m.plan.Memory(), map[string]string{"format": stateFormat, "version": stateVersion, "progress": string(text)}}, nil
}

// WriteState writes [Model.State] as safetensors.
func (m *Model) WriteState(w io.Writer) error {
	s, err := m.State()
	if err != nil {
		return err
	}
	var ts []safetensors.Tensor
	for name, data := range s.Tensors {
		ts = append(ts, safetensors.FromFloat32s(name, []int{len(data)}, data))
	}
	return safetensors.Write(w, ts, s.Meta)
}

// ReadState puts a state that WriteState wrote, for the same network and config, back
// in place; see [Model.Restore]. r holds size bytes.
func (m *Model) ReadState(r io.ReaderAt, size int64) error {
	f, err := safetensors.Read(r, size)
	if err != nil {
		return fmt.Errorf("qat: restore: %w: %w", ErrState, err)
	}
	return m.restore(f.Metadata, func(name string) ([]float32, error) {
		if !f.Has(name) {
			return nil, errNoTensor
		}
		return f.Float32s(name)
	})
}

// Restore puts a state of the same network and config back in place: the next step then
// gives the same bits as it would have without the interruption. Errors wrap [ErrState]
// and name what does not fit; everything is as before then. s is copied.
func (m *Model) Restore(s State) error {
	return m.restore(s.Meta, func(name string) ([]float32, error) {
		x, ok := s.Tensors[name]
		if !ok {
			return nil, errNoTensor
		}
		return x, nil
	})
}

var errNoTensor = errors.New("is missing")

func (m *Model) restore(meta map[string]string, tensor func(name string) ([]float32, error)) error {
	st, tensors, err := m.checkState(meta, tensor)
	if err != nil {
		return fmt.Errorf("qat: restore: %w", err)
	}
	// Quantizers check and change themselves one by one; go back if one refuses.
	qs := m.plan.Quantizers()
	before := make([]fakequant.State, len(qs))
	for i, z := range qs {
		if before[i], err = z.State(); err != nil {
			return fmt.Errorf("qat: restore: %w", err)
		}
	}
	for i, z := range qs {
		if err := z.Restore(st.Quantizers[i]); err != nil {
			for k := range i {
				err = errors.Join(err, qs[k].Restore(before[k]))
			}
			return fmt.Errorf("qat: restore: %w: %w", ErrState, err)
		}
	}
	for name, data := range m.plan.Memory() {
		copy(data, tensors[name])
	}
	for i, runs := range m.train.Dropouts {
		*runs = st.Dropout[i]
	}
	m.plan.DropTuned()
	m.clock = plan.Clock{Steps: st.Steps, Epochs: st.Epochs, Observing: st.Override, Statistics: st.Statistics}
	switch {
	case st.History != nil:
		m.history = st.History
	case m.history != nil: // that of another run
		m.history = &measure.History{Every: m.history.Every}
	}
	m.plan.SetPhases(m.clock)
	return nil
}

// checkState checks everything about a state that can be checked before any change.
func (m *Model) checkState(meta map[string]string, tensor func(name string) ([]float32, error)) (progress, map[string][]float32, error) {
	var st progress
	if got := meta["format"]; got != stateFormat {
		return st, nil, fmt.Errorf("%w: the file's format is %q, want %q", ErrState, got, stateFormat)
	}
	if got := meta["version"]; got != stateVersion {
		return st, nil, fmt.Errorf("%w: the file's version is %q: this goqat reads version %s", ErrState, got, stateVersion)
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(meta["progress"])))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&st); err != nil {
		return st, nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if n := len(m.plan.Quantizers()); len(st.Quantizers) != n {
		return st, nil, fmt.Errorf("%w: it has %d quantizers, the network %d: is it of another config?", ErrState, len(st.Quantizers), n)
	}
	if len(st.Dropout) != len(m.train.Dropouts) {
		return st, nil, fmt.Errorf("%w: it has %d dropout layers, the network %d", ErrState, len(st.Dropout), len(m.train.Dropouts))
	}
	if st.Steps < 0 || st.Epochs < 0 {
		return st, nil, fmt.Errorf("%w: step %d, epoch %d", ErrState, st.Steps, st.Epochs)
	}
	if err := st.History.Check(m.plan); err != nil {
		return st, nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	tensors := map[string][]float32{}
	for name, data := range m.plan.Memory() {
		x, err := tensor(name)
		if errors.Is(err, errNoTensor) {
			return st, nil, fmt.Errorf("%w: tensor %q %w", ErrState, name, err)
		}
		if err != nil {
			return st, nil, fmt.Errorf("%w: %w", ErrState, err)
		}
		if len(x) != len(data) {
			return st, nil, fmt.Errorf("%w: tensor %q has %d elements, the network's %d", ErrState, name, len(x), len(data))
		}
		if err := checkNumbers(name, x, data); err != nil {
			return st, nil, err
		}
		tensors[name] = x
	}
	return st, tensors, nil
}

// checkNumbers refuses what no training leaves behind. An infinity that the network
// holds in the same place now is its own: masks have them.
func checkNumbers(name string, x, now []float32) error {
	for i, v := range x {
		switch {
		case math.IsNaN(float64(v)), math.IsInf(float64(v), 0) && v != now[i]:
			return fmt.Errorf("%w: tensor %q: element %d is %v", ErrState, name, i, v)
		case v < 0 && strings.HasPrefix(name, plan.VariancePrefix):
			return fmt.Errorf("%w: tensor %q: element %d, a variance, is %v", ErrState, name, i, v)
		}
	}
	return nil
}
