//go:build amd64 && !noasm

package kern

// fnVector is the number of elements that the kernels of elementary functions take at once.
const fnVector = 16

// evalFast does all elements where f has a kernel, else none, and returns how many.
func evalFast(f Fn, dst, x []float32, p *fnSettings) int {
	if level < LevelAVX2 {
		return 0
	}
	wide := level >= LevelAVX512
	for at := 0; at < len(x); {
		n := min(len(x)-at, elemChunk)
		if whole := n &^ (fnVector - 1); whole > 0 {
			if !fnEval(f, &dst[at:][:whole][0], &x[at], whole, &p[0], wide) {
				return 0
			}
			at += whole
			continue
		}
		var in, out [fnVector]float32
		copy(in[:], x[at:])
		if !fnEval(f, &out[0], &in[0], fnVector, &p[0], wide) {
			return 0
		}
		at += copy(dst[at:len(x)], out[:])
	}
	return len(x)
}

// gradFast is evalFast for the gradient.
func gradFast(f Fn, dx, x, dy []float32, p *fnSettings) int {
	if level < LevelAVX2 {
		return 0
	}
	wide := level >= LevelAVX512
	for at := 0; at < len(x); {
		n := min(len(x)-at, elemChunk)
		if whole := n &^ (fnVector - 1); whole > 0 {
			if !fnGrad(f, &dx[at:][:whole][0], &x[at], &dy[at:][:whole][0], whole, &p[0], wide) {
				return 0
			}
			at += whole
			continue
		}
		var in, out, d [fnVector]float32
		copy(in[:], x[at:])
		copy(d[:], dy[at:])
		if !fnGrad(f, &out[0], &in[0], &d[0], fnVector, &p[0], wide) {
			return 0
		}
		at += copy(dx[at:len(x)], out[:])
	}
	return len(x)
}

// expSumFast adds all of x to the sums.
func expSumFast(dst, x []float32, shift float64, sums *[16]float64) bool {
	if level < LevelAVX2 {
		return false
	}
	run := func(dst, x *float32, n int, to *[16]float64) {
		if level >= LevelAVX512 {
			expSumAVX512(dst, x, n, shift, &to[0])
		} else {
			expSumAVX2(dst, x, n, shift, &to[0])
		}
	}
	for at := 0; at < len(x); {
		n := min(len(x)-at, elemChunk)
		if whole := n &^ 15; whole > 0 {
			var d *float32
			if dst != nil {
				d = &dst[at:][:whole][0]
			}
			run(d, &x[at], whole, sums)
			at += whole
			continue
		}
		// What is left: the exponentials land in lanes of their own.
		var in, out [16]float32
		var part [16]float64
		copy(in[:], x[at:])
		run(&out[0], &in[0], 16, &part)
		for i := range n {
			sums[i] += part[i]
		}
		if dst != nil {
			copy(dst[at:len(x)], out[:n])
		}
		at += n
	}
	return true
}
