// Graph quantizes a network written in plain Gorgonia, as an existing program
// would have it: nothing here comes from goqat until the line with qat.New.
//
//	go run ./examples/graph
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

// network is a multi-layer perceptron of stock ops.
func network() (g *gorgonia.ExprGraph, x, logits *gorgonia.Node) {
	g = gorgonia.NewGraph()
	rng := rand.New(rand.NewPCG(1, 2))
	param := func(name string, rows, cols int, scale float64) *gorgonia.Node {
		w := make([]float32, rows*cols)
		for i := range w {
			w[i] = float32(rng.NormFloat64() * scale)
		}
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(rows, cols), gorgonia.WithName(name),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(w))))
	}
	linear := func(name string, x *gorgonia.Node, in, out int) *gorgonia.Node {
		y := gorgonia.Must(gorgonia.Mul(x, param(name+".weight", in, out, 0.5)))
		return gorgonia.Must(gorgonia.BroadcastAdd(y, param(name+".bias", 1, out, 0.1), nil, []byte{0}))
	}
	x = gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(batch, 2), gorgonia.WithName("x"))
	h := gorgonia.Must(gorgonia.Rectify(linear("fc1", x, 2, hidden)))
	h = gorgonia.Must(gorgonia.Rectify(linear("fc2", h, hidden, hidden)))
	return g, x, linear("fc3", h, hidden, classes)
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
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func main() {
	g, x, logits := network()

	// Quantize it: 4-bit weights, 8-bit activations, trained with both in the loop.
	m := must(qat.Prepare(g, qconfig.Config{Global: &qconfig.Layer{Weights: qconfig.Tensor{Bits: 4}}}, logits))
	y := gorgonia.NewMatrix(m.Graph(), tensor.Float32, gorgonia.WithShape(batch, classes), gorgonia.WithName("y"))
	cost := loss(must(m.Node(logits)), y)
	must(gorgonia.Grad(cost, m.Learnables()...))
	vm := must(m.Machine(cost))
	solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(0.01))
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1500 {
		xs, ys := points(rng)
		err := errors.Join(
			gorgonia.Let(must(m.Node(x)), tensor.New(tensor.WithShape(batch, 2), tensor.WithBacking(xs))),
			gorgonia.Let(y, tensor.New(tensor.WithShape(batch, classes), tensor.WithBacking(ys))),
			vm.RunAll(),
			solver.Step(gorgonia.NodesToValueGrads(m.Learnables())),
			m.Step())
		vm.Reset()
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("loss of the last step:", cost.Value())

	// Freeze it: from here on there are only integers.
	fz := must(m.Freeze())
	xs, ys := points(rng) // new ones
	out := must(fz.Run(xs))
	right := 0
	for i := 0; i < len(ys); i += classes {
		if (out[0][i+1] > out[0][i]) == (ys[i+1] == 1) {
			right++
		}
	}
	v := must(m.Verify(fz, xs))
	fmt.Printf("frozen: %d of %d new points right; %d codes checked, %d differ from training\n", right, batch, v.Checked, v.Differing)
}
