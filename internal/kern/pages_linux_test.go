package kern

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"
)

// pageRoom gives each buffer pages of its own between pages that nobody may touch:
// it ends where its last page ends or begins where its first page begins. A kernel
// that reads or writes one element too far ends the process.
type pageRoom struct {
	t        *testing.T
	atFront  bool
	mappings [][]byte
}

func (p *pageRoom) place(bytes int) unsafe.Pointer {
	page := syscall.Getpagesize()
	inside := ceilDiv(bytes, page) * page
	all, err := syscall.Mmap(-1, 0, inside+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mappings = append(p.mappings, all)
	for _, outside := range [][]byte{all[:page], all[page+inside:]} {
		if err := syscall.Mprotect(outside, syscall.PROT_NONE); err != nil {
			p.t.Fatal(err)
		}
	}
	if p.atFront {
		return unsafe.Pointer(&all[page])
	}
	return unsafe.Pointer(&all[page+inside-bytes])
}

func (p *pageRoom) clear() {
	for _, m := range p.mappings {
		if err := syscall.Munmap(m); err != nil {
			p.t.Fatal(err)
		}
	}
	p.mappings = p.mappings[:0]
}

// onPages runs fn with buffers at both ends of their pages.
func onPages(t *testing.T, fn func(t *testing.T)) {
	for _, atFront := range []bool{false, true} {
		p := &pageRoom{t: t, atFront: atFront}
		place = p.place
		func() {
			defer func() { place = nil }()
			fn(t)
		}()
		p.clear()
	}
}

func TestPagesElementwise(t *testing.T) {
	for name := range elemTrials {
		for n := 1; n < 300; n += 1 + n/35*7 {
			onPages(t, func(t *testing.T) {
				compareLevels(t, name, n, 1+n%5, uint64(n), nil)
				compareLevels(t, name, 1, n, uint64(n), nil)
			})
		}
	}
}

func TestPagesGemm(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(40, 1))
		for i := range 120 {
			onPages(t, func(t *testing.T) {
				m, n, k := 1+r.IntN(40), 1+r.IntN(80), 1+r.IntN(40)
				if i%10 == 0 {
					k += 500
				}
				ta, tb := i&1 != 0, i&2 != 0
				rows := func(rows, cols int, trans bool) (x []float32, ld int) {
					if trans {
						rows, cols = cols, rows
					}
					ld = cols + r.IntN(3)
					return randoms[float32](r, (rows-1)*ld+cols), ld
				}
				a, lda := rows(m, k, ta)
				b, ldb := rows(k, n, tb)
				c, ldc := rows(m, n, false)
				av, bv := RowMajor(a, lda, ta), RowMajor(b, ldb, tb)
				want := append([]float32(nil), c...)
				gemmReference(m, n, k, av, bv, want, ldc, i&4 != 0)
				Gemm(m, n, k, av, bv, c, ldc, i&4 != 0)
				sameBits(t, "product", c, want)
			})
		}
	})
}

func TestPagesConv(t *testing.T) {
	eachConvLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(41, 1))
		for i, e := range append(convCases, fastCases...) {
			onPages(t, func(t *testing.T) { checkConvFast(t, &e.c, uint64(i)) })
		}
		random := 100
		if testing.Short() { // under the race detector they take thirty times as long
			random = 10
		}
		for i := range random {
			if c, ok := randomConv(r.IntN); ok {
				onPages(t, func(t *testing.T) { checkConvFast(t, &c, uint64(i)) })
			}
		}
	})
}

func TestPagesInt(t *testing.T) {
	r := rand.New(rand.NewPCG(42, 1))
	for i, e := range convCases {
		for format := range intFormats {
			onPages(t, func(t *testing.T) { checkIntConvLevels(t, uint64(i), e.c, format%(min(e.c.cg(), 3)+1), format) })
		}
	}
	for i := range 100 {
		m, n, k := 1+r.IntN(20), 1+r.IntN(70), 1+r.IntN(100)
		if i%10 == 0 {
			k += 500
		}
		onPages(t, func(t *testing.T) {
			checkIntMatLevels(t, uint64(i), m, n, k, i%3*min(k, 16), i%len(intFormats), i%4 == 1, i%2 == 0)
		})
	}
	eachIntLevel(t, func(Level) {
		for n := 1; n < 140; n += 3 {
			onPages(t, func(t *testing.T) {
				checkPairs(t, r, n)
				checkQuantizeRow(t, r, n)
				checkTransposeCodes(t, r, 1+n%40, n)
				codesSum(intExtremes(r, n, 255))
				MapCodes(0, room[uint8](n), intExtremes(r, n, 255), new([256]uint8))
				checkMaxPool(t, r, &Pool{Planes: 2, H: 4, W: n + 1, OH: 2, OW: (n + 1) / 2, Kernel: twos, Stride: twos})
			})
		}
	})
}
