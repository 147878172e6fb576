package kern

// How are tiles of a product computed in portable Go?

// dotTiles adds to acc (add) or writes to it the products of four packed rows and two panels
// of packed columns, of which the second may be nil: sums over k in ascending
// order. For float32 the sums are cut every KC steps; normal is what
// neverSubnormal says of the factors.
func dotTiles[F, P Float](acc *[2][tileRows][tileCols]F, a [][tileRows]P, b0, b1 [][tileCols]P, normal, add bool) {
	steps := chainSteps[F]()
	for k := 0; k < len(a); k += steps {
		var sum [2][tileRows][tileCols]F
		end := min(len(a), k+steps)
		var next [][tileCols]P
		if b1 != nil {
			next = b1[k:]
		}
		chainTiles(&sum, a[k:end], b0[k:], next, normal)
		if k == 0 && !add {
			*acc = sum
			continue
		}
		for t := range acc {
			for i := range acc[t] {
				acc[t][i][0] += sum[t][i][0]
				acc[t][i][1] += sum[t][i][1]
			}
		}
	}
}

// chainSteps is the length of a chain: KC, or for float64 no limit.
func chainSteps[F Float]() int {
	var f F
	if _, ok := any(f).(float32); ok {
		return KC
	}
	return int(^uint(0) >> 2)
}

// chainTiles writes chains, which start from +0, to sum.
func chainTiles[F, P Float](sum *[2][tileRows][tileCols]F, a [][tileRows]P, b0, b1 [][tileCols]P, normal bool) {
	s, ok := any(sum).(*[2][tileRows][tileCols]float32)
	if a32, fused := any(a).([][tileRows]float32); fused && ok {
		second := any(b1).([][tileCols]float32)
		if second == nil {
			second = any(b0).([][tileCols]float32)
		}
		fusedTile(s, a32, any(b0).([][tileCols]float32), second)
		return
	}
	x := any(a).([][tileRows]float64)
	for t, b := range [2][][tileCols]P{b0, b1} {
		y := any(b).([][tileCols]float64)
		switch {
		case y == nil:
		case !ok:
			chainTile64(&any(sum).(*[2][tileRows][tileCols]float64)[t], x, y)
		case !normal || !exactTile(&s[t], x, y):
			carefulTile(&s[t], x, y)
		}
	}
}

// chainTile64 writes sums of rounded products.
func chainTile64(acc *[tileRows][tileCols]float64, a [][tileRows]float64, b [][tileCols]float64) {
	b = b[:len(a)]
	var c00, c01, c10, c11, c20, c21, c30, c31 float64
	for i := range a {
		x, y := &a[i], &b[i]
		y0, y1 := y[0], y[1]
		v := x[0]
		c00 += float64(v * y0) // the conversions keep a compiler from fusing
		c01 += float64(v * y1)
		v = x[1]
		c10 += float64(v * y0)
		c11 += float64(v * y1)
		v = x[2]
		c20 += float64(v * y0)
		c21 += float64(v * y1)
		v = x[3]
		c30 += float64(v * y0)
		c31 += float64(v * y1)
	}
	acc[0] = [tileCols]float64{c00, c01}
	acc[1] = [tileCols]float64{c10, c11}
	acc[2] = [tileCols]float64{c20, c21}
	acc[3] = [tileCols]float64{c30, c31}
}

// loadTile reads the part of a tile that lies inside the m×n matrix c.
func loadTile[F Float](acc *[tileRows][tileCols]F, c []F, ldc, i0, j0, m, n int) {
	if j0 >= n {
		return
	}
	for i := range min(tileRows, m-i0) {
		copy(acc[i][:], c[(i0+i)*ldc+j0:][:min(tileCols, n-j0)])
	}
}

// storeTiles writes or adds the parts of two tiles side by side that lie inside the
// m×n matrix c.
func storeTiles[F Float](c []F, ldc, i0, j0, m, n int, acc *[2][tileRows][tileCols]F, add bool) {
	storeTile(c, ldc, i0, j0, m, n, &acc[0], add)
	if j0+tileCols < n {
		storeTile(c, ldc, i0, j0+tileCols, m, n, &acc[1], add)
	}
}

// storeTile writes or adds the part of a tile that lies inside the m×n matrix c.
func storeTile[F Float](c []F, ldc, i0, j0, m, n int, acc *[tileRows][tileCols]F, add bool) {
	rows, cols := min(tileRows, m-i0), min(tileCols, n-j0)
	for i := range rows {
		dst := c[(i0+i)*ldc+j0:][:cols]
		for j := range dst {
			if add {
				dst[j] += acc[i][j]
			} else {
				dst[j] = acc[i][j]
			}
		}
	}
}
