package qat_test

import (
	"fmt"
	"log"

	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// network is one layer with a ReLU, in plain Gorgonia.
func network() (g *gorgonia.ExprGraph, x, y *gorgonia.Node) {
	g = gorgonia.NewGraph()
	x = gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(2, 3), gorgonia.WithName("x"))
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("fc.weight"), gorgonia.WithValue(
		tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{0.5, -1, 0.25, 0.75, -0.5, 1}))))
	return g, x, gorgonia.Must(gorgonia.Rectify(gorgonia.Must(gorgonia.Mul(x, w))))
}

func Example() {
	g, _, y := network()
	m, err := qat.Prepare(g, qconfig.Config{}, y)
	if err != nil {
		log.Fatal(err)
	}
	loss := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(m.OutputNodes()[0]))))
	if _, err := gorgonia.Grad(loss, m.Learnables()...); err != nil {
		log.Fatal(err)
	}
	vm, err := m.Machine(loss)
	if err != nil {
		log.Fatal(err)
	}
	solver := gorgonia.NewVanillaSolver(gorgonia.WithLearnRate(0.1))
	batch := []float32{1, 0.5, -1, 0, 1, 0.5}
	for range 10 {
		if err := gorgonia.Let(m.InputNodes()[0], tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(batch))); err != nil {
			log.Fatal(err)
		}
		if err := vm.RunAll(); err != nil {
			log.Fatal(err)
		}
		if err := solver.Step(gorgonia.NodesToValueGrads(m.Learnables())); err != nil {
			log.Fatal(err)
		}
		vm.Reset()
		if err := m.Step(); err != nil {
			log.Fatal(err)
		}
	}
	fz, err := m.Freeze()
	if err != nil {
		log.Fatal(err)
	}
	v, err := m.Verify(fz, batch)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d codes checked, %d differ\n", v.Checked, v.Differing)
	// Output: 12 codes checked, 0 differ
}

// Post-training quantization: calibrate, then freeze.
func ExampleModel_Calibrate() {
	g, _, y := network()
	p, err := qat.Prepare(g, qconfig.Config{}, y)
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Calibrate([]float32{1, 0.5, -1, 0, 1, 0.5}); err != nil {
		log.Fatal(err)
	}
	fz, err := p.Freeze()
	if err != nil {
		log.Fatal(err)
	}
	out, err := fz.Run([]float32{0, 1, 0.5}) // one row: the batch is open
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.2f\n", out[0])
	// Output: [0.00 1.25]
}

// A report names every tensor, its format, and why it stays float.
func ExampleModel_Report() {
	g, _, y := network()
	p, err := qat.Prepare(g, qconfig.Config{Global: &qconfig.Layer{Activations: qconfig.Tensor{Off: true}}}, y)
	if err != nil {
		log.Fatal(err)
	}
	r, err := p.Report()
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range r.Rows {
		fmt.Println(row.Layer, row.Tensor, row.Spec)
	}
	fmt.Println(r.FloatBytes, "bytes become", r.Bytes)
	// Output:
	// x activation float32
	// fc weight int8 symmetric per_channel(axis 1) narrow
	// fc activation float32
	// 24 bytes become 16
}

// A stock graph, trained faster in float32.
func ExampleOptimize() {
	g, _, y := network()
	o, err := qat.Optimize(g, y)
	if err != nil {
		log.Fatal(err)
	}
	loss := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(o.OutputNodes()[0]))))
	if _, err := gorgonia.Grad(loss, o.Learnables()...); err != nil {
		log.Fatal(err)
	}
	vm, err := o.Machine(loss)
	if err != nil {
		log.Fatal(err)
	}
	batch := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 0.5, -1, 0, 1, 0.5}))
	if err := gorgonia.Let(o.InputNodes()[0], batch); err != nil {
		log.Fatal(err)
	}
	if err := vm.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.3f\n", loss.Value().Data())
	// Output: 0.707
}
