package kern

// How are statistics taken over columns?

// statsColumns is ChannelStats for inner == 1: every element of a channel goes to lane
// 0, so the sums run over the images in order. It reads along the rows.
func statsColumns(st []Stats, x []float32, n, c int) {
	lo, hi, count, both := borrow[float32](c), borrow[float32](c), borrow[int](c), borrow[float64](2*c)
	defer giveBack(lo)
	defer giveBack(hi)
	defer giveBack(count)
	defer giveBack(both)
	for ch := range c {
		(*lo)[ch], (*hi)[ch], (*count)[ch] = maxFloat32, -maxFloat32, 0
	}
	nan := ColumnMinMax(*lo, *hi, *count, x[:n*c])
	clear(*both)
	sums, squares := (*both)[:c], (*both)[c:]
	for i := range n {
		row := x[i*c:][:c]
		AddTo64(sums, row)
		addProducts(squares, row, row)
	}
	for ch := range c {
		st[ch] = Stats{Sum: sums[ch], SumSq: squares[ch], Min: (*lo)[ch], Max: (*hi)[ch], Finite: (*count)[ch]}
	}
	for i := 0; nan && i < n*c; i++ {
		if x[i] != x[i] {
			st[i%c].NaN = true
		}
	}
}

// maskedColumns is MaskedSums for inner == 1: images in order, which is what lane 0
// holds. It runs along the rows; what is masked counts as 0.
func maskedColumns(sums []Sums, dy, x []float32, n, c int, mask []uint8) {
	both, room := borrow[float64](2*c), borrow[float32](2*c)
	defer giveBack(both)
	defer giveBack(room)
	clear(*both)
	d, dx := (*both)[:c], (*both)[c:]
	bytes := (c + 7) / 8
	pick := func(to, row []float32, i int) []float32 {
		if mask == nil {
			return row
		}
		maskScaleRows(to, row, c, mask[i*bytes:][:bytes], nil)
		return to
	}
	for i := range n {
		row := pick((*room)[:c], dy[i*c:][:c], i)
		AddTo64(d, row)
		if x != nil {
			addProducts(dx, row, pick((*room)[c:], x[i*c:][:c], i))
		}
	}
	for ch := range sums[:c] {
		sums[ch] = Sums{d[ch], dx[ch]}
	}
}

// addProducts adds a·b to sums, each product exact and each sum rounded.
func addProducts(sums []float64, a, b []float32) {
	a, b = a[:len(sums)], b[:len(sums)]
	for i := addProductsFast(sums, a, b); i < len(sums); i++ {
		sums[i] += float64(float64(a[i]) * float64(b[i]))
	}
}
