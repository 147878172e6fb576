package fqop_test

import (
	"fmt"
	"log"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/fakequant/fqop"
	"github.com/goqat/goqat/observers"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A weight vector is rounded to 4 bits on its way into a product; the gradient
// passes straight through where the weight lies inside the range.
func ExampleInsert() {
	g := gorgonia.NewGraph()
	w := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("w"), gorgonia.WithShape(4),
		gorgonia.WithValue(tensor.New(tensor.WithBacking([]float32{-0.7, 0.26, 0.1, 0.7}))))

	q, err := fakequant.New("w", fakequant.Spec{Bits: 4, NarrowRange: true}, &observers.Latest{}, false)
	if err != nil {
		log.Fatal(err)
	}
	wq, err := fqop.Insert(w, q)
	if err != nil {
		log.Fatal(err)
	}
	cost := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(wq))))
	if _, err := gorgonia.Grad(cost, w); err != nil {
		log.Fatal(err)
	}
	var rounded gorgonia.Value
	gorgonia.Read(wq, &rounded)

	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	for _, phase := range []fakequant.Phase{fakequant.Off, fakequant.ObservingAndQuantizing} {
		q.SetPhase(phase) // no need to compile again
		if err := m.RunAll(); err != nil {
			log.Fatal(err)
		}
		grad, err := w.Grad()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v: %.2f gradient %.2f\n", phase, rounded.Data(), grad.Data())
		m.Reset()
	}
	// Output:
	// off: [-0.70 0.26 0.10 0.70] gradient [-1.40 0.52 0.20 1.40]
	// observing+quantizing: [-0.70 0.30 0.10 0.70] gradient [-1.40 0.60 0.20 1.40]
}
