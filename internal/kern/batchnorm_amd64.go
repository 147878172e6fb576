//go:build amd64 && !noasm

package kern

// How are the kernels of batch normalisations called?

import "unsafe"

// batchMomentsFast and the others do a leading part of the channels, whole fours, and
// return how many.
func batchMomentsFast(mean, variance []float64, st []Stats, n float64) int {
	c := len(st) &^ 3
	if level < LevelAVX2 || c == 0 {
		return 0
	}
	batchMomentsAVX2(&mean[:c][0], &variance[:c][0], (*byte)(unsafe.Pointer(&st[0])), c, n)
	return c
}

func batchForwardFast[F Float](o *BatchNorm, k1, k2 []F, v BatchVectors[F], run Running, unbiased float64) int {
	a := batchArgs{eps: o.Eps, momentum: run.Momentum, unbiased: unbiased}
	return batchBlocks(len(o.Mean), float32s(k1) != nil, func(lo, hi int) {
		a.common(o, lo, hi)
		setVectors(&a, v, lo, hi)
		a.beta = part32(v.Beta, lo, hi, nil)
		a.bias = part32(v.Bias, lo, hi, batchZeros[:])
		a.k1, a.k2 = part32(k1, lo, hi, nil), part32(k2, lo, hi, nil)
		a.runMean, a.runVariance = part32(run.Mean, lo, hi, nil), part32(run.Variance, lo, hi, nil)
		batchForwardAVX2((*byte)(unsafe.Pointer(&a)), hi-lo)
	})
}

func batchBackwardFast[F Float](o *BatchNorm, q, r []F, grad, v BatchVectors[F], sums []Sums) int {
	a := batchArgs{eps: o.Eps, n: float64(o.N)}
	unwanted := borrow[float32](batchBlock)
	defer giveBack(unwanted)
	return batchBlocks(len(sums), float32s(q) != nil, func(lo, hi int) {
		a.common(o, lo, hi)
		setVectors(&a, v, lo, hi)
		a.sums = unsafe.Pointer(&sums[lo:hi][0])
		a.q, a.r = part32(q, lo, hi, nil), part32(r, lo, hi, nil)
		a.dgamma, a.dbeta, a.df = part32(grad.Gamma, lo, hi, *unwanted), part32(grad.Beta, lo, hi, *unwanted), part32(grad.F, lo, hi, *unwanted)
		batchBackwardAVX2((*byte)(unsafe.Pointer(&a)), hi-lo)
	})
}

func batchFoldFast[F Float](f []F, slope []float64, gamma []F, variance []float32, eps, floor float64) int {
	return batchBlocks(len(f), float32s(f) != nil, func(lo, hi int) {
		batchFoldAVX2(&float32s(f)[lo:hi][0], &slope[lo:hi][0], &float32s(gamma)[lo:hi][0], &variance[lo:hi][0], hi-lo, eps, floor)
	})
}

// batchBlocks calls fn for blocks of whole fours of c channels and returns how many there
// are in them; none unless there is assembly for their type.
func batchBlocks(c int, ok bool, fn func(lo, hi int)) int {
	if c &^= 3; !ok || level < LevelAVX2 {
		return 0
	}
	for lo := 0; lo < c; lo += batchBlock {
		fn(lo, min(lo+batchBlock, c))
	}
	return c
}

func (a *batchArgs) common(o *BatchNorm, lo, hi int) {
	a.mean, a.variance, a.inv = part64(o.Mean, lo, hi), part64(o.Variance, lo, hi), part64(o.Inv, lo, hi)
}

func setVectors[F Float](a *batchArgs, v BatchVectors[F], lo, hi int) {
	a.f, a.gamma = part32(v.F, lo, hi, batchOnes), part32(v.Gamma, lo, hi, nil)
}

// part32 is the place of elements lo to hi, or what stands for a missing vector.
func part32[F Float](x []F, lo, hi int, none []float32) unsafe.Pointer {
	if x == nil {
		return unsafe.Pointer(&none[:hi-lo][0])
	}
	return unsafe.Pointer(&float32s(x)[lo:hi][0])
}

func part64(x []float64, lo, hi int) unsafe.Pointer { return unsafe.Pointer(&x[lo:hi][0]) }

func laneTotalsFast(sums []float64, l []lanes) bool {
	if level < LevelAVX2 || len(l) == 0 {
		return false
	}
	for lo := 0; lo < len(l); lo += batchBlock {
		hi := min(lo+batchBlock, len(l))
		laneTotalsAVX2(&sums[2*lo : 2*hi][0], &l[lo].a[0], hi-lo)
	}
	return true
}
