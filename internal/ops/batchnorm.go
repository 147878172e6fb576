package ops

import (
	"fmt"
	"sync/atomic"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/nn"
	"gorgonia.org/gorgonia"
)

// BNState holds the running statistics of a batch normalisation. Graphs built on
// the same state share it; runs that train must not overlap.
type BNState struct {
	Mean, Variance []float32 // per channel; the slices may be shared with their owner
	Momentum       float64   // running += Momentum * (batch - running), as in PyTorch
	Eps            float64   // added to the variance
	frozen         atomic.Bool
}

// NewBNState returns statistics of an untrained layer: mean 0, variance 1.
// PyTorch's defaults are momentum 0.1 and eps 1e-5.
func NewBNState(channels int, momentum, eps float64) *BNState {
	st := &BNState{Mean: make([]float32, channels), Variance: make([]float32, channels), Momentum: momentum, Eps: eps}
	for i := range st.Variance {
		st.Variance[i] = 1
	}
	return st
}

// Freeze makes training graphs use the running statistics and leave them alone;
// false goes back to batch statistics. It takes effect at the next run.
func (st *BNState) Freeze(frozen bool) { st.frozen.Store(frozen) }

// Frozen reports what Freeze set.
func (st *BNState) Frozen() bool { return st.frozen.Load() }

// foldFloor is the smallest |gamma/sigma| that weights are folded with while batch
// statistics are live. The product is divided by it again there, so any value
// that is not 0 is right; this one keeps a channel whose gamma is 0 finite.
const foldFloor = 0x1p-10

// Fold returns gamma / sqrt(variance + eps), the factors by which batch normalisation
// scales the weights of the layer before it. gamma has one element a channel.
func (st *BNState) Fold(gamma []float64) []float64 {
	f := make([]float64, len(gamma))
	kern.BatchFold(f, make([]float64, len(gamma)), gamma, st.Variance, st.Eps, 0)
	return f
}

// BatchNorm normalises the channels (axis 1) of x, rank 2 or 4, and scales them by
// gamma and beta, both [C]. With training set it uses the batch's statistics and
// updates the running ones, the variance with the n/(n-1) correction; otherwise,
// or while st is frozen, it uses the running ones (Ioffe and Szegedy 2015).
func BatchNorm(x, gamma, beta *gorgonia.Node, st *BNState, training bool) (*gorgonia.Node, error) {
	if err := present("batch_norm", x, gamma, beta); err != nil {
		return nil, err
	}
	kind := nn.BatchNorm{Eps: st.Eps}
	c := []int{len(st.Mean)}
	shape := []int(x.Shape())
	if _, err := nn.OutShape(kind, [][]int{shape, gamma.Shape(), beta.Shape(), c, c}); err != nil {
		return nil, fmt.Errorf("ops: batch_norm: %w", err)
	}
	s := Spec{Label: "batch_norm", Kind: kind, Out: shape, State: st, Kernel: &finish{act: nn.Everything, norm: &norm{st: st, training: training}}}
	s.Again = func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
		if len(in) != 3 {
			return nil, fmt.Errorf("ops: batch_norm: %d operands, want 3", len(in))
		}
		return BatchNorm(in[0], in[1], in[2], st, training)
	}
	return New(s, x, gamma, beta)
}

func withStats[F nn.Float](st *BNState, in []nn.Tensor[F]) []nn.Tensor[F] {
	return append(append([]nn.Tensor[F]{}, in...), asTensor[F](st.Mean), asTensor[F](st.Variance))
}

func asTensor[F nn.Float](v []float32) nn.Tensor[F] {
	t := nn.Tensor[F]{Shape: []int{len(v)}, Data: make([]F, len(v))}
	for i, x := range v {
		t.Data[i] = F(x)
	}
	return t
}

// batchMoments computes mean and variance in two passes, in float64 and in
// row-major order, so that they depend on nothing but the data.
func batchMoments[F nn.Float](m *kern.BatchNorm, x nn.Tensor[F]) {
	nC := x.Shape[1]
	m.N = len(x.Data) / nC
	clear(m.Mean)
	clear(m.Variance)
	channels(x.Shape, func(c, lo, hi int) {
		for _, v := range x.Data[lo:hi] {
			m.Mean[c] += float64(v)
		}
	})
	for c := range m.Mean {
		m.Mean[c] /= float64(m.N)
	}
	channels(x.Shape, func(c, lo, hi int) {
		for _, v := range x.Data[lo:hi] {
			d := float64(v) - m.Mean[c]
			m.Variance[c] += float64(d * d)
		}
	})
	for c := range m.Variance {
		m.Variance[c] /= float64(m.N)
	}
}

// channels calls fn for each stretch [lo, hi) of elements of one channel (axis 1),
// in memory order.
func channels(shape []int, fn func(c, lo, hi int)) {
	inner := 1
	for _, d := range shape[2:] {
		inner *= d
	}
	at := 0
	for n := 0; n < shape[0]; n++ {
		for c := 0; c < shape[1]; c++ {
			fn(c, at, at+inner)
			at += inner
		}
	}
}
