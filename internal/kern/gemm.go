package kern

// What is a float matrix product, and in what order are its sums?

import "github.com/goqat/goqat/internal/par"

// The float product works on tiles of tileRows rows by tileCols columns: eight
// running sums, two column values and one row value are what fits the sixteen
// vector registers of amd64 without spilling. Two tiles side by side share their
// rows, for processors with more registers.
const (
	tileRows = 4
	tileCols = 2
)

// Blocks of the output that one goroutine computes at a time. They split only
// outputs, never a sum, so they do not change results.
const (
	blockTiles  = 4  // row tiles
	blockPanels = 32 // column panels
)

// Matrix is a view of a row-major matrix: element (i, j) is Data[i*Row+j*Col].
// A transpose swaps Row and Col.
type Matrix[T any] struct {
	Data     []T
	Row, Col int
}

// RowMajor views data with leading dimension ld, as its transpose when trans is set.
func RowMajor[T any](data []T, ld int, trans bool) Matrix[T] {
	if trans {
		return Matrix[T]{data, 1, ld}
	}
	return Matrix[T]{data, ld, 1}
}

// Gemm writes A·B, or adds it to C when add is set. A is m×k, B is k×n, C is
// m×n row-major with leading dimension ldc. C must not overlap A or B; k may be 0.
//
// The order of summation is fixed, whatever m, n and the number of goroutines.
// For float32 every element is a chain of fused multiply-adds over k in ascending
// order that starts from +0 and is cut every KC steps; the chains are added
// to C, or the later ones to the first, in order. For float64 it is one
// sum of rounded products.
func Gemm[F Float](m, n, k int, a, b Matrix[F], c []F, ldc int, add bool) {
	if c32, ok := any(c).([]float32); ok && hasTile(tileFloat) && m > 0 && n > 0 && k > 0 {
		gemmFast(m, n, k, any(a).(Matrix[float32]), any(b).(Matrix[float32]), c32, ldc, add)
		return
	}
	gemmGo(m, n, k, a, b, c, ldc, add)
}

// gemmGo is Gemm in portable Go, the definition of its results.
func gemmGo[F Float](m, n, k int, a, b Matrix[F], c []F, ldc int, add bool) {
	if emulated[F]() {
		gemmPacked[F, float64](m, n, k, a, b, c, ldc, add)
	} else {
		gemmPacked[F, F](m, n, k, a, b, c, ldc, add)
	}
}

// gemmPacked is gemmGo with the factors packed as P.
func gemmPacked[F, P Float](m, n, k int, a, b Matrix[F], c []F, ldc int, add bool) {
	tiles, panels := ceilDiv(m, tileRows), ceilDiv(n, tileCols)
	ap, bp := borrow[[tileRows]P](tiles*k), borrow[[tileCols]P](panels*k)
	defer giveBack(ap)
	defer giveBack(bp)
	exps := borrow[int](tiles + panels)
	defer giveBack(exps)
	pa, pb := *ap, *bp
	ea, eb := (*exps)[:tiles], (*exps)[tiles:]
	grain := max(1, packGrain/max(k, 1))
	par.For(tiles, grain, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			packRows(pa[t*k:][:k], a, t*tileRows, m)
			ea[t] = lowestPacked[P](pa[t*k:][:k])
		}
	})
	par.For(panels, grain, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			packCols(pb[p*k:][:k], b, p*tileCols, n)
			eb[p] = lowestPacked[P](pb[p*k:][:k])
		}
	})
	rowBlocks, colBlocks := ceilDiv(tiles, blockTiles), ceilDiv(panels, blockPanels)
	par.For(rowBlocks*colBlocks, max(1, gemmGrain/max(1, k*blockTiles*blockPanels*tileRows*tileCols)), func(lo, hi int) {
		for u := lo; u < hi; u++ {
			t0, p0 := u/colBlocks*blockTiles, u%colBlocks*blockPanels
			for t := t0; t < min(t0+blockTiles, tiles); t++ {
				for p := p0; p < min(p0+blockPanels, panels); p += 2 {
					var acc [2][tileRows][tileCols]F
					b0, b1, low := pb[p*k:][:k], [][tileCols]P(nil), eb[p]
					if p+1 < panels {
						b1, low = pb[(p+1)*k:][:k], min(low, eb[p+1])
					}
					if add {
						loadTile(&acc[0], c, ldc, t*tileRows, p*tileCols, m, n)
						loadTile(&acc[1], c, ldc, t*tileRows, (p+1)*tileCols, m, n)
					}
					dotTiles(&acc, pa[t*k:][:k], b0, b1, neverSubnormal(ea[t], low), add)
					storeTiles(c, ldc, t*tileRows, p*tileCols, m, n, &acc, false)
				}
			}
		}
	})
}

const (
	packGrain = 8 << 10  // tile rows that are worth a goroutine when packing
	gemmGrain = 64 << 10 // products that are worth a goroutine
)

// packRows gathers rows i0 to i0+3 of an m-row matrix, k-major; rows past m are 0.
func packRows[P, F Float](dst [][tileRows]P, a Matrix[F], i0, m int) {
	if len(dst) == 0 {
		return
	}
	for r := range tileRows {
		if i0+r >= m {
			for k := range dst {
				dst[k][r] = 0
			}
			continue
		}
		src, at := a.Data[(i0+r)*a.Row:], 0
		for k := range dst {
			dst[k][r] = P(src[at])
			at += a.Col
		}
	}
}

// packCols gathers columns j0 and j0+1 of an n-column matrix, k-major.
func packCols[P, F Float](dst [][tileCols]P, b Matrix[F], j0, n int) {
	if len(dst) == 0 {
		return
	}
	if b.Col == 1 && j0+tileCols <= n { // both columns at once share a cache line
		src, at := b.Data[j0:], 0
		for k := range dst {
			dst[k] = [tileCols]P{P(src[at]), P(src[at+1])}
			at += b.Row
		}
		return
	}
	for c := range tileCols {
		if j0+c >= n {
			for k := range dst {
				dst[k][c] = 0
			}
			continue
		}
		src, at := b.Data[(j0+c)*b.Col:], 0
		for k := range dst {
			dst[k][c] = P(src[at])
			at += b.Row
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
