package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/goqat/goqat/internal/atomicfile"
	"github.com/goqat/goqat/internal/safetensors"
	"github.com/goqat/goqat/qat"
)

// Keys of a checkpoint beside those of the model's state.
const (
	keySolver = "solver"
	keySteps  = "loop_steps"
)

// solverProgress is the part of a [State] that is no tensor.
type solverProgress struct {
	Kind   string       `json:"kind"`
	Params []paramSteps `json:"params"`
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
// synced and renamed.
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
	progress := solverProgress{Kind: st.Kind}
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
	return atomicfile.WriteFile(path, func(w io.Writer) error { return safetensors.Write(w, tensors, meta) })
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
	st := State{Kind: progress.Kind}
	for _, p := range progress.Params {
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
