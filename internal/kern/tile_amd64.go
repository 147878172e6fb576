//go:build amd64 && !noasm

package kern

// How are tiles called?

import "unsafe"

// runTile computes a tile of rows rows (1 to tileMaxRows) and one or two vectors.
//
// On LevelAVX2 there are no masks: B must have one segment per vector that is
// readable in all 16 lanes (a packed panel), and lanes of C outside the mask are
// only kept, through a copy. Tiles above 6×16 are computed in parts.
func runTile(kind tileKind, rows, vectors int, t *tileArgs) {
	switch {
	case level >= LevelAVX512:
		runTile512(kind, rows, vectors, t)
	case level == LevelAVX2:
		runTileAVX2(kind, rows, vectors, t)
	default:
		tileGo(kind, rows, vectors, t)
	}
}

func runTile512(kind tileKind, rows, vectors int, t *tileArgs) {
	// A masked load of no lane is harmless everywhere, but slow at a bad address.
	if t.m[1] == 0 {
		t.b[1] = t.b[0]
	}
	if t.m[3] == 0 {
		t.b[3] = t.b[2]
	}
	p := (*byte)(unsafe.Pointer(t))
	switch {
	case kind == tileFloat:
		tileF32(rows, vectors, p)
	case kind == tileInt16 && level < LevelVNNI:
		tileS16(rows, vectors, p)
	case level < LevelVNNI:
		panic("kern: byte tiles need VNNI")
	case kind == tileInt16:
		tileS16VNNI(rows, vectors, p)
	case kind == tileUintB:
		tileU8S8(rows, vectors, p)
	default:
		tileS8U8(rows, vectors, p)
	}
}

const tileRowsAVX2 = 6

// runTileAVX2 cuts a tile into kernels of at most 6 rows and one vector.
func runTileAVX2(kind tileKind, rows, vectors int, t *tileArgs) {
	part := evenRows(rows, tileRowsAVX2)
	for v := range vectors {
		for i := 0; i < rows; i += part {
			s := *t
			s.a = unsafe.Add(t.a, i*t.rs)
			s.b[0], s.m[0], s.m[1] = t.b[2*v], t.m[2*v], t.m[2*v+1]
			s.c = unsafe.Add(t.c, i*t.ldc+4*tileLanes*v)
			if t.bias != nil {
				s.bias = unsafe.Add(t.bias, 4*i)
			}
			runPartAVX2(kind, min(part, rows-i), &s)
		}
	}
}

func runPartAVX2(kind tileKind, rows int, t *tileArgs) {
	switch {
	case t.m[1] != 0:
		panic("kern: AVX2 tiles have one segment")
	case t.m[0] == 0:
		return
	case t.m[0] == fullMask:
		callAVX2(kind, rows, t)
		return
	}
	whole := borrow[float32](rows * tileLanes) // the bits of any kind
	defer giveBack(whole)
	dst, ldc := t.c, t.ldc
	t.c, t.ldc = unsafe.Pointer(&(*whole)[0]), 4*tileLanes
	if t.add != 0 {
		for i := range rows {
			moveLanes(unsafe.Add(t.c, i*t.ldc), unsafe.Add(dst, i*ldc), t.m[0])
		}
	}
	callAVX2(kind, rows, t)
	for i := range rows {
		moveLanes(unsafe.Add(dst, i*ldc), unsafe.Add(t.c, i*t.ldc), t.m[0])
	}
}

func callAVX2(kind tileKind, rows int, t *tileArgs) {
	switch kind {
	case tileFloat:
		tileF32AVX2(rows, (*byte)(unsafe.Pointer(t)))
	case tileInt16:
		tileS16AVX2(rows, (*byte)(unsafe.Pointer(t)))
	default:
		panic("kern: byte tiles need VNNI")
	}
}

// moveLanes copies the dwords of a mask.
func moveLanes(dst, src unsafe.Pointer, mask uint16) {
	for l := 0; mask != 0; l, mask = l+1, mask>>1 {
		if mask&1 != 0 {
			*(*uint32)(unsafe.Add(dst, 4*l)) = *(*uint32)(unsafe.Add(src, 4*l))
		}
	}
}
