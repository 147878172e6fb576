package qat

import (
	"bytes"
	"errors"
	"testing"

	"github.com/goqat/goqat/internal/nn"
	"github.com/goqat/goqat/internal/ops"
	"github.com/goqat/goqat/qat/export/onnxout"
	"github.com/goqat/goqat/qat/export/packedout"
	"github.com/goqat/goqat/qat/ptq"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestEmbeddingTable: a table is weights: int8 for each row, or as settings say, with a row
// of the report, in training as in the frozen network; one that is the output head, too,
// is one constant.
func TestEmbeddingTable(t *testing.T) {
	const words, width, batch = 50, 8, 4
	for _, c := range []struct {
		name   string
		tensor qconfig.Tensor
		tied   bool
		spec   string
		stored int
	}{
		{"default", qconfig.Tensor{}, false, "int8 symmetric per_channel(axis 0) narrow", 1},
		{"4 bits", qconfig.Tensor{Bits: 4}, false, "int4 symmetric per_channel(axis 0) narrow", 1},
		{"learned", qconfig.Tensor{Estimator: qconfig.LSQ}, false, "int8 symmetric per_channel(axis 0) narrow", 1},
		{"tied", qconfig.Tensor{}, true, "int8 symmetric per_channel(axis 0) narrow", 1},
		{"float", qconfig.Tensor{Off: true}, false, "float32", 0},
	} {
		g := gorgonia.NewGraph()
		table := param(g, "emb.weight", words, width)
		y := must(ops.Apply(nn.Gather{}, table, leaf(g, "ids", batch)))
		y = must(gorgonia.Tanh(y))
		if c.tied {
			y = must(gorgonia.Mul(y, must(gorgonia.Transpose(table))))
		}
		n := onlyPrepare(t, qconfig.Config{Global: &qconfig.Layer{Weights: c.tensor}}, g, y)
		n.cost = squares(n.m.OutputNodes())
		if _, err := gorgonia.Grad(n.cost, n.m.Learnables()...); err != nil {
			t.Fatal(err)
		}
		vm := n.machine()
		ids := []float32{3, 49, 0, 3}
		for range 3 {
			if err := gorgonia.Let(n.m.InputNodes()[0], dense(ids, batch)); err != nil {
				t.Fatal(err)
			}
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			if err := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.01)).Step(gorgonia.NodesToValueGrads(n.m.Learnables())); err != nil {
				t.Fatal(err)
			}
			vm.Reset()
			if err := n.m.Step(); err != nil {
				t.Fatal(err)
			}
		}
		fz := n.freeze()
		n.verify(fz, [][]float32{ids})
		if names, _ := quantizedConstants(t, fz); len(names) != c.stored {
			t.Errorf("%s: quantized constants %q, want %d", c.name, names, c.stored)
		}
		r, err := n.m.Report()
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for _, x := range r.Rows {
			if x.Tensor == "weight" {
				if rows++; x.Spec != c.spec {
					t.Errorf("%s: format %s, want %s", c.name, x.Spec, c.spec)
				}
			}
		}
		if rows != 1 || r.FloatBytes != 4*words*width {
			t.Errorf("%s: %d rows for the table, %d bytes as float32", c.name, rows, r.FloatBytes)
		}
		var b bytes.Buffer
		if err := onnxout.Write(&b, fz, onnxout.Options{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		// That layout has products only: a table alone is none.
		if _, err := packedout.Write(&b, fz, packedout.Options{}); c.tied && err != nil || !c.tied && !errors.Is(err, packedout.ErrUnsupported) {
			t.Errorf("%s, tied to a head %v: %v", c.name, c.tied, err)
		}
	}
}

// TestReshapedTable: a table that is the reshaped or transposed form of a parameter is a
// table all the same, and trained.
func TestReshapedTable(t *testing.T) {
	const words, width, batch = 50, 8, 4
	for _, c := range []struct {
		name  string
		shape []int
		turn  func(w *gorgonia.Node) *gorgonia.Node
	}{
		{"reshaped", []int{words * width}, func(w *gorgonia.Node) *gorgonia.Node {
			return must(gorgonia.Reshape(w, tensor.Shape{words, width}))
		}},
		{"transposed", []int{width, words}, func(w *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Transpose(w)) }},
	} {
		g := gorgonia.NewGraph()
		y := must(ops.Apply(nn.Gather{}, c.turn(param(g, "emb.weight", c.shape...)), leaf(g, "ids", batch)))
		n := onlyPrepare(t, qconfig.Config{}, g, must(gorgonia.Tanh(y)))
		if l := n.m.Learnables(); len(l) != 1 {
			t.Errorf("%s: learnables %v, want the table", c.name, l)
		}
		ids := [][]float32{{3, 49, 0, 3}}
		if err := n.m.Calibrate(ids...); err != nil {
			t.Fatal(err)
		}
		fz := n.freeze()
		n.verify(fz, ids)
		if names, bytes := quantizedConstants(t, fz); len(names) != 1 || bytes != words*width+4*words {
			t.Errorf("%s: %d bytes of quantized constants %q, want the table with a scale for each row", c.name, bytes, names)
		}
	}
}

// TestTiedHeadBias: the bias of an output head that shares a table's codes is corrected.
func TestTiedHeadBias(t *testing.T) {
	const words, width, batch = 50, 8, 4
	g := gorgonia.NewGraph()
	table := param(g, "emb.weight", words, width)
	y := must(gorgonia.Tanh(must(ops.Apply(nn.Gather{}, table, leaf(g, "ids", batch)))))
	n := onlyPrepare(t, qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 3}}}, g, must(gorgonia.Mul(y, must(gorgonia.Transpose(table)))))
	data := ptq.DataOf([]float32{3, 49, 0, 3}, []float32{1, 2, 7, 30})
	for batch := range data {
		if err := n.m.Calibrate(batch...); err != nil {
			t.Fatal(err)
		}
	}
	first, err := n.m.CorrectBias(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 1 || first[0].Largest == 0 {
		t.Fatalf("corrections %v, want the head's", first)
	}
	again, err := n.m.CorrectBias(data)
	if err != nil {
		t.Fatal(err)
	}
	// What is left are the roundings of float32 sums, 2^-24 each, far below a thousandth.
	if again[0].Largest > first[0].Largest/1000 {
		t.Errorf("%v is left of %v", again[0].Largest, first[0].Largest)
	}
	n.verify(n.freeze(), [][]float32{{3, 49, 0, 3}})
}
