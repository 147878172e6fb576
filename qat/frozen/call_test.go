package frozen

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// twoInputs adds y, 0.5 where it is not given, to x and gathers rows of a table: whole
// numbers in, two outputs.
func twoInputs(t *testing.T) *Network {
	b := build(t)
	x := b.input("x", []int{-1, 2}, nil)
	y := b.input("y", []int{-1, 2}, nil)
	ids := b.input("ids", []int{-1}, nil)
	table := b.floats("table", []int{5, 2})
	sum := b.layer("add", Binary{Fn: "add"}, nil, []int{-1, 2}, nil, x, y)
	rows := b.layer("embed", Gather{}, nil, []int{-1, 2}, nil, table, ids)
	n := b.n
	half := float32(0.5)
	n.Tensors[y].Default = &half
	n.Outputs = []int{sum, rows}
	return n
}

func TestCall(t *testing.T) {
	n := twoInputs(t)
	x := []float32{1, 2, 3, 4}
	want, err := n.Run(x, []float32{0.5, 0.5, 0.5, 0.5}, []float32{4, 0})
	if err != nil {
		t.Fatal(err)
	}
	r, err := n.Runner(RunOptions{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]Values{
		"defaults, int64": {{Name: "ids", Int64: []int64{4, 0}, Shape: []int{2}}, {Name: "x", Shape: []int{2, 2}, Float32: x}},
		"all, int32":      {{Name: "x", Float32: x}, {Name: "y", Float32: []float32{.5, .5, .5, .5}}, {Name: "ids", Int32: []int32{4, 0}}},
	} {
		for how, call := range map[string]func(Values) (Values, error){"network": n.Call, "runner": r.Call} {
			out, err := call(in)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, how, err)
			}
			for i, tensor := range n.Outputs {
				v, ok := out.Get(n.Tensors[tensor].Name)
				if !ok || v.Name != out[i].Name || !slices.Equal(v.Shape, []int{2, 2}) || !slices.Equal(v.Float32, want[i]) {
					t.Errorf("%s, %s: output %d is %v, want %v of shape [2 2]", name, how, i, v, want[i])
				}
			}
		}
	}
	if _, ok := (Values{}).Get("x"); ok {
		t.Error("Get found a value in none")
	}
}

func TestCallErrors(t *testing.T) {
	n := twoInputs(t)
	x, ids := Value{Name: "x", Float32: make([]float32, 4)}, Value{Name: "ids", Int64: []int64{1, 2}}
	for _, c := range []struct {
		in   Values
		want string
	}{
		{Values{x, ids, {Name: "z", Float32: []float32{1}}}, `no input "z": want "x" [-1 2], "y" [-1 2] (default 0.5), "ids" [-1]`},
		{Values{x}, `input "ids" is missing: want "x"`},
		{Values{x, ids, x}, `input "x" is given twice: want`},
		{Values{{Name: "x", Shape: []int{4, 1}, Float32: x.Float32}, ids}, `input "x": shape [4 1], want [-1 2]`},
		{Values{{Name: "x", Shape: []int{4}, Float32: x.Float32}, ids}, `input "x": shape [4], want [-1 2]`},
		{Values{{Name: "x", Shape: []int{1, 2}, Float32: x.Float32}, ids}, `input "x": 4 numbers for shape [1 2], want 2`},
		{Values{{Name: "x", Shape: []int{1 << 62, 2}, Float32: x.Float32}, ids}, `input "x": shape [`},
		{Values{{Name: "x", Shape: []int{0, 2}, Float32: []float32{}}, ids}, `input "x": shape [0 2]`},
		{Values{{Name: "x", Float32: make([]float32, 3)}, ids}, `input "x"`},
		{Values{{Name: "x"}, ids}, `input "x": 0 of Float32, Int32 and Int64 are set, want one`},
		{Values{{Name: "x", Float32: x.Float32, Int32: []int32{1}}, ids}, `input "x": 2 of Float32`},
		{Values{x, {Name: "ids", Int64: []int64{1, 1<<24 + 1}}}, `input "ids": element 1 is 16777217`},
		{Values{x, {Name: "ids", Int32: []int32{-1<<24 - 1, 1}}}, `input "ids": element 0 is -16777217`},
		{Values{x, {Name: "ids", Int64: []int64{1, 2, 3}}}, `batch of`},
	} {
		_, err := n.Call(c.in)
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want one with %s", c.in, err, c.want)
		}
	}
	if _, err := (*Network)(nil).Call(nil); !errors.Is(err, ErrNetwork) {
		t.Errorf("nil network: %v", err)
	}
}

// A default is part of the file, and only inputs have one.
func TestDefault(t *testing.T) {
	n := twoInputs(t)
	var file bytes.Buffer
	if err := n.Write(&file); err != nil {
		t.Fatal(err)
	}
	again, err := Read(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if d := again.Tensors[n.Inputs[1]].Default; d == nil || *d != 0.5 {
		t.Errorf("default %v after a file, want 0.5", d)
	}
	nan := nanFloat()
	for where, set := range map[string]func(n *Network){
		"result":   func(n *Network) { n.Tensors[n.Outputs[0]].Default = n.Tensors[n.Inputs[1]].Default },
		"constant": func(n *Network) { n.Tensors[n.Layers[1].Inputs[0]].Default = n.Tensors[n.Inputs[1]].Default },
		"NaN":      func(n *Network) { n.Tensors[n.Inputs[0]].Default = &nan },
	} {
		n := twoInputs(t)
		set(n)
		if err := n.Validate(); !errors.Is(err, ErrNetwork) || !strings.Contains(err.Error(), "default") {
			t.Errorf("%s: %v", where, err)
		}
	}
}

// Run takes the last inputs' defaults, at the batch of the others.
func TestTrailingDefaults(t *testing.T) {
	b := build(t)
	x, y := b.input("x", []int{-1, 2}, nil), b.input("y", []int{-1, 2}, nil)
	n := b.n
	n.Outputs = []int{b.layer("add", Binary{Fn: "add"}, nil, []int{-1, 2}, nil, x, y)}
	if _, err := n.Run([]float32{1, 2}); !errors.Is(err, ErrInput) {
		t.Errorf("no default: %v, want an error that wraps ErrInput", err)
	}
	half := float32(0.5)
	n.Tensors[y].Default = &half
	got, err := n.Run([]float32{1, 2, 3, 4})
	if err != nil || !slices.Equal(got[0], []float32{1.5, 2.5, 3.5, 4.5}) {
		t.Errorf("%v, %v, want each half more", got, err)
	}
	if _, err := n.Run(); !errors.Is(err, ErrInput) {
		t.Errorf("no inputs: %v, want an error that wraps ErrInput", err)
	}
}

func nanFloat() float32 { x := float32(0); return x / x }
