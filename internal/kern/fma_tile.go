package kern

// Which loops may a compiler fuse?

// The loops here are written so that a compiler may fuse each product with the sum
// it goes to, as those for arm64, ppc64le, riscv64 and s390x do: one instruction,
// rounded once. The language allows that but does not promise it, so these very
// functions are tried before they are used (see fusesAll); they must not be inlined,
// lest what runs was compiled apart from what was tried.

// fusedTile writes the chains of two tiles side by side to acc: sixteen sums, which
// the registers of these processors hold together with eight factors.
//
//go:noinline
func fusedTile(acc *[2][tileRows][tileCols]float32, a [][tileRows]float32, b0, b1 [][tileCols]float32) {
	b0, b1 = b0[:len(a)], b1[:len(a)]
	var c00, c01, c02, c03, c10, c11, c12, c13 float32
	var c20, c21, c22, c23, c30, c31, c32, c33 float32
	for i := range a {
		x, y, z := &a[i], &b0[i], &b1[i]
		y0, y1, y2, y3 := y[0], y[1], z[0], z[1]
		v := x[0]
		c00 += v * y0
		c01 += v * y1
		c02 += v * y2
		c03 += v * y3
		v = x[1]
		c10 += v * y0
		c11 += v * y1
		c12 += v * y2
		c13 += v * y3
		v = x[2]
		c20 += v * y0
		c21 += v * y1
		c22 += v * y2
		c23 += v * y3
		v = x[3]
		c30 += v * y0
		c31 += v * y1
		c32 += v * y2
		c33 += v * y3
	}
	acc[0] = [tileRows][tileCols]float32{{c00, c01}, {c10, c11}, {c20, c21}, {c30, c31}}
	acc[1] = [tileRows][tileCols]float32{{c02, c03}, {c12, c13}, {c22, c23}, {c32, c33}}
}

// fusedRun writes the sums of the pixels of a run to s.
//
//go:noinline
func fusedRun(s *[runPixels]float32, r *pixelRun, img, w []float32) {
	w = w[:len(r.off)]
	var buf [runPixels]float32
	var c0, c1, c2, c3, c4, c5, c6, c7 float32
	for k, o := range r.off {
		x, v := elements(r, img, o, &buf), w[k]
		c0 += v * x[0]
		c1 += v * x[1]
		c2 += v * x[2]
		c3 += v * x[3]
		c4 += v * x[4]
		c5 += v * x[5]
		c6 += v * x[6]
		c7 += v * x[7]
	}
	*s = [runPixels]float32{c0, c1, c2, c3, c4, c5, c6, c7}
}

// fusedLanes writes the chains of sixteen lanes of d·x to s.
//
//go:noinline
func fusedLanes(s *[vecLanes]float32, d, x []float32) {
	var c0, c1, c2, c3, c4, c5, c6, c7 float32
	var c8, c9, c10, c11, c12, c13, c14, c15 float32
	for i := 0; i < len(d); i += vecLanes {
		e, f := (*[vecLanes]float32)(d[i:]), (*[vecLanes]float32)(x[i:])
		c0 += e[0] * f[0]
		c1 += e[1] * f[1]
		c2 += e[2] * f[2]
		c3 += e[3] * f[3]
		c4 += e[4] * f[4]
		c5 += e[5] * f[5]
		c6 += e[6] * f[6]
		c7 += e[7] * f[7]
		c8 += e[8] * f[8]
		c9 += e[9] * f[9]
		c10 += e[10] * f[10]
		c11 += e[11] * f[11]
		c12 += e[12] * f[12]
		c13 += e[13] * f[13]
		c14 += e[14] * f[14]
		c15 += e[15] * f[15]
	}
	*s = [vecLanes]float32{c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15}
}
