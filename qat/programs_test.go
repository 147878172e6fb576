package qat

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/goqat/goqat/internal/graph/zoo"
	"github.com/goqat/goqat/internal/ort"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/frozen"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// Which networks of existing programs go all the way from Prepare to ONNX Runtime?

// programSteps let averages of observers and weights move apart, if anything differs.
const programSteps = 3

// notFrozen are networks that train but do not freeze, with the op that has no layer.
var notFrozen = map[string]string{"tabnet": "Sparsemax"}

// TestPrograms takes the zoo's programs through their whole life.
func TestPrograms(t *testing.T) {
	var files programFiles
	files.dir = t.TempDir()
	for _, c := range zoo.Programs() {
		t.Run(c.Name, func(t *testing.T) {
			if c.Refused != "" {
				m := c.Build()
				_, err := Prepare(m.Graph, qconfig.Config{}, m.Outputs...)
				wantError(t, err, "graph: ", c.Refused)
				return
			}
			optimizedProgram(t, c)
			losses := map[string]history{}
			var p *ranProgram
			for _, machine := range []string{"goqat", "TapeMachine"} {
				p = runProgram(t, c, machine)
				losses[machine] = p.history
			}
			sameBits(t, "loss", losses["TapeMachine"].losses, losses["goqat"].losses)
			sameBits(t, "gradient", losses["TapeMachine"].grads, losses["goqat"].grads)
			sameBits(t, "parameter", losses["TapeMachine"].end.params, losses["goqat"].end.params)
			if op := notFrozen[c.Name]; op != "" {
				_, err := p.m.Freeze()
				wantError(t, err, op)
				return
			}
			fz := p.freeze()
			if c.FixedBatch != (p.m.Batch() == 0) {
				t.Errorf("batch %d, but FixedBatch is %v: %s", p.m.Batch(), c.FixedBatch, p.m.Plan().BatchNote)
			}
			p.verify(fz, p.data(1, p.m.Batch()))
			if p.m.Batch() > 0 {
				p.verify(fz, p.data(2, p.m.Batch()+2))
			}
			files.write(t, c.Name, fz, p.data(3, p.m.Batch()))
		})
	}
	files.run(t)
}

// optimizedProgram compares a float graph of goqat's with Gorgonia's own results.
func optimizedProgram(t *testing.T, c zoo.Case) {
	t.Helper()
	m := c.Build()
	o, err := Optimize(m.Graph, m.Outputs...)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case c.Random:
	case c.Wrong == "":
		compareWithStock(t, m, o, stockResults(t, c))
	case c.Wrong == zoo.NoGradient:
		closeTo(t, forward(t, m, o.Map, o.Machine), forward(t, c.Build(), nil, nil))
	}
}

// forward runs a graph, or what it was mapped to, without gradients and returns its outputs.
func forward(t *testing.T, m *zoo.Model, to func(...**gorgonia.Node) error, start func(...*gorgonia.Node) (gorgonia.VM, error)) map[string][]float32 {
	t.Helper()
	var at map[*gorgonia.Node]*gorgonia.Node
	outputs := append([]*gorgonia.Node{}, m.Outputs...)
	var vm gorgonia.VM
	var err error
	reads := make([]gorgonia.Value, len(outputs))
	if to == nil {
		for i, y := range outputs {
			gorgonia.Read(y, &reads[i]) // ops behind may overwrite the node's own value
		}
		vm = gorgonia.NewTapeMachine(m.Graph)
	} else {
		at = map[*gorgonia.Node]*gorgonia.Node{}
		for _, x := range m.Inputs {
			n := x
			if err := to(&n); err != nil {
				t.Fatal(err)
			}
			at[x] = n
		}
		for i := range outputs {
			if err := to(&outputs[i]); err != nil {
				t.Fatal(err)
			}
		}
		if vm, err = start(outputs...); err != nil {
			t.Fatal(err)
		}
	}
	defer vm.Close()
	if err := m.Feed(at); err != nil {
		t.Fatal(err)
	}
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	got := map[string][]float32{}
	for i, y := range outputs {
		if to != nil {
			reads[i] = y.Value()
		}
		got[outputName(i)] = floats(t, reads[i])
	}
	return got
}

// ranProgram is a program after its training.
type ranProgram struct {
	*net
	model   *zoo.Model
	history history
}

func runProgram(t *testing.T, c zoo.Case, machine string) *ranProgram {
	t.Helper()
	m := c.Build()
	if (machine == "TapeMachine" || c.Asked) && !c.Graded && c.Wrong != zoo.NoGradient { // before Prepare or behind it, all the same
		if _, err := gorgonia.Grad(m.Cost, m.Learnables...); err != nil {
			t.Fatal(err)
		}
	}
	n := onlyPrepare(t, qconfig.Config{}, m.Graph, m.Outputs...)
	n.cost = m.Cost
	if err := n.m.Map(&n.cost); err != nil {
		t.Fatal(err)
	}
	if len(n.m.Learnables()) != len(m.Learnables) {
		t.Errorf("%d learnables %v, the program has %d", len(n.m.Learnables()), n.m.Learnables(), len(m.Learnables))
	}
	if _, err := gorgonia.Grad(n.cost, n.m.Learnables()...); err != nil {
		t.Fatal(err)
	}
	vm := n.machine()
	if machine == "TapeMachine" {
		vm = gorgonia.NewTapeMachine(n.m.Graph())
	}
	defer vm.Close()
	p := &ranProgram{net: n, model: m, history: history{losses: map[string][]float32{}}}
	at := map[*gorgonia.Node]*gorgonia.Node{}
	for _, x := range m.Inputs {
		if y, err := n.m.Node(x); err == nil {
			at[x] = y
		}
	}
	solver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.01))
	for range programSteps {
		if err := m.Feed(at); err != nil {
			t.Fatal(err)
		}
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		p.history.losses["loss"] = append(p.history.losses["loss"], floats(t, n.cost.Value())...)
		p.history.grads = gradients(t, n.m.Learnables())
		if err := solver.Step(gorgonia.NodesToValueGrads(n.m.Learnables())); err != nil {
			t.Fatal(err)
		}
		vm.Reset()
		if err := n.m.Step(); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range p.history.losses["loss"] {
		if math.IsNaN(float64(v)) {
			t.Errorf("losses %v", p.history.losses["loss"])
		}
	}
	p.history.end = n.snapshot()
	return p
}

// data is batch number i with the given size for Predict and its like.
func (p *ranProgram) data(i, rows int) [][]float32 {
	in := p.batch(i, rows)
	for k, v := range p.m.plan.Net.Inputs {
		if below := p.model.Below[v.Node]; below > 0 {
			for j, x := range in[k] {
				in[k][j] = float32(math.Floor(float64((x + 1) / 2 * float32(below))))
			}
		}
	}
	return in
}

// programFiles are exports that wait for one run of ONNX Runtime.
type programFiles struct {
	dir  string
	jobs []ort.Job
	list []programFile
}

type programFile struct {
	name, level string
	net         *frozen.Network
	want        [][]float32
}

func (f *programFiles) write(t *testing.T, name string, fz *frozen.Network, in [][]float32) {
	t.Helper()
	path := filepath.Join(f.dir, name+".onnx")
	if err := onnxout.WriteFile(path, fz, onnxout.Options{}); err != nil {
		t.Error(err)
		return
	}
	want, err := fz.Run(in...)
	if err != nil {
		t.Error(err)
		return
	}
	for _, level := range []string{ort.Disabled, ort.All} {
		job := ort.Job{Model: path, Level: level, Inputs: map[string]ort.Tensor{}}
		for i, ti := range fz.Inputs {
			x := fz.Tensors[ti]
			job.Inputs[x.Name] = ort.Tensor{Dims: openTo(x.Shape, len(in[i])), Data: in[i]}
		}
		f.jobs = append(f.jobs, job)
		f.list = append(f.list, programFile{name, level, fz, want})
	}
}

// openTo puts into a shape the size that its open axis has with that many elements.
func openTo(shape []int, elements int) []int {
	out := append([]int{}, shape...)
	for i, d := range shape {
		if d == -1 {
			out[i] = -elements / size(shape)
		}
	}
	return out
}

func (f *programFiles) run(t *testing.T) {
	t.Helper()
	if _, err := ort.Find(); errors.Is(err, ort.ErrMissing) {
		t.Log(err)
		return
	}
	results, err := ort.Run(f.jobs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		p := f.list[i]
		t.Run(p.name+"/"+p.level, func(t *testing.T) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			for k, ti := range p.net.Outputs {
				p.compare(t, fmt.Sprint("output ", k), p.net.Tensors[ti], r.Outputs[p.net.Tensors[ti].Name].Data, p.want[k])
			}
		})
	}
}

const (
	// programFloat bounds float outputs of other runtimes relative to the largest: sums of
	// at most 64 products behind some twenty layers, each with 2^-24 of its size.
	programFloat = 64 * 20 * 0x1p-24
	// programCodes is how far a code may be off: one step where a sum lies in the middle
	// between two, and one for each of at most three such layers in a row.
	programCodes = 3
	// programKernels bounds float outputs behind integer kernels, relative to the largest:
	// those round biases, so that a code in front may be off by a step, 1 of 127 of its range.
	programKernels = programCodes / 127.0
)

func (p programFile) compare(t *testing.T, what string, x frozen.Tensor, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	limit := 0.0
	share := programFloat
	if p.level == ort.All {
		share = programKernels
	}
	for _, v := range want {
		limit = max(limit, share*math.Abs(float64(v)))
	}
	if x.Quant != nil {
		limit = programCodes * 1.001 * float64(x.Quant.Params.Scale[0])
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= limit) {
			t.Fatalf("%s: element %d is %v, want %v: off by %.3g, limit %.3g", what, i, got[i], want[i], d, limit)
		}
	}
}
