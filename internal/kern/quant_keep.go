package kern

// What does rounding keep for later passes: codes and clipped elements?

import (
	"encoding/binary"
	"math/bits"
)

// FakeQuantizeKeep is [FakeQuantize] of finite numbers that keeps what later passes
// would have to find out again: the centred codes q - zero_point, all of which fit a
// byte, and a bit for each element, set where [STE] passes. mask has MaskLen(1, 1,
// len(x)) bytes; the bits behind the last element are set. Without clips the caller
// knows that all elements pass.
func FakeQuantizeKeep(dst []float32, codes []int8, mask []uint8, x []float32, g Grid, clips bool) {
	if len(x) <= elemChunk {
		fakeQuantizeKeep(dst, codes, mask, x, g, clips)
		return
	}
	inChunks(len(x), func(from, to int) { // chunks begin with a byte of the mask
		fakeQuantizeKeep(dst[from:to], codes[from:to], mask[from/8:(to+7)/8], x[from:to], g, clips)
	})
}

func fakeQuantizeKeep(dst []float32, codes []int8, mask []uint8, x []float32, g Grid, clips bool) {
	lo, hi := g.limits()
	for i := fakeQuantizeKeepFast(dst, codes, mask, x, g, clips); i < len(x); i++ {
		if i%8 == 0 {
			mask[i/8] = 0xff
		}
		q := steps(x[i], g.Scale, lo, hi)
		dst[i], codes[i] = q*g.Scale, int8(q)
		if clips && passing(x[i], 1, g.Scale, lo, hi) == 0 {
			mask[i/8] &^= 1 << (i % 8)
		}
	}
}

// ClearUnset sets the elements of x whose bits are not set to 0. The bits behind the
// last element are set.
func ClearUnset(x []float32, mask []uint8) {
	done := clearUnsetFast(x, mask)
	at := 64 * done
	mask = mask[8*done:]
	for ; len(mask) >= 8; mask = mask[8:] { // most words have nothing to do
		clearUnset(x, at, ^binary.LittleEndian.Uint64(mask))
		at += 64
	}
	for _, b := range mask {
		clearUnset(x, at, uint64(^b))
		at += 8
	}
}

func clearUnset(x []float32, at int, unset uint64) {
	for ; unset != 0; unset &= unset - 1 {
		x[at+bits.TrailingZeros64(unset)] = 0
	}
}
