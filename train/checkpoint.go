package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sort"
	"strconv"

	"github.com/goqat/goqat/internal/atomicfile"
	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/qat"
)

// Keys of a checkpoint beside those of the model's state.
const (
	keySolver = "solver"
	keySteps  = "loop_steps"
	keySum    = "sha256" // see checksum
)

// solverProgress is the part of a [State] that is no tensor.
type solverProgress struct {
	Kind      string       `json:"kind"`
	LearnRate float64      `json:"learn_rate,omitempty"`
	Params    []paramSteps `json:"params"`
}

type paramSteps struct {
	Name    string `json:"name"`
	Step    int    `json:"step"`
	Moments int    `json:"moments"`
}

// WriteCheckpointFile writes all that a training with quantization needs to go on: the
// model's state (weights, ranges, scales, place among the milestones; see
// [qat.State]), the solver's, and the number of steps made, which is
// [Loop]'s Start. The file is safetensors; it is written under a temporary name,
// synced and renamed. It carries a SHA-256 of all that it holds.
func WriteCheckpointFile(path string, m *qat.Model, solver Optimizer, steps int) error {
	state, err := m.State()
	if err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	var tensors []safetensors.Tensor
	for name, data := range state.Tensors {
		tensors = append(tensors, safetensors.FromFloat32s(name, []int{len(data)}, data))
	}
	meta := state.Meta
	st := solver.State()
	progress := solverProgress{Kind: st.Kind, LearnRate: st.LearnRate}
	for _, p := range st.Params {
		progress.Params = append(progress.Params, paramSteps{p.Name, p.Step, len(p.Moments)})
		for i, x := range p.Moments {
			tensors = append(tensors, safetensors.FromFloat32s(momentName(p.Name, i), []int{len(x)}, x))
		}
	}
	text, err := json.Marshal(progress)
	if err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	meta[keySolver], meta[keySteps] = string(text), strconv.Itoa(steps)
	meta[keySum] = checksum(tensors, meta)
	return atomicfile.WriteFile(path, func(w io.Writer) error { return safetensors.Write(w, tensors, meta) })
}

// checksum is the SHA-256, in hexadecimal, of everything in a checkpoint but itself:
// metadata and tensors by name, each part behind its length.
func checksum(tensors []safetensors.Tensor, meta map[string]string) string {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		if key != keySum {
			part([]byte(key))
			part([]byte(meta[key]))
		}
	}
	sorted := slices.Clone(tensors)
	sort.Slice(sorted, func(i, k int) bool { return sorted[i].Name < sorted[k].Name })
	for _, t := range sorted {
		part([]byte(t.Name))
		part([]byte(t.DType))
		part(fmt.Append(nil, t.Shape))
		part(t.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// tensorsOf are all tensors of a file, as they were given to [safetensors.Write].
func tensorsOf(f *safetensors.File) ([]safetensors.Tensor, error) {
	var tensors []safetensors.Tensor
	for _, name := range f.Names() {
		d, shape, _, err := f.Info(name)
		if err != nil {
			return nil, err
		}
		b, err := f.Bytes(name)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: d, Shape: shape, Data: b})
	}
	return tensors, nil
}

// verifySum compares a checkpoint with the sum that it carries.
func verifySum(f *safetensors.File) error {
	tensors, err := tensorsOf(f)
	if err != nil {
		return err
	}
	switch sum := f.Metadata[keySum]; {
	case sum == "":
		return fmt.Errorf("%w: the file carries no %s: it is damaged, or an older goqat wrote it", ErrState, keySum)
	case sum != checksum(tensors, f.Metadata):
		return fmt.Errorf("%w: the file is damaged: its contents do not have the %s that it carries", ErrState, keySum)
	}
	return nil
}

func momentName(param string, i int) string { return fmt.Sprintf("solver.%d.%s", i, param) }

// ReadCheckpointFile puts a checkpoint back into a model of the same network, prepared
// with the same config, and into a solver of the same kind, and returns the
// number of steps made. The next step gives the same bits as without the
// interruption. Errors wrap ErrState or [qat.ErrState]; nothing has changed then.
func ReadCheckpointFile(path string, m *qat.Model, solver Optimizer) (steps int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("train: checkpoint: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("train: checkpoint: %w", err)
	}
	f, err := safetensors.Read(file, info.Size())
	if err != nil {
		return 0, fmt.Errorf("train: checkpoint %s: %w: %w", path, ErrState, err)
	}
	if err := verifySum(f); err != nil {
		return 0, fmt.Errorf("train: checkpoint %s: %w", path, err)
	}
	st, err := readSolver(f)
	if err != nil {
		return 0, fmt.Errorf("train: checkpoint %s: %w: %w", path, ErrState, err)
	}
	if steps, err = strconv.Atoi(f.Metadata[keySteps]); err != nil || steps < 0 {
		return 0, fmt.Errorf("train: checkpoint %s: %w: %q steps", path, ErrState, f.Metadata[keySteps])
	}
	before := solver.State()
	if err := solver.Restore(st); err != nil {
		return 0, fmt.Errorf("train: checkpoint %s: %w", path, err)
	}
	if err := m.ReadState(file, info.Size()); err != nil {
		return 0, fmt.Errorf("train: checkpoint %s: %w", path, errors.Join(err, solver.Restore(before)))
	}
	return steps, nil
}

func readSolver(f *safetensors.File) (State, error) {
	var progress solverProgress
	if err := json.Unmarshal([]byte(f.Metadata[keySolver]), &progress); err != nil {
		return State{}, fmt.Errorf("solver: %w", err)
	}
	st := State{Kind: progress.Kind, LearnRate: progress.LearnRate}
	seen := make(map[string]bool, len(progress.Params))
	for _, p := range progress.Params {
		if seen[p.Name] { // before its moments are read: a small file must not take much memory
			return State{}, fmt.Errorf("parameter %q is there twice", p.Name)
		}
		seen[p.Name] = true
		ps := ParamState{Name: p.Name, Step: p.Step}
		for i := range p.Moments {
			m, err := f.Float32s(momentName(p.Name, i))
			if err != nil {
				return State{}, err
			}
			ps.Moments = append(ps.Moments, m)
		}
		st.Params = append(st.Params, ps)
	}
	return st, nil
}
