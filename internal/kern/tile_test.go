package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// eachLevel runs fn on every level that the processor has.
func eachLevel(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	defer SetLevel(SetLevel(LevelVNNI))
	for l := LevelGeneric; l <= LevelVNNI; l++ {
		if SetLevel(l); CurrentLevel() == l {
			t.Run(l.String(), fn)
		}
	}
}

// same says that two numbers have the same bits or are both NaN: the sign and
// payload of a NaN depend on the order in which a processor reads its operands.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// tileCase is one call of a micro kernel with everything that it may read.
type tileCase struct {
	kind                tileKind
	rows, vectors, k    int
	masks               [4]uint16
	add, bias, shuffled bool
	values              func(i int) uint32 // the dwords of A, B and C
}

// tileGuard is what surrounds C; as a float it is an unusual NaN.
const tileGuard = 0x7fa51234

// tileMemory is the memory of a tileCase, filled.
type tileMemory struct {
	a, b, c, bias []uint32
	offA, offB    []int
	args          tileArgs
}

const caseLDC = 2*tileLanes + 5 // dwords

func (c *tileCase) memory() *tileMemory {
	m := &tileMemory{}
	n := 0
	fill := func(count int) []uint32 {
		s := make([]uint32, count)
		for i := range s {
			s[i] = c.values(n)
			n++
		}
		return s
	}
	rs := c.k + 3
	m.a, m.bias = fill(tileMaxRows*rs), fill(tileMaxRows)
	const panel = 4 * tileLanes // every segment has its own columns
	m.b = fill(c.k * panel)
	m.c = make([]uint32, (tileMaxRows+2)*caseLDC)
	for i := range m.c {
		m.c[i] = tileGuard
	}
	for i := range c.rows {
		for v := range c.vectors {
			for l := range tileLanes {
				if (c.masks[2*v]|c.masks[2*v+1])>>l&1 != 0 {
					m.c[caseLDC*(i+1)+v*tileLanes+l] = c.values(n)
					n++
				}
			}
		}
	}
	m.offA, m.offB = make([]int, c.k), make([]int, c.k)
	for i := range c.k {
		m.offA[i], m.offB[i] = 4*i, 4*panel*i
		if c.shuffled {
			m.offA[i], m.offB[i] = 4*((i*7+3)%c.k), 4*panel*((i*5+1)%c.k)
		}
	}
	t := &m.args
	*t = tileArgs{k: c.k, a: unsafe.Pointer(&m.a[0]), rs: 4 * rs, offA: &m.offA[0], offB: &m.offB[0], m: c.masks,
		c: unsafe.Pointer(&m.c[caseLDC]), ldc: 4 * caseLDC}
	for i, mask := range c.masks {
		if mask != 0 || i%2 == 0 && c.masks[i+1] == fullMask {
			t.b[i] = unsafe.Pointer(&m.b[i*tileLanes])
		}
	}
	if c.add {
		t.add = 1
	}
	if c.bias && c.kind == tileFloat {
		t.bias = unsafe.Pointer(&m.bias[0])
	}
	return m
}

// check compares the level in use with portable code.
func (c *tileCase) check(t *testing.T) {
	t.Helper()
	got, want := c.memory(), c.memory()
	runTile(c.kind, c.rows, c.vectors, &got.args)
	tileGo(c.kind, c.rows, c.vectors, &want.args)
	for i, g := range got.c {
		w := want.c[i]
		if g != w && (c.kind != tileFloat || w == tileGuard || !same(math.Float32frombits(g), math.Float32frombits(w))) {
			t.Fatalf("kind %d, %d×%d, k %d, masks %04x, add %t, bias %t: C[%d][%d] is %#x, want %#x",
				c.kind, c.rows, c.vectors, c.k, c.masks, c.add, c.bias, i/caseLDC-1, i%caseLDC, g, w)
		}
	}
}

// normals are random float32, and random bits for integers.
func normals(kind tileKind, seed uint64) func(int) uint32 {
	return func(i int) uint32 {
		at := (uint64(i)*0x9e3779b97f4a7c15 + seed*0xd1342543de82ef95) >> 52
		if kind == tileFloat {
			return math.Float32bits(normalNumbers[at])
		}
		return math.Float32bits(normalNumbers[at]) * 0x9e3779b1
	}
}

// normalNumbers are what normals picks from.
var normalNumbers = randoms[float32](rand.New(rand.NewPCG(12, 34)), 1<<12)

func eachKind(t *testing.T, fn func(t *testing.T, kind tileKind)) {
	eachLevel(t, func(t *testing.T) {
		for kind := range tileKindsEnd {
			if hasTile(kind) {
				t.Run(fmt.Sprintf("kind %d", kind), func(t *testing.T) { fn(t, kind) })
			}
		}
	})
}

func TestTileShapes(t *testing.T) {
	eachKind(t, func(t *testing.T, kind tileKind) {
		for rows := 1; rows <= tileMaxRows; rows++ {
			for vectors := 1; vectors <= 2; vectors++ {
				for k := 1; k <= 41; k++ {
					if k == 41 {
						k = KC
					}
					masks := [4]uint16{fullMask, 0, fullMask, 0}
					if vectors == 1 {
						masks[2] = 0
					}
					c := tileCase{kind, rows, vectors, k, masks, k&1 != 0, k&2 != 0, k&4 != 0, normals(kind, uint64(k))}
					c.check(t)
				}
			}
		}
	})
}

func TestTileMasks(t *testing.T) {
	eachKind(t, func(t *testing.T, kind tileKind) {
		r := rand.New(rand.NewPCG(1, 2))
		two := level >= LevelAVX512
		for n := 1; n <= 2*tileLanes; n++ { // the first n columns, cut at every place
			for cut := 0; cut <= tileLanes; cut++ {
				m0, m1, below := columnMask(0, n), columnMask(1, n), uint16(1<<cut-1)
				masks := [4]uint16{m0 & below, m0 &^ below, m1 &^ below, m1 & below}
				if !two {
					masks = [4]uint16{m0, 0, m1, 0}
				}
				c := tileCase{kind, 1 + n%tileMaxRows, 1 + min(1, int(m1)), 3, masks, n&1 != 0, n&2 != 0, false, normals(kind, uint64(n))}
				c.check(t)
			}
		}
		for range 500 { // any lanes; where both masks have one, the second wins
			masks := [4]uint16{uint16(r.Uint32()), uint16(r.Uint32()), uint16(r.Uint32()), uint16(r.Uint32())}
			if !two {
				masks[1], masks[3] = 0, 0
			}
			c := tileCase{kind, 1 + r.IntN(tileMaxRows), 1 + r.IntN(2), 1 + r.IntN(9), masks, r.IntN(2) == 0, r.IntN(2) == 0, true, normals(kind, r.Uint64())}
			c.check(t)
		}
	})
}

// extremes are the values at which number formats have their corners.
var extremes = []uint32{0, 1 << 31, 0x7f800000, 0xff800000, 0x7fc00000, 1, 0x80000001, 0x7fffff, 0x800000, 0x7f7fffff, 0xff7fffff,
	0x3f800000, 0xbf800001, 0x80808080, 0x7f7f7f7f, 0xffffffff, 0x80008000, 0x7fff7fff, 0xff80ff80, 0x1f800000, 0x20000001}

func TestTileExtremes(t *testing.T) {
	eachKind(t, func(t *testing.T, kind tileKind) {
		r := rand.New(rand.NewPCG(3, 4))
		for i := range 2000 {
			all := [4]uint16{fullMask, 0, fullMask, 0}
			c := tileCase{kind, 1 + r.IntN(tileMaxRows), 1 + r.IntN(2), 1 + r.IntN(4), all, i&1 != 0, i&2 != 0, false, nil}
			seed := r.Uint64()
			c.values = func(n int) uint32 { return extremes[(seed^uint64(n)*0x9e3779b97f4a7c15)>>32%uint64(len(extremes))] }
			c.check(t)
		}
	})
}

func FuzzTile(f *testing.F) {
	f.Add(uint8(0), uint8(3), uint16(5), uint64(0xffff0000ffff), uint64(1), []byte{0, 0, 128, 63})
	f.Add(uint8(40), uint8(16), uint16(10), uint64(0xffff00000000), uint64(0), []byte("0")) // a vector without lanes
	f.Add(uint8(7), uint8(13), uint16(511), ^uint64(0), uint64(7), []byte{255, 255, 127, 127, 1, 0, 0, 128})
	f.Fuzz(func(t *testing.T, flags, rows uint8, k uint16, masks, seed uint64, data []byte) {
		if len(data) == 0 {
			return
		}
		c := tileCase{rows: 1 + int(rows)%tileMaxRows, vectors: 1 + int(flags>>2&1), k: 1 + int(k)%KC,
			add: flags&8 != 0, bias: flags&16 != 0, shuffled: flags&32 != 0}
		for i := range c.masks {
			c.masks[i] = uint16(masks >> (16 * i))
		}
		c.values = func(n int) (v uint32) {
			for i := range 4 {
				v = v<<8 | uint32(data[(uint64(n)*4+uint64(i)+seed*uint64(n>>3))%uint64(len(data))])
			}
			return v
		}
		eachLevel(t, func(t *testing.T) {
			c.kind = tileKind(flags & 3)
			if level == LevelAVX2 {
				c.masks[1], c.masks[3] = 0, 0
			}
			if hasTile(c.kind) {
				c.check(t)
			}
		})
	})
}

func BenchmarkTile(b *testing.B) {
	for kind := range tileKindsEnd {
		for _, s := range [][3]int{{14, 2, 512}, {13, 2, 256}, {8, 2, 256}, {4, 2, 256}, {14, 1, 256}, {1, 2, 256}, {12, 2, 9}} {
			c := tileCase{kind, s[0], s[1], s[2], [4]uint16{fullMask, 0, fullMask, 0}, false, false, false, normals(kind, 1)}
			m := c.memory()
			b.Run(fmt.Sprintf("kind %d/%d×%d×%d", kind, s[0], s[1]*tileLanes, s[2]), func(b *testing.B) {
				for b.Loop() {
					runTile(kind, s[0], s[1], &m.args)
				}
				per := []float64{2, 8, 8, 4}[kind]
				b.ReportMetric(per*float64(s[0]*s[1]*tileLanes*s[2])*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gop/s")
			})
		}
	}
}
