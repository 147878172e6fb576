// Package ort runs ONNX models in ONNX Runtime, for tests: through node and the npm
// package onnxruntime-node, so that no test needs cgo or another Go module. To use
// it:
//
//	npm install --ignore-scripts onnxruntime-node@1.27.0     # in any folder
//	export ORT_NODE=that-folder/node_modules/onnxruntime-node
package ort

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
)

// EnvFolder names the environment variable with the folder of onnxruntime-node.
const EnvFolder = "ORT_NODE"

// ErrMissing is wrapped when there is no ONNX Runtime here. Tests skip then.
var ErrMissing = errors.New("no ONNX Runtime")

//go:embed run.js
var script string

// Levels of graph optimisation.
const (
	// Disabled computes what the file says, in float32.
	Disabled = "disabled"
	// All uses integer kernels.
	All = "all"
)

// Tensor is a float32 tensor, row-major.
type Tensor struct {
	Dims []int
	Data []float32
}

// Job is a model to run once.
type Job struct {
	// Model is the path of the file.
	Model string
	// Level is Disabled or All.
	Level string
	// Inputs are by name.
	Inputs map[string]Tensor
	// Optimized is a path for the model as it runs, to look at; empty for none.
	Optimized string
}

// Result is what a job gave: outputs by name, or an error.
type Result struct {
	Outputs map[string]Tensor
	Err     error
}

// Find returns the folder of onnxruntime-node, or an error that wraps ErrMissing and
// says what to install.
func Find() (string, error) {
	folder := os.Getenv(EnvFolder)
	if folder == "" {
		return "", fmt.Errorf("%w: set %s to the folder of npm package onnxruntime-node", ErrMissing, EnvFolder)
	}
	if _, err := os.Stat(filepath.Join(folder, "package.json")); err != nil {
		return "", fmt.Errorf("%s=%s: %w", EnvFolder, folder, err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return filepath.Abs(folder)
}

type wireTensor struct {
	Name string `json:"name,omitempty"`
	Dims []int  `json:"dims"`
	Data string `json:"data"`
}

type wireJob struct {
	Model     string       `json:"model"`
	Level     string       `json:"level"`
	Inputs    []wireTensor `json:"inputs"`
	Optimized string       `json:"optimized,omitempty"`
}

type wireResult struct {
	Outputs map[string]wireTensor `json:"outputs"`
	Error   string                `json:"error"`
}

// Run runs all jobs in one process and returns one result each. A job that fails
// fails alone. The error is about the process as a whole; it wraps ErrMissing when
// ONNX Runtime is not installed.
func Run(jobs []Job) ([]Result, error) {
	folder, err := Find()
	if err != nil {
		return nil, err
	}
	wire := []wireJob{}
	for _, j := range jobs {
		w := wireJob{Model: j.Model, Level: j.Level, Optimized: j.Optimized, Inputs: []wireTensor{}}
		for name, t := range j.Inputs {
			w.Inputs = append(w.Inputs, wireTensor{name, t.Dims, encode(t.Data)})
		}
		wire = append(wire, w)
	}
	in, err := json.Marshal(wire)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("node", "-e", script, folder)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("node: %w: %s", err, stderr.Bytes())
	}
	var results []wireResult
	if err := json.Unmarshal(out, &results); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	if len(results) != len(jobs) {
		return nil, fmt.Errorf("node: %d results for %d jobs", len(results), len(jobs))
	}
	return decode(results)
}

func decode(wire []wireResult) ([]Result, error) {
	results := make([]Result, len(wire))
	for i, w := range wire {
		if w.Error != "" {
			results[i].Err = errors.New(w.Error)
			continue
		}
		results[i].Outputs = map[string]Tensor{}
		for name, t := range w.Outputs {
			raw, err := base64.StdEncoding.DecodeString(t.Data)
			if err != nil {
				return nil, fmt.Errorf("node: output %q: %w", name, err)
			}
			data := make([]float32, len(raw)/4)
			for k := range data {
				data[k] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:]))
			}
			results[i].Outputs[name] = Tensor{t.Dims, data}
		}
	}
	return results, nil
}

func encode(x []float32) string {
	raw := make([]byte, 0, 4*len(x))
	for _, v := range x {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return base64.StdEncoding.EncodeToString(raw)
}
