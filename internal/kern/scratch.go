package kern

// Where does scratch memory come from?

import (
	"math/bits"
	"sync"
)

// Float is the element type of the float kernels.
type Float interface{ ~float32 | ~float64 }

// pools holds free buffers by element type and by size class: class c has
// capacity 2^c, so a small request never takes, and a large one never meets, a
// buffer of the wrong size.
var pools [14][bits.UintSize]sync.Pool

// poolsOf picks the pools of buffers with elements like T. Types that are not
// listed share the first row, where a buffer of another type is dropped.
func poolsOf[T any]() *[bits.UintSize]sync.Pool {
	var p *T
	switch any(p).(type) {
	case *float32:
		return &pools[1]
	case *float64:
		return &pools[2]
	case *[tileRows]float32:
		return &pools[3]
	case *[tileCols]float32:
		return &pools[4]
	case *[2]int64:
		return &pools[5]
	case *[tileCols]int32:
		return &pools[6]
	case *int16:
		return &pools[7]
	case *int:
		return &pools[8]
	case *lanes:
		return &pools[9]
	case *[tileRows]float64:
		return &pools[10]
	case *[tileCols]float64:
		return &pools[11]
	case *Stats:
		return &pools[12]
	case *Sums:
		return &pools[13]
	}
	return &pools[0]
}

// borrow returns a buffer of n elements with any content. giveBack takes it
// for the next caller; a buffer that is never given back is only garbage.
func borrow[T any](n int) *[]T {
	class := bits.Len(uint(max(n, 1) - 1))
	if b, ok := poolsOf[T]()[class].Get().(*[]T); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]T, n, 1<<class)
	return &b
}

// giveBack returns a buffer of borrow, whose capacity is a power of two.
func giveBack[T any](b *[]T) {
	poolsOf[T]()[bits.Len(uint(cap(*b)-1))].Put(b)
}

// Scratch returns a buffer of n elements with any content, for loops that would make one
// for each call. Return takes it for the next caller.
func Scratch[T any](n int) *[]T { return borrow[T](n) }

// Return takes back a buffer of [Scratch], whose slice header is as it was.
func Return[T any](b *[]T) { giveBack(b) }
