package nn

import (
	"slices"

	"github.com/goqat/goqat/internal/kern"
	"github.com/goqat/goqat/internal/par"
)

// MatMul is a product of matrices, a [M,Kd] · b [Kd,N] after the transposes, over
// equal leading dimensions (or none: rank 2). An optional third input is a bias
// [N] added to every row.
type MatMul struct {
	TransA bool `json:"trans_a,omitempty"` // a is [Kd,M]
	TransB bool `json:"trans_b,omitempty"` // b is [N,Kd]
}

func (MatMul) Kind() string { return "matmul" }

func init() {
	register(family[MatMul]{
		kinds: []string{"matmul"}, inputs: [2]int{2, 3},
		shape: matMulShape,
		traits: func(o MatMul) Traits {
			w := &matWeights
			if o.TransB {
				w = &matWeightsB
			}
			return Traits{Quantized: true, DataOnly: true, TakesActivation: true, Weights: w, IgnoresOutput: true,
				OnlyForOther: [2]bool{true, true}}
		},
		batch: matMulBatch,
		f32:   matMulPasses[float32](), f64: matMulPasses[float64](),
	})
}

var (
	matWeights  = Weights{Rank: 2, Out: -1, In: -2, Channels: 1, Either: true}
	matWeightsB = Weights{Rank: 2, Out: -2, In: -1, Channels: 1, Either: true}
)

func matMulPasses[F Float]() passes[MatMul, F] {
	return passes[MatMul, F]{
		forward: func(o MatMul, out Tensor[F], in []Tensor[F]) error {
			matMulForward(o, out, in)
			return nil
		},
		backward: func(o MatMul, grads, in []Tensor[F], _, dout Tensor[F]) error {
			matMulBackward(o, grads, in, dout)
			return nil
		},
	}
}

func matMulBatch(o MatMul, g *Growth) (int, error) {
	r := len(g.In[0].Shape)
	// Positions in the untransposed product: r-2 is the row or the inner axis, r-1 the
	// inner axis or the column.
	turned := func(trans bool, p int) int {
		if trans && p >= r-2 {
			return 2*r - 3 - p
		}
		return p
	}
	pa, pb := turned(o.TransA, g.In[0].Axis), turned(o.TransB, g.In[1].Axis)
	switch {
	case pa == r-1: // inner axis of both
		g.Want[1] = turned(o.TransB, r-2)
		return NoAxis, nil
	case pb == r-2 && r >= 2:
		g.Want[0], g.Want[1] = turned(o.TransA, r-1), g.In[1].Axis
		return NoAxis, nil
	case pa == r-2 && pa >= 0: // rows
		return pa, nil
	case pb == r-1 && pb >= 0: // columns
		g.Want[0], g.Want[1] = NoAxis, g.In[1].Axis
		return pb, nil
	case pa >= 0:
		g.Want[1] = pa
		return pa, nil
	default:
		g.Want[0], g.Want[1] = pb, g.In[1].Axis
		return pb, nil
	}
}

// matDims returns the batch count and m, n, k of checked shapes.
func matDims(o MatMul, a, b []int) (batch, m, n, k, kb int) {
	r := len(a)
	m, k = a[r-2], a[r-1]
	if o.TransA {
		m, k = k, m
	}
	kb, n = b[r-2], b[r-1]
	if o.TransB {
		kb, n = n, kb
	}
	return product(a[:r-2]), m, n, k, kb
}

func matMulShape(o MatMul, in [][]int) ([]int, error) {
	a, b := in[0], in[1]
	if len(a) < 2 || len(a) != len(b) || !slices.Equal(a[:len(a)-2], b[:len(b)-2]) {
		return nil, shapeErr(o, "factors %v and %v must be matrices over the same leading dimensions", a, b)
	}
	_, m, n, k, kb := matDims(o, a, b)
	if k != kb {
		return nil, shapeErr(o, "factors %v and %v (transposed: %t, %t) contract %d with %d elements", a, b, o.TransA, o.TransB, k, kb)
	}
	if len(in) == 3 && !slices.Equal(in[2], []int{n}) {
		return nil, shapeErr(o, "bias has shape %v, want [%d]", in[2], n)
	}
	return append(slices.Clone(a[:len(a)-2]), m, n), nil
}

func matMulForward[F Float](o MatMul, out Tensor[F], in []Tensor[F]) {
	a, b := in[0], in[1]
	batch, m, n, k, _ := matDims(o, a.Shape, b.Shape)
	bias := biasOf(in)
	par.For(batch, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			c := out.Data[i*m*n:][:m*n]
			kern.Gemm(m, n, k, matA(o, a.Data[i*m*k:], m, k), matB(o, b.Data[i*k*n:], n, k), c, n, false)
			for r := 0; bias != nil && r < m; r++ {
				row := c[r*n:][:n]
				kern.Add(row, row, bias)
			}
		}
	})
}

// matA views the first factor as m×k, matB the second as k×n.
func matA[T any](o MatMul, data []T, m, k int) kern.Matrix[T] {
	if o.TransA {
		return kern.RowMajor(data, m, true)
	}
	return kern.RowMajor(data, k, false)
}

func matB[T any](o MatMul, data []T, n, k int) kern.Matrix[T] {
	if o.TransB {
		return kern.RowMajor(data, k, true)
	}
	return kern.RowMajor(data, n, false)
}

func matMulBackward[F Float](o MatMul, grads, in []Tensor[F], dout Tensor[F]) {
	a, b := in[0], in[1]
	batch, m, n, k, _ := matDims(o, a.Shape, b.Shape)
	par.For(batch, 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d := dout.Data[i*m*n:][:m*n]
			if g := grads[0].Data; g != nil {
				matGradA(o, g[i*m*k:][:m*k], b.Data[i*k*n:], d, m, n, k)
			}
			if g := grads[1].Data; g != nil {
				matGradB(o, g[i*k*n:][:k*n], a.Data[i*m*k:], d, m, n, k)
			}
		}
	})
	if len(grads) == 3 && grads[2].Data != nil {
		kern.ChannelSumTo(grads[2].Data, dout.Data, batch*m, n, 1)
	}
}

// matGradA is dout·bᵀ [m,k], stored as a is: its transpose is b·doutᵀ.
func matGradA[F Float](o MatMul, da, b, d []F, m, n, k int) {
	bv := matB(o, b, n, k)
	if o.TransA {
		kern.Gemm(k, m, n, bv, kern.RowMajor(d, n, true), da, m, false)
		return
	}
	bv.Row, bv.Col = bv.Col, bv.Row
	kern.Gemm(m, k, n, kern.RowMajor(d, n, false), bv, da, k, false)
}

// matGradB is aᵀ·dout [k,n], stored as b is: its transpose is doutᵀ·a.
func matGradB[F Float](o MatMul, db, a, d []F, m, n, k int) {
	av := matA(o, a, m, k)
	if o.TransB {
		kern.Gemm(n, k, m, kern.RowMajor(d, n, true), av, db, k, false)
		return
	}
	av.Row, av.Col = av.Col, av.Row
	kern.Gemm(k, n, m, av, kern.RowMajor(d, n, false), db, n, false)
}
