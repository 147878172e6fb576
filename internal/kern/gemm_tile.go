package kern

// dotTile writes the products of four packed rows and two packed columns to acc:
// sums over k in ascending order. For float32 the sums are cut every KC steps.
func dotTile[F Float](acc *[tileRows][tileCols]F, a [][tileRows]F, b [][tileCols]F) {
	*acc = [tileRows][tileCols]F{}
	first := min(len(a), chainSteps[F]())
	chainTile(acc, a[:first], b)
	if first < len(a) {
		dotTileAdd(acc, a[first:], b[first:])
	}
}

// dotTileAdd adds the products to acc, chain by chain.
func dotTileAdd[F Float](acc *[tileRows][tileCols]F, a [][tileRows]F, b [][tileCols]F) {
	for k := 0; k < len(a); k += chainSteps[F]() {
		var sum [tileRows][tileCols]F
		end := min(len(a), k+chainSteps[F]())
		chainTile(&sum, a[k:end], b[k:])
		for i := range acc {
			acc[i][0] += sum[i][0]
			acc[i][1] += sum[i][1]
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

// chainTile continues the sums in acc.
func chainTile[F Float](acc *[tileRows][tileCols]F, a [][tileRows]F, b [][tileCols]F) {
	if s, ok := any(acc).(*[tileRows][tileCols]float32); ok {
		chainTile32(s, any(a).([][tileRows]float32), any(b).([][tileCols]float32))
		return
	}
	b = b[:len(a)]
	c00, c01 := acc[0][0], acc[0][1]
	c10, c11 := acc[1][0], acc[1][1]
	c20, c21 := acc[2][0], acc[2][1]
	c30, c31 := acc[3][0], acc[3][1]
	for i := range a {
		x, y := &a[i], &b[i]
		y0, y1 := y[0], y[1]
		v := x[0]
		c00 += F(v * y0) // the conversions keep a compiler from fusing
		c01 += F(v * y1)
		v = x[1]
		c10 += F(v * y0)
		c11 += F(v * y1)
		v = x[2]
		c20 += F(v * y0)
		c21 += F(v * y1)
		v = x[3]
		c30 += F(v * y0)
		c31 += F(v * y1)
	}
	acc[0] = [tileCols]F{c00, c01}
	acc[1] = [tileCols]F{c10, c11}
	acc[2] = [tileCols]F{c20, c21}
	acc[3] = [tileCols]F{c30, c31}
}

// chainTile32 continues chains of fused multiply-adds, two rows at a time: more
// sums and their checks do not fit the registers.
func chainTile32(acc *[tileRows][tileCols]float32, a [][tileRows]float32, b [][tileCols]float32) {
	for row := 0; row < tileRows; row += 2 {
		chainRows32((*[2][tileCols]float32)(acc[row:]), a, b, row&(tileRows-2))
	}
}

// chainRows32 is fma32 four times a step, spelled out because the compiler would
// not inline it.
func chainRows32(acc *[2][tileCols]float32, a [][tileRows]float32, b [][tileCols]float32, row int) {
	b = b[:len(a)]
	c00, c01 := acc[0][0], acc[0][1]
	c10, c11 := acc[1][0], acc[1][1]
	for i := range a {
		x, y := (*[2]float32)(a[i][row:]), &b[i]
		y0, y1 := float64(y[0]), float64(y[1])
		v := float64(x[0])
		s00, s01 := v*y0+float64(c00), v*y1+float64(c01)
		v = float64(x[1])
		s10, s11 := v*y0+float64(c10), v*y1+float64(c11)
		if roundsOnce(s00) && roundsOnce(s01) && roundsOnce(s10) && roundsOnce(s11) {
			c00, c01, c10, c11 = float32(s00), float32(s01), float32(s10), float32(s11)
			continue
		}
		c00, c01 = fma32(x[0], y[0], c00), fma32(x[0], y[1], c01)
		c10, c11 = fma32(x[1], y[0], c10), fma32(x[1], y[1], c11)
	}
	acc[0] = [tileCols]float32{c00, c01}
	acc[1] = [tileCols]float32{c10, c11}
}

// loadTile reads the part of a tile that lies inside the m×n matrix c.
func loadTile[F Float](acc *[tileRows][tileCols]F, c []F, ldc, i0, j0, m, n int) {
	for i := range min(tileRows, m-i0) {
		copy(acc[i][:], c[(i0+i)*ldc+j0:][:min(tileCols, n-j0)])
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
