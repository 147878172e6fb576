package ops

import (
	"fmt"
	"math/rand/v2"

	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// Dropout drops each element with probability p, 0 <= p < 1, and scales the others
// by 1/(1-p) (Srivastava et al. 2014). Run number r of the op draws its mask from
// (seed, r), so a training run repeats. Without training it passes x on.
func Dropout(x *gorgonia.Node, p float64, seed uint64, training bool) (*gorgonia.Node, error) {
	if !(p >= 0 && p < 1) {
		return nil, fmt.Errorf("ops: dropout: probability %v, want 0 <= p < 1", p)
	}
	if err := present("dropout", x); err != nil {
		return nil, err
	}
	if !training {
		return Apply(nn.Dropout{P: p}, x)
	}
	s := Spec{Label: "dropout", Kind: nn.Dropout{P: p}, Out: x.Shape(), Kernel: &dropout{p: p, seed: seed}}
	s.Again = func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
		if len(in) != 1 {
			return nil, fmt.Errorf("ops: dropout: %d operands, want 1", len(in))
		}
		return Dropout(in[0], p, seed, training)
	}
	return New(s, x)
}

type dropout struct {
	p    float64
	seed uint64
	run  uint64
	keep []bool
}

func (d *dropout) Forward(out Tensor, in []Tensor) error {
	d.keep = sized(d.keep, max(len(out.F32), len(out.F64)))
	rng := rand.New(rand.NewPCG(d.seed, d.run))
	d.run++
	for i := range d.keep {
		d.keep[i] = rng.Float64() >= d.p
	}
	d.mask(out, in[0])
	return nil
}

func (d *dropout) Backward(grads, _ []Tensor, _, dout Tensor) error {
	d.mask(grads[0], dout)
	return nil
}

func (d *dropout) mask(dst, src Tensor) {
	if src.F64 != nil {
		masked(dst.F64, src.F64, d.keep, 1/(1-d.p))
	} else {
		masked(dst.F32, src.F32, d.keep, float32(1/(1-d.p)))
	}
}

func masked[F nn.Float](dst, src []F, keep []bool, scale F) {
	for i, v := range src {
		if keep[i] {
			dst[i] = v * scale
		} else {
			dst[i] = 0
		}
	}
}

// DropoutRuns returns the counter of runs of a training dropout node or a random one, which
// with the seed decides what it draws next: what a checkpoint must keep. It is nil for other
// nodes.
func DropoutRuns(n *gorgonia.Node) *uint64 {
	if op, ok := n.Op().(*Op); ok {
		switch k := op.k.(type) {
		case *dropout:
			return &k.run
		case *draw:
			return &k.run
		}
	}
	return nil
}
