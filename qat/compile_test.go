package qat

import (
	"fmt"
	"testing"

	"github.com/goqat/goqat/qat/qconfig"
	"gorgonia.org/gorgonia"
)

// deep is a stock network of many layers: more than 2,000 nodes.
func deep() (g *gorgonia.ExprGraph, y *gorgonia.Node) {
	const layers = 160
	g = gorgonia.NewGraph()
	y = leaf(g, "x", 2, 4)
	for i := range layers {
		h := batchNorm(fmt.Sprint("bn", i), fc(fmt.Sprint("fc", i), y, 4))
		y = must(gorgonia.Add(relu(h), y))
	}
	return g, y
}

// BenchmarkCompile prepares a network of more than 2,000 nodes, adds gradients and
// makes a machine. Time that grows with the square of the size shows here.
func BenchmarkCompile(b *testing.B) {
	for range b.N {
		g, y := deep()
		b.ReportMetric(float64(len(g.AllNodes())), "nodes-in")
		p, err := Prepare(g, qconfig.Config{}, y)
		if err != nil {
			b.Fatal(err)
		}
		cost := squares(p.OutputNodes())
		if _, err := gorgonia.Grad(cost, p.Learnables()...); err != nil {
			b.Fatal(err)
		}
		if _, err := p.Machine(cost); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(p.Graph().AllNodes())), "nodes-out")
	}
}
