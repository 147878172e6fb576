// Quantized is the program of ../float with the lines that quantize its network.
package main

import (
	"errors"
	"fmt"
	"log"
	"math/rand/v2"

	"github.com/goqat/goqat/qat"
	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

const batch, hidden, classes = 64, 32, 2

// network is a multi-layer perceptron of stock ops: its logits and its parameters.
func network(x *gorgonia.Node) (logits *gorgonia.Node, params gorgonia.Nodes) {
	rng := rand.New(rand.NewPCG(1, 2))
	param := func(name string, rows, cols int, scale float64) *gorgonia.Node {
		w := make([]float32, rows*cols)
		for i := range w {
			w[i] = float32(rng.NormFloat64() * scale)
		}
		n := gorgonia.NewMatrix(x.Graph(), tensor.Float32, gorgonia.WithShape(rows, cols), gorgonia.WithName(name),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(w))))
		params = append(params, n)
		return n
	}
	linear := func(name string, x *gorgonia.Node, in, out int) *gorgonia.Node {
		y := gorgonia.Must(gorgonia.Mul(x, param(name+".weight", in, out, 0.5)))
		return gorgonia.Must(gorgonia.BroadcastAdd(y, param(name+".bias", 1, out, 0.1), nil, []byte{0}))
	}
	h := gorgonia.Must(gorgonia.Rectify(linear("fc1", x, 2, hidden)))
	h = gorgonia.Must(gorgonia.Rectify(linear("fc2", h, hidden, hidden)))
	return linear("fc3", h, hidden, classes), params
}

// loss is the cross entropy of logits with one-hot labels y.
func loss(logits, y *gorgonia.Node) *gorgonia.Node {
	logp := gorgonia.Must(gorgonia.Log(gorgonia.Must(gorgonia.SoftMax(logits))))
	return gorgonia.Must(gorgonia.Neg(gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.HadamardProd(logp, y))))))
}

// points draws points in a square; class 1 lies inside a ring.
func points(rng *rand.Rand) (xs, ys []float32) {
	for range batch {
		a, b := rng.Float32()*2-1, rng.Float32()*2-1
		xs = append(xs, a, b)
		if r := a*a + b*b; r > 0.2 && r < 0.7 {
			ys = append(ys, 0, 1)
		} else {
			ys = append(ys, 1, 0)
		}
	}
	return xs, ys
}

// must ends the program on an error, as gorgonia.Must does by a panic.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(batch, 2), gorgonia.WithName("x"))
	y := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(batch, classes), gorgonia.WithName("y"))
	logits, params := network(x)
	fmt.Println("tensors to train:", len(params))
	cost := loss(logits, y)

	m := must(qat.Prepare(g, qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}}}, logits))
	check(m.Map(&x, &y, &cost))
	params = m.Learnables()
	must(gorgonia.Grad(cost, params...))
	vm := must(m.Machine(cost))
	solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(0.01))
	rng := rand.New(rand.NewPCG(3, 4))
	var xs, ys []float32
	for step := range 1500 {
		xs, ys = points(rng)
		check(errors.Join(
			gorgonia.Let(x, tensor.New(tensor.WithShape(batch, 2), tensor.WithBacking(xs))),
			gorgonia.Let(y, tensor.New(tensor.WithShape(batch, classes), tensor.WithBacking(ys))),
			vm.RunAll(),
			solver.Step(gorgonia.NodesToValueGrads(params)),
			m.Step(),
		))
		if step%300 == 0 || step == 1499 {
			fmt.Printf("step %d: loss %v\n", step, cost.Value())
		}
		vm.Reset()
	}
	fmt.Printf("codes that differ: %d\n", must(m.Verify(must(m.Freeze()), xs)).Differing)
}
