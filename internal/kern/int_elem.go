package kern

// How are codes pooled, averaged, and turned into numbers?

import (
	"encoding/binary"
	"unsafe"

	"github.com/goqat/goqat/internal/par"
)

// MaxPoolCodes writes the largest code of each window.
func MaxPoolCodes(threads int, p *Pool, out, x []uint8) {
	pairs := p.two() && p.Stride == [2]int{2, 2}
	work := p.OH * p.OW * p.Kernel[0] * p.Kernel[1]
	if level >= LevelAVX512 && p.Stride[1] <= 2 {
		work = ceilDiv(work, 16)
		if !pairs {
			p.maxCodes(threads, ceilDiv(codesGrain, work), out, x)
			return
		}
	}
	par.ForN(threads, p.Planes, ceilDiv(codesGrain, work), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dst, src := out[i*p.OH*p.OW:][:p.OH*p.OW], x[i*p.H*p.W:][:p.H*p.W]
			if pairs && p.maxPairs(dst, src) {
				continue
			}
			for y := range p.OH {
				p.maxRow(dst[y*p.OW:][:p.OW], src, y)
			}
		}
	})
}

// maxCodes is MaxPoolCodes in vectors.
func (p *Pool) maxCodes(threads, grain int, out, x []uint8) {
	m := p.newMaxPlan(maxByteSlack, true)
	par.ForN(threads, p.Planes, grain, func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		s.rows = grow(s.rows, m.size)
		clear(s.rows)
		for i := lo; i < hi; i++ {
			m.args(unsafe.Pointer(&out[i*p.OH*p.OW]), unsafe.Pointer(&x[i*p.H*p.W]), unsafe.Pointer(&s.rows[0]), 1, (*maxArgs).runBytes)
		}
	})
}

// maxPairs writes the maxima of a plane with windows of two by two and stride two,
// where there is a kernel for it.
func (p *Pool) maxPairs(dst, src []uint8) bool {
	rest := p.OW % 32
	t := intPool{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), width: p.W, dstWidth: p.OW,
		full: p.OW / 32, rows: p.OH, in: 1<<(2*rest) - 1, out: 1<<rest - 1}
	return t.fast()
}

// maxRow writes one row of maxima.
func (p *Pool) maxRow(dst, src []uint8, oy int) {
	for ox := range dst {
		y0, y1, x0, x1 := p.window(oy, ox)
		m := uint8(0)
		for y := y0; y < y1; y++ {
			for _, v := range src[y*p.W+x0 : y*p.W+x1] {
				m = max(m, v)
			}
		}
		dst[ox] = m
	}
}

// AvgPoolCodes averages the codes of x, or the real numbers after rounding them:
//
//	y = float32(float32(sum)·scale) / float32(count)
//
// where sum is the exact sum of the window's centred codes. Its magnitude must
// stay below 2^31.
func AvgPoolCodes(threads int, p *Pool, out []float32, x IntX) {
	work := p.OH * p.OW * p.Kernel[0] * p.Kernel[1]
	whole := p.OH*p.OW == 1 && p.Pad == [4]int{} && p.Kernel == [2]int{p.H, p.W}
	par.ForN(threads, p.Planes, ceilDiv(codesGrain, work), func(lo, hi int) {
		s := intScratches.Get().(*intScratch)
		defer s.put()
		for i := lo; i < hi; i++ {
			src := s.plane(x.at(i*p.H*p.W, p.H*p.W))
			if whole {
				out[i] = average(codesSum(src), len(src), p.count(0, p.H, 0, p.W), x.Grid)
				continue
			}
			p.averages(out[i*p.OH*p.OW:][:p.OH*p.OW], src, x.Grid)
		}
	})
}

// average is the value of a window of n codes with the given sum.
func average(sum uint64, n, count int, g Grid) float32 {
	centred := int32(int64(sum) - int64(n)*int64(g.ZeroPoint))
	return float32(float32(centred)*g.Scale) / float32(count)
}

func (p *Pool) averages(dst []float32, src []uint8, g Grid) {
	for i := range dst {
		y0, y1, x0, x1 := p.window(i/p.OW, i%p.OW)
		var sum uint64
		for y := y0; y < y1; y++ {
			for _, v := range src[y*p.W+x0 : y*p.W+x1] {
				sum += uint64(v)
			}
		}
		dst[i] = average(sum, (y1-y0)*(x1-x0), p.count(y0, y1, x0, x1), g)
	}
}

// codesSum adds up codes.
func codesSum(x []uint8) uint64 {
	sum, n := codesSumFast(x)
	return sum + wordsSum(x[n:])
}

// wordsSum adds up codes eight at a time, in four sums of 16 bits, which 128 words cannot
// overflow.
func wordsSum(x []uint8) (sum uint64) {
	const even, most = 0x00ff00ff00ff00ff, 128
	for len(x) >= 8 {
		lanes := uint64(0)
		for range min(len(x)/8, most) {
			v := binary.LittleEndian.Uint64(x)
			lanes += v&even + v>>8&even
			x = x[8:]
		}
		for ; lanes != 0; lanes >>= 16 {
			sum += lanes & 0xffff
		}
	}
	for _, v := range x {
		sum += uint64(v)
	}
	return sum
}
