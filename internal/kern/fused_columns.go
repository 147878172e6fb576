package kern

// How are statistics taken over columns?

// statsColumns is ChannelStats for inner == 1: every element of a channel goes to lane
// 0, so the sums run over the images in order. It reads along the rows.
func statsColumns(st []Stats, x []float32, n, c int) {
	lo, hi, count := borrow[float32](c), borrow[float32](c), make([]int, c)
	defer giveBack(lo)
	defer giveBack(hi)
	for ch := range c {
		st[ch] = Stats{}
		(*lo)[ch], (*hi)[ch] = maxFloat32, -maxFloat32
	}
	nan := ColumnMinMax(*lo, *hi, count, x[:n*c])
	for i := range n {
		for ch, v := range x[i*c:][:c] {
			s, d := &st[ch], float64(v)
			s.Sum += d
			s.SumSq += float64(d * d)
			if nan && v != v {
				s.NaN = true
			}
		}
	}
	for ch := range c {
		s := &st[ch]
		s.Min, s.Max, s.Finite = (*lo)[ch], (*hi)[ch], count[ch]
	}
}

// maskedColumns is MaskedSums for inner == 1: images in order, which is what lane 0
// holds. It runs along the rows.
func maskedColumns(sums []Sums, dy, x []float32, n, c int, mask []uint8) {
	clear(sums)
	bytes := (c + 7) / 8
	for i := range n {
		for ch, v := range dy[i*c:][:c] {
			if mask != nil && mask[i*bytes+ch/8]>>(ch%8)&1 == 0 {
				continue
			}
			sums[ch].D += float64(v)
			if x != nil {
				sums[ch].DX += float64(float64(v) * float64(x[i*c+ch]))
			}
		}
	}
}
