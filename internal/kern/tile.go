package kern

// What is a tile, and which shapes are there?

import "unsafe"

//go:generate go -C _gen run . -set tile -out ../tile_amd64.s -stubs ../tile_stubs_amd64.go

// A tile is the block of a product that one call of a micro kernel computes:
// up to tileMaxRows rows of up to two vectors of tileLanes columns. Everything
// that multiplies matrices or convolves is cut into tiles.
const (
	tileLanes   = 16 // columns (dwords) of a vector
	tileMaxRows = 14
)

// KC is the number of steps after which every float32 sum of products is cut:
// the sum is one chain of fused multiply-adds over k that starts from +0 again
// every KC steps, and the chains' results are added in order. It is part of all
// results. It also bounds the time of one call of a micro kernel.
const KC = 512

// tileKind says what the dwords of a tile's factors are.
type tileKind int

const (
	tileFloat    tileKind = iota // A, B, C: one float32 each; fused multiply-adds
	tileUintB                    // B: four uint8, A: four int8, C: int32
	tileUintA                    // B: four int8, A: four uint8, C: int32
	tileInt16                    // A, B: two int16, C: int32
	tileKindsEnd                 // the number of kinds
)

// tileArgs are the arguments of a micro kernel, which reads the fields by their
// offsets: C(i,j) = sum over k of A(i,k)·B(k,j), or C += that, for some rows i
// and one or two vectors of 16 columns j. Integer sums wrap around.
//
// All strides and offsets are in bytes. Bases must point into the memory that
// they stand for, also when an offset is added to them, because the garbage
// collector looks at them.
type tileArgs struct {
	k    int            // steps, 1 to KC for float32
	a    unsafe.Pointer // A(i,k) is the dword at a + i*rs + offA[k]
	rs   int            // from one row of A to the next
	offA *int           // k offsets
	// Vector v of row k of B has its lanes of m[2v] from b[2v]+offB[k] and those
	// of m[2v+1] from b[2v+1]+offB[k]: lane l from 4*l bytes further. Lanes in
	// neither mask are not read, except that a vector whose masks together have all
	// lanes is read at b[2v] in all of them. Other bases whose mask is 0 may be nil.
	b    [4]unsafe.Pointer
	offB *int           // k offsets
	m    [4]uint16      // lane masks
	c    unsafe.Pointer // C, row-major; lanes in no mask are not touched
	ldc  int            // from one row of C to the next
	bias unsafe.Pointer // nil, or one float32 per row, added last; float32 only
	add  int            // 1: C += sum, 0: C = sum
}

// float32 sums in detail: the chain starts from +0; then C + chain when add is
// set; then the bias, each rounded once. This is what portable code does, too.

const fullMask = 1<<tileLanes - 1

// columnMask is the mask of vector v of a tile with n columns.
func columnMask(v, n int) uint16 {
	return uint16(1<<min(max(n-v*tileLanes, 0), tileLanes) - 1)
}

// setColumns sets the masks for n columns whose rows of B are contiguous at b;
// it returns the number of vectors.
func (t *tileArgs) setColumns(b unsafe.Pointer, n int) (vectors int) {
	t.b = [4]unsafe.Pointer{b, nil, nil, nil}
	t.m = [4]uint16{columnMask(0, n), 0, columnMask(1, n), 0}
	if n <= tileLanes {
		return 1
	}
	t.b[2] = unsafe.Add(b, 4*tileLanes)
	return 2
}

// hasTile says whether the level in use has kernels of a kind; runTile must not
// be called without, except on LevelGeneric, where it computes in portable Go.
func hasTile(kind tileKind) bool {
	switch kind {
	case tileFloat, tileInt16:
		return level >= LevelAVX2
	}
	return level >= LevelVNNI
}

// tileShape returns the most rows and vectors that one kernel of the level in use
// computes; larger tiles are possible, but cost several calls.
func tileShape() (rows, vectors int) {
	if level == LevelAVX2 {
		return 6, 1
	}
	return tileMaxRows, 2
}

// evenRows is the size of the largest part when m rows are cut into the fewest
// parts of at most limit (at least 1) rows; all others have as many or one less.
func evenRows(m, limit int) int { return ceilDiv(m, ceilDiv(m, max(1, limit))) }
