package ops

import (
	"fmt"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
)

// Random says what random numbers are drawn from.
type Random struct {
	Law  string // Uniform, Gaussian or Binomial
	A, B float64
}

// The laws of random numbers.
const (
	Uniform  = "uniform"  // on [A, B)
	Gaussian = "gaussian" // with mean A and standard deviation B
	Binomial = "binomial" // the number of hits of A trials, each with probability B
)

// Fill draws numbers.
func (r Random) Fill(out []float32, rng *rand.Rand) {
	for i := range out {
		var v float64
		switch r.Law {
		case Uniform:
			v = r.A + float64(rng.Float64()*(r.B-r.A))
		case Gaussian:
			v = r.A + float64(rng.NormFloat64()*r.B)
		default:
			for range int(r.A) {
				if rng.Float64() < r.B {
					v++
				}
			}
		}
		out[i] = float32(v)
	}
}

// Draw adds a node of random float32 numbers to a graph. Run number n of the op draws from
// (seed, n), so a training run repeats.
func Draw(g *gorgonia.ExprGraph, r Random, seed uint64, shape ...int) (*gorgonia.Node, error) {
	if r.Law != Uniform && r.Law != Gaussian && r.Law != Binomial {
		return nil, fmt.Errorf("ops: random: no law %q", r.Law)
	}
	// An operand that is not looked at: Gorgonia takes nodes without any for leaves.
	one := gorgonia.NewConstant(float32(1), gorgonia.WithName(fmt.Sprint("drawn ", nextID.Add(1))), gorgonia.In(g))
	return drawFrom(one, r, seed, shape)
}

func drawFrom(one *gorgonia.Node, r Random, seed uint64, shape []int) (*gorgonia.Node, error) {
	s := Spec{Label: "random", Out: append([]int{}, shape...), Diff: []bool{false}, Kernel: &draw{law: r, seed: seed}}
	s.Again = func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
		if len(in) != 1 {
			return nil, fmt.Errorf("ops: random: %d operands, want 1", len(in))
		}
		return drawFrom(in[0], r, seed, shape)
	}
	return New(s, one)
}

type draw struct {
	law  Random
	seed uint64
	run  uint64
}

func (d *draw) Forward(out Tensor, _ []Tensor) error {
	d.law.Fill(out.F32, rand.New(rand.NewPCG(d.seed, d.run)))
	d.run++
	return nil
}

func (d *draw) Backward([]Tensor, []Tensor, Tensor, Tensor) error { return nil }
