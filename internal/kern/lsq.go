package kern

// What is the gradient of a learned scale and zero point?

import "github.com/goqat/goqat/internal/par"

// LSQ writes the gradient of fake quantization with a learned step size and zero
// point: dx as [STE] does, and returns the sums
//
//	ds = Σ dy * ((x'-x)/scale inside the range, clamp(q)-zero_point outside)
//	dz = Σ dy * (0 inside, -scale outside)
//
// (Esser et al. 2020, equation 3; Bhalgat et al. 2020, equation 4), without the
// gradient factor. The sums are in float64: within each chunk of elemChunk elements,
// element i is added to lane i%8, the lanes are added as [laneTotal] says, and the
// chunks in order. dx may be dy. NaN counts as outside, at the lower limit.
func LSQ(dx, x, dy []float32, g Grid) (ds, dz float64) {
	if len(x) <= elemChunk {
		return lsq(dx, x, dy, g)
	}
	parts := make([][2]float64, (len(x)-1)/elemChunk+1)
	par.For(len(parts), 1, func(from, to int) {
		for i := from; i < to; i++ {
			lo, hi := i*elemChunk, min((i+1)*elemChunk, len(x))
			parts[i][0], parts[i][1] = lsq(dx[lo:hi], x[lo:hi], dy[lo:hi], g)
		}
	})
	for _, p := range parts {
		ds, dz = ds+p[0], dz+p[1]
	}
	return ds, dz
}

func lsq(dx, x, dy []float32, g Grid) (ds, dz float64) {
	lo, hi := g.limits()
	dx, dy = dx[:len(x)], dy[:len(x)]
	var l lanes
	for i := lsqFast(dx, x, dy, g, &l); i < len(x); i++ {
		lsqOne(&dx[i], &l.a[i%8], &l.b[i%8], x[i], dy[i], g.Scale, lo, hi)
	}
	return l.totals()
}

// lsqOne is the gradient of one element.
func lsqOne(dx *float32, ds, dz *float64, x, d, scale, lo, hi float32) {
	r := steps(x, scale, lo-1, hi+1)
	if r >= lo && r <= hi {
		*dx = d
		*ds += float64(float64(d) * (float64(r) - float64(x)/float64(scale)))
		return
	}
	*dx = 0
	*ds += float64(float64(d) * float64(min(max(r, lo), hi)))
	*dz -= float64(float64(d) * float64(scale))
}

// LSQRow is [LSQ] with element i on grid from+i of the row; it adds the terms of
// element i to ds[i] and dz[i].
func LSQRow(dx, x, dy []float32, r GridRow, from int, ds, dz []float64) {
	r = r.part(from, len(x))
	dx, dy, ds, dz = dx[:len(x)], dy[:len(x)], ds[:len(x)], dz[:len(x)]
	for i := lsqRowFast(dx, x, dy, r, ds, dz); i < len(x); i++ {
		lsqOne(&dx[i], &ds[i], &dz[i], x[i], dy[i], r.Scale[i], r.Lo[i], r.Hi[i])
	}
}
