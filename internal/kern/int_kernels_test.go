package kern

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// awkward returns numbers that are hard to round on a grid with the given scale:
// ties, neighbours of ties, limits, infinities, NaN, zeros of both signs.
func awkward(r *rand.Rand, scale float32) float32 {
	v := float32(r.IntN(600)-300) + 0.5*float32(r.IntN(3))
	x := v * scale
	switch r.IntN(12) {
	case 0:
		return math.Float32frombits(math.Float32bits(x) + 1)
	case 1:
		return math.Float32frombits(math.Float32bits(x) - 1)
	case 2:
		return []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, negZero, 1e38, -1e38, 1e-45}[r.IntN(8)]
	}
	return x
}

var intActs = []Clip{NoClip(), ReLU(), {0, 6}, {-1, 1}}

// TestIntEpilogue compares the kernels with portable: all kinds, masks and numbers.
func TestIntEpilogue(t *testing.T) {
	eachIntLevel(t, func(l Level) {
		r := rand.New(rand.NewPCG(1, 1))
		for i := range 3000 {
			checkEpilogue(t, r, l, i&1 != 0, i&2 != 0, i&4 != 0)
		}
	})
}

func FuzzIntEpilogue(f *testing.F) {
	for kind := range uint8(8) {
		f.Add(uint64(kind), kind)
	}
	f.Fuzz(func(t *testing.T, seed uint64, kind uint8) {
		eachIntLevel(t, func(l Level) {
			checkEpilogue(t, rand.New(rand.NewPCG(seed, 4)), l, kind&1 != 0, kind&2 != 0, kind&4 != 0)
		})
	})
}

func checkEpilogue(t *testing.T, r *rand.Rand, l Level, codes, columns, prev bool) {
	rows, ld := 1+r.IntN(tileMaxRows), panelCols+r.IntN(5)
	acc, sub := make([]int32, rows*panelCols), make([]int32, panelCols)
	mid, scale, bias := make([]float32, rows*panelCols), make([]float32, panelCols), make([]float32, panelCols)
	g := Grid{[]float32{0.25, 0.37, 1e-6, 1e30, 0x1p-140}[r.IntN(5)], r.Int32N(256), 0, 255}
	for i := range acc {
		acc[i], mid[i] = int32(r.Uint64()), awkward(r, g.Scale)
		if r.IntN(2) == 0 {
			acc[i] = r.Int32N(2000) - 1000
		}
	}
	for i := range sub {
		sub[i], scale[i], bias[i] = r.Int32N(100), []float32{0.125, 1e-3, 0, 1e35, float32(math.Inf(1))}[r.IntN(5)], awkward(r, g.Scale)
	}
	e := intEpi{rows: rows, acc: unsafe.Pointer(&acc[0]), sub: unsafe.Pointer(&sub[0]), scale: unsafe.Pointer(&scale[0]),
		bias: unsafe.Pointer(&bias[0]), mask: [2]uint16{columnMask(0, r.IntN(17)), columnMask(0, r.IntN(17))}}
	if prev {
		e.prev = unsafe.Pointer(&mid[0])
	}
	if !columns && r.IntN(2) == 0 {
		e.inc = 4
	}
	var out [2][]byte
	size := rows * ld * 4
	for i := range out {
		data := intGuard(size, byte(99))
		y := IntY{Values: unsafe.Slice((*float32)(unsafe.Pointer(&data.data()[0])), size/4), Grid: g, Act: intActs[r.IntN(4)]}
		if codes {
			y.Values, y.Codes = nil, data.data()
		}
		f := e
		f.setGrid(&y)
		f.place(&y, 0, tileLanes, ld)
		if i == 0 {
			f.portable(codes, columns)
			e.act = f.act
		} else {
			f.act = e.act
			y.Act = e.act
			f.setGrid(&y)
			f.run(codes, columns)
		}
		data.check(t, "epilogue")
		out[i] = data.data()
	}
	compareOutputs(t, fmt.Sprintf("%v, codes %t, columns %t, %+v", l, codes, columns, e), codes, out[1], out[0])
}

// compareOutputs compares bytes, or float32 up to the bits of NaN.
func compareOutputs(t *testing.T, what string, codes bool, got, want []byte) {
	t.Helper()
	if !codes {
		n := len(got) / 4
		intSameBits(t, what, unsafe.Slice((*float32)(unsafe.Pointer(&got[0])), n), unsafe.Slice((*float32)(unsafe.Pointer(&want[0])), n))
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: byte %d is %d, want %d", what, i, got[i], want[i])
		}
	}
}

// TestCodesElementwise compares what works on codes with the formulas, at every
// level and length.
func TestCodesElementwise(t *testing.T) {
	eachIntLevel(t, func(l Level) {
		r := rand.New(rand.NewPCG(2, 2))
		for n := 1; n < 150; n++ {
			checkPairs(t, r, n)
			checkCodes(t, r, n)
		}
	})
}

// FuzzCodes is for all kernels that work on codes.
func FuzzCodes(f *testing.F) {
	f.Add(uint64(1), uint16(1))
	f.Add(uint64(2), uint16(200))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		eachIntLevel(t, func(Level) {
			r := rand.New(rand.NewPCG(seed, 5))
			checkPairs(t, r, 1+int(n))
			checkCodes(t, r, 1+int(n))
			h, w := 2+r.IntN(6), 2+int(n)%200
			checkMaxPool(t, r, &Pool{Planes: 1 + r.IntN(3), H: h, W: w, OH: h / 2, OW: w / 2, Kernel: twos, Stride: twos})
		})
	})
}

// checkCodes checks sums and tables of n codes.
func checkCodes(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	x := intExtremes(r, n, 255)
	var want uint64
	for _, v := range x {
		want += uint64(v)
	}
	if got := codesSum(x); got != want {
		t.Fatalf("%v: sum of %d codes is %d, want %d", CurrentLevel(), n, got, want)
	}
	var table [256]uint8
	for i := range table {
		table[i] = uint8(r.Uint32())
	}
	y := intGuard(n, uint8(7))
	MapCodes(0, y.data(), x, &table)
	y.check(t, "map")
	for i, v := range y.data() {
		if v != table[x[i]] {
			t.Fatalf("%v: code %d mapped to %d, want %d", CurrentLevel(), x[i], v, table[x[i]])
		}
	}
}

func TestMaxPoolCodes(t *testing.T) {
	eachIntLevel(t, func(l Level) {
		r := rand.New(rand.NewPCG(3, 3))
		for w := 2; w < 140; w++ {
			h := 2 + r.IntN(5)
			checkMaxPool(t, r, &Pool{Planes: 3, H: h, W: w, OH: h / 2, OW: w / 2, Kernel: twos, Stride: twos})
		}
		checkMaxPool(t, r, &Pool{Planes: 2, H: 7, W: 6, OH: 4, OW: 3, Kernel: [2]int{3, 3}, Stride: twos, Pad: [4]int{1, 1, 1, 1}})
		checkMaxPool(t, r, &Pool{Planes: 2, H: 7, W: 6, OH: 6, OW: 5, Kernel: twos, Stride: ones})
	})
}

func checkMaxPool(t *testing.T, r *rand.Rand, p *Pool) {
	t.Helper()
	x := intExtremes(r, p.Planes*p.H*p.W, 255)
	y := intGuard(p.Planes*p.OH*p.OW, uint8(7))
	MaxPoolCodes(0, p, y.data(), x)
	y.check(t, "pool")
	for i, v := range y.data() {
		y0, y1, x0, x1 := p.window(i/p.OW%p.OH, i%p.OW)
		want := uint8(0)
		for a := y0; a < y1; a++ {
			for b := x0; b < x1; b++ {
				want = max(want, x[(i/(p.OH*p.OW)*p.H+a)*p.W+b])
			}
		}
		if v != want {
			t.Fatalf("%v, %+v: maximum %d is %d, want %d", CurrentLevel(), p, i, v, want)
		}
	}
}

// TestNibblesStayPacked: 4-bit weights take half a byte, others are not narrowed.
func TestNibblesStayPacked(t *testing.T) {
	if !hasTile(tileUintB) {
		t.Skip("no kernels for bytes")
	}
	const n, k = 64, 128
	p := &IntProduct{Nibbles: true}
	for _, top := range []int16{7, 8} {
		p.SetMatMul(n, k, true, Grid{1, 3, 0, 255}, Dequant{Scale: []float32{1}, Blocks: 1}, func(dst []int16) {
			for i := range dst {
				dst[i] = int16(i)%16 - 8
			}
			dst[5] = top
		})
		f := p.form.Load()
		if got, want := len(f.half), map[int16]int{7: n * k / 2, 8: 0}[top]; got != want || top == 7 && f.data != nil {
			t.Errorf("largest code %d: %d packed bytes and %d dwords, want %d bytes", top, got, len(f.data), want)
		}
	}
}
