package kern

// What is a batch normalisation, channel by channel?

//go:generate go -C _gen run . -set batchnorm -out ../batchnorm_amd64.s -stubs ../batchnorm_stubs_amd64.go

import (
	"math"
	"unsafe"
)

// BatchNorm is the algebra of a batch normalisation with the statistics of the batch
// (Ioffe and Szegedy 2015), or of one that is folded into the product before it: the
// product a has factors f too much, and c0 = a/f + bias is what is normalised. All of it
// is in float64, each step rounded; vectors have one element a channel. It is all but the
// passes over the tensor: [ChannelStats] or the like come before [BatchNormForward],
// [MaskedSums] before [BatchNormBackward].
//
// The slices are the caller's, who makes them of one length, that of all vectors here; a
// shorter one panics. [BatchNorm.BatchMoments] fills Mean and Variance.
type BatchNorm struct {
	N              int       // elements of a channel
	Eps            float64   // added to the variance
	Mean, Variance []float64 // of a; the variance divides by N
	Inv            []float64 // 1/sqrt(variance of c0 + eps); Forward writes it
}

// BatchVectors are the operands of one element a channel, or their gradients. F and Bias are
// nil unless it is folded, Bias without one: these count as 1 and 0. Gradients that are
// nil are not wanted.
type BatchVectors[F Float] struct{ F, Gamma, Beta, Bias []F }

// Running are statistics that move towards those of each batch, by Momentum of the way.
type Running struct {
	Mean, Variance []float32 // the caller's; BatchNormForward writes them
	Momentum       float64   // 0 to 1
}

// BatchMoments sets N, Mean and Variance from the sums of n elements a channel, which are
// float64 sums of exact squares: what cancels between them is of the order of 2^-53 of the
// squared mean.
func (o *BatchNorm) BatchMoments(st []Stats, n int) {
	o.N = n
	for c := batchMomentsFast(o.Mean, o.Variance, st, float64(n)); c < len(st); c++ {
		mean := st[c].Sum / float64(n)
		o.Mean[c] = mean
		o.Variance[c] = max(st[c].SumSq/float64(n)-float64(mean*mean), 0)
	}
}

// BatchNormForward writes the normalisation as a·k1 + k2,
//
//	c0: mean(a)/f + bias, variance(a)/f²    inv = 1/sqrt(variance(c0) + eps)
//	k1 = gamma·inv/f                        k2 = beta - mean(a)·k1
//
// and moves the running statistics towards those of c0, the variance with the N/(N-1)
// correction.
func BatchNormForward[F Float](o *BatchNorm, k1, k2 []F, v BatchVectors[F], run Running) {
	unbiased := float64(o.N) / float64(max(o.N-1, 1))
	for c := batchForwardFast(o, k1, k2, v, run, unbiased); c < len(o.Mean); c++ {
		f, bias := v.at(c)
		mean, variance := o.Mean[c]/f+bias, o.Variance[c]/float64(f*f)
		inv := 1 / math.Sqrt(variance+o.Eps)
		o.Inv[c] = inv
		k1[c] = F(float64(v.Gamma[c]) * inv / f)
		k2[c] = F(float64(v.Beta[c]) - float64(o.Mean[c]*float64(k1[c])))
		run.Mean[c] += float32(run.Momentum * (mean - float64(run.Mean[c])))
		run.Variance[c] += float32(run.Momentum * (float64(variance*unbiased) - float64(run.Variance[c])))
	}
}

// BatchNormBackward writes the gradients of the vectors, from the sums of a channel, and q
// and r of da = dy·k1 + a·q + r. With x̂ = (a - mean)·t and t = inv/f:
//
//	dgamma = Σ dy·x̂        dbeta = Σ dy        dbias = 0
//	da     = k1·(dy - dbeta/N - x̂·dgamma/N)
//	df     = -Σ da·a/f = -(gamma·inv/f²)·Σ dy·(a - mean)·eps·inv²
//
// The bias has no influence, since its mean is taken off; f has one only by way of eps.
func BatchNormBackward[F Float](o *BatchNorm, q, r []F, grad, v BatchVectors[F], sums []Sums) {
	clear(grad.Bias)
	n := float64(o.N)
	for c := batchBackwardFast(o, q, r, grad, v, sums); c < len(sums); c++ {
		f, _ := v.at(c)
		gamma, inv, d := float64(v.Gamma[c]), o.Inv[c], sums[c].D
		centred := sums[c].DX - float64(o.Mean[c]*d)
		t, k := inv/f, gamma*inv/f
		if grad.Gamma != nil {
			grad.Gamma[c] = F(centred * t)
		}
		if grad.Beta != nil {
			grad.Beta[c] = F(d)
		}
		if grad.F != nil {
			grad.F[c] = F(-gamma * inv / float64(f*f) * centred * (o.Eps * inv * inv))
		}
		q[c] = F(-k * t * t * centred / n)
		r[c] = F(-k*d/n - float64(float64(q[c])*o.Mean[c]))
	}
}

// at returns the factor and the bias of channel c.
func (v *BatchVectors[F]) at(c int) (f, bias float64) {
	f = 1
	if v.F != nil {
		f = float64(v.F[c])
	}
	if v.Bias != nil {
		bias = float64(v.Bias[c])
	}
	return f, bias
}

// BatchFold writes f = gamma/sqrt(variance + eps) and slope = df/dgamma. An |f| below floor
// is raised to it, with its sign, and stands still there: its slope is 0.
func BatchFold[F Float](f []F, slope []float64, gamma []F, variance []float32, eps, floor float64) {
	for c := batchFoldFast(f, slope, gamma, variance, eps, floor); c < len(f); c++ {
		root := math.Sqrt(float64(variance[c]) + eps)
		v := float64(gamma[c]) / root
		slope[c] = 1 / root
		if math.Abs(v) < floor {
			v, slope[c] = math.Copysign(floor, v), 0
		}
		f[c] = F(v)
	}
}

// batchBlock is the number of channels of one call of the assembly, as many as there are
// elements in what stands for a missing vector: enough that a call is paid, and 21 vectors of
// them fit the nearest cache.
const batchBlock = 256

var (
	batchOnes  = ones32(batchBlock)
	batchZeros [batchBlock]float32
)

func ones32(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// batchArgs are the arguments of the assembly, whole fours of channels; _gen knows their
// places.
type batchArgs struct {
	mean, variance, inv  unsafe.Pointer // *float64, from here
	sums                 unsafe.Pointer // *Sums
	f, gamma, beta, bias unsafe.Pointer // *float32, from here
	runMean, runVariance unsafe.Pointer
	k1, k2               unsafe.Pointer
	dgamma, dbeta, df    unsafe.Pointer
	q, r                 unsafe.Pointer

	n, eps, momentum, unbiased float64
}
