//go:build amd64 && !noasm

package kern

// How are the kernels of sums, pools and activations called?

// float32s returns s as []float32 if that is its type.
func float32s[F Float](s []F) []float32 {
	x, _ := any(s).([]float32)
	return x
}

// vectors returns x as float32 and how many elements of it the assembly takes: none
// of other types.
func vectors[F Float](x []F) ([]float32, int) {
	s := float32s(x)
	return s, whole(len(s))
}

func binaryFast[F Float](op elemOp, dst, a, b []F) int {
	x, n := vectors(a)
	if n == 0 {
		return 0
	}
	d, y := &float32s(dst)[:n][0], &float32s(b)[:n][0]
	switch op {
	case opAdd:
		addAVX2(d, &x[0], y, n)
	case opSub:
		subAVX2(d, &x[0], y, n)
	case opDiv:
		divAVX2(d, &x[0], y, n)
	case opMin:
		smallerAVX2(d, &x[0], y, n)
	case opMax:
		largerAVX2(d, &x[0], y, n)
	default:
		mulAVX2(d, &x[0], y, n)
	}
	return n
}

func binaryOneFast[F Float](op elemOp, dst, a []F, b F) int {
	x, n := vectors(a)
	if n == 0 {
		return 0
	}
	d := &float32s(dst)[:n][0]
	switch op {
	case opAdd:
		addOneAVX2(d, &x[0], n, float32(b))
	case opSub:
		subOneAVX2(d, &x[0], n, float32(b))
	case opMul:
		mulOneAVX2(d, &x[0], n, float32(b))
	case opDiv:
		divOneAVX2(d, &x[0], n, float32(b))
	case opMin:
		smallerOneAVX2(d, &x[0], n, float32(b))
	case opMax:
		largerOneAVX2(d, &x[0], n, float32(b))
	case opOneDiv:
		oneDivAVX2(d, &x[0], n, float32(b))
	default:
		oneSubAVX2(d, &x[0], n, float32(b))
	}
	return n
}

func activateFast[F Float](dst, x []F, lo, hi F) int {
	s := float32s(x)
	f := newFinish(Clip{float32(lo), float32(hi)}, nil)
	if len(s) == 0 || !affineRowsFast(&f, float32s(dst), s, len(s), nil, nil, nil) {
		return 0
	}
	return len(s)
}

func activateBackFast[F Float](dx, x, dy []F, lo, hi F) int {
	s, n := vectors(x)
	if n > 0 {
		f := newFinish(Clip{float32(lo), float32(hi)}, nil)
		passAVX2(&float32s(dx)[:n][0], &s[0], &float32s(dy)[:n][0], n, &f.k.lo)
	}
	return n
}

func leakyFast[F Float](dst, x []F, alpha F) int {
	s, n := vectors(x)
	if n > 0 {
		leakyAVX2(&float32s(dst)[:n][0], &s[0], n, float32(alpha))
	}
	return n
}

func leakyBackFast[F Float](dx, x, dy []F, alpha F) int {
	s, n := vectors(x)
	if n > 0 {
		leakyBackAVX2(&float32s(dx)[:n][0], &s[0], &float32s(dy)[:n][0], n, float32(alpha))
	}
	return n
}

func adamFast(w, g, m, v []float32, f *AdamFactors) int {
	n := whole(len(w))
	if wide := n &^ 15; level >= LevelAVX512 && wide > 0 {
		adamAVX512(&w[0], &g[:wide][0], &m[:wide][0], &v[:wide][0], wide, &f.C1)
		return wide
	}
	if n > 0 {
		adamAVX2(&w[0], &g[:n][0], &m[:n][0], &v[:n][0], n, &f.C1)
	}
	return n
}

func sgdFast(w, g, v []float32, lr, mom, wd float32, nesterov bool) int {
	n := whole(len(w))
	switch {
	case n == 0:
	case nesterov:
		sgdNesterovAVX2(&w[0], &g[:n][0], &v[:n][0], n, lr, mom, wd)
	default:
		sgdAVX2(&w[0], &g[:n][0], &v[:n][0], n, lr, mom, wd)
	}
	return n
}

// maxPool2Fast and maxPool2BackFast do all rows of outputs of one plane, or nothing.
func maxPool2Fast[F Float](p *Pool, dst, x []F) bool {
	d, in := float32s(dst), float32s(x)
	if level < LevelAVX2 || d == nil {
		return false
	}
	p.poolRows(func(oy, rows, spill int) {
		maxPool2AVX2(&d[oy*p.OW:][:rows*p.OW][0], &in[2*oy*p.W:][:2*rows*p.W][0], p.OW, rows, p.W, spill)
	})
	return true
}

// poolRows calls fn for rows of outputs that one call takes. Spill is 1 for rows behind
// whose last element, in both planes, at least a vector more belongs to the plane.
func (p *Pool) poolRows(fn func(oy, rows, spill int)) {
	step := max(1, elemChunk/(2*p.W))
	safe := 0
	for safe < p.OH && (2*safe+1)*p.W+16 <= p.H*p.W && safe*p.OW+8 <= p.OH*p.OW {
		safe++
	}
	for oy := 0; oy < p.OH; {
		rows, spill := min(step, p.OH-oy), 0
		if oy < safe {
			rows, spill = min(step, safe-oy), 1
		}
		fn(oy, rows, spill)
		oy += rows
	}
}

func maxPool2BackFast[F Float](p *Pool, dx, x, out, dout []F) bool {
	d, in, o, do := float32s(dx), float32s(x), float32s(out), float32s(dout)
	if level < LevelAVX2 || d == nil {
		return false
	}
	p.poolRows(func(oy, rows, spill int) {
		at, from := oy*p.OW, 2*oy*p.W
		maxPool2BackAVX2(&d[from:][:2*rows*p.W][0], &in[from:][:2*rows*p.W][0], &o[at:][:rows*p.OW][0], &do[at:][:rows*p.OW][0], p.OW, rows, p.W, spill)
	})
	return true
}

func actPool2Fast(f *finish, p *Pool, out, x []float32, picks []uint8) bool {
	if level < LevelAVX2 || f.odd || f.grid && level < LevelAVX512 {
		return false
	}
	run := finishPool2AVX2
	if f.grid {
		run = finishPool2QuantAVX512
	}
	p.poolRows(func(oy, rows, spill int) {
		var bits *uint8
		if picks != nil {
			bits = &picks[oy*p.pickRow():][:rows*p.pickRow()][0]
		}
		run(&out[oy*p.OW:][:rows*p.OW][0], &x[2*oy*p.W:][:2*rows*p.W][0], p.OW, rows, p.W, spill, &f.k.lo, bits)
	})
	return true
}

func pickPool2Fast(p *Pool, dx, dout []float32, picks []uint8) bool {
	if level < LevelAVX2 {
		return false
	}
	p.poolRows(func(oy, rows, spill int) {
		pickPool2AVX2(&dx[2*oy*p.W:][:2*rows*p.W][0], &dout[oy*p.OW:][:rows*p.OW][0], p.OW, rows, p.W, spill, &picks[oy*p.pickRow():][:rows*p.pickRow()][0])
	})
	return true
}

func maxIntoFast[F Float](dst, x []F) int {
	d, n := vectors(dst)
	if n > 0 {
		maxAVX2(&d[0], &float32s(x)[:n][0], n)
	}
	return n
}
