package kern

// Which memory should be fetched before it is read?

import "unsafe"

// cacheLine is the float32 values of a cache line.
const cacheLine = 16

// aheadLimit is the number of elements up to which it pays to bring them into the cache
// ahead of time: more take the room of what is in use.
const aheadLimit = 28 << 10

// ahead is what a goroutine will need next. It brings it into the cache bit by bit while
// it computes: nothing is multiplied while memory is waited for.
type ahead struct {
	left  [2][]float32
	lines int // of the cache, for each step
}

// newAhead spreads two operands over so many steps, or nothing when they are too long.
func newAhead(x, y []float32, steps int) ahead {
	if len(x)+len(y) > aheadLimit {
		return ahead{}
	}
	return ahead{left: [2][]float32{x, y}, lines: ceilDiv(len(x)+len(y), cacheLine*max(1, steps))}
}

// step fetches one step's lines.
func (a *ahead) step() {
	i := 0
	if len(a.left[0]) == 0 {
		i = 1
	}
	n := min(a.lines, len(a.left[i])/cacheLine)
	if n == 0 {
		a.left[i] = nil
		return
	}
	fetchRows(unsafe.Pointer(&a.left[i][0]), 1, 0, n)
	a.left[i] = a.left[i][n*cacheLine:]
}
