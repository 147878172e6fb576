package kern

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// eachVectorLevel runs fn on the levels that have kernels for convolutions.
func eachVectorLevel(t *testing.T, fn func(t *testing.T)) {
	eachConvLevel(t, func(t *testing.T) {
		if fastConv() {
			fn(t)
		}
	})
}

func at(x []float32, i int) unsafe.Pointer { return unsafe.Pointer(&x[i]) }

// TestConvRows: rows of every length are moved, split and merged, and nothing
// between the rows is written.
func TestConvRows(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(30, 1))
		for cols := 1; cols <= 70; cols++ {
			const planes, rows, stepA, stepB, stepC = 2, 3, 80, 81, 85
			for _, k := range []struct {
				name       string
				fast, twin func(a *rowArgs)
			}{
				{"copy", func(a *rowArgs) { a.copyRows(cols) }, func(a *rowArgs) { a.goCopy(cols) }},
				{"split", func(a *rowArgs) { a.splitRows(cols) }, func(a *rowArgs) { a.goSplit(cols) }},
				{"merge", func(a *rowArgs) { a.mergeRows(cols) }, func(a *rowArgs) { a.goMerge(cols) }},
			} {
				var got, want [3][]float32
				for i, n := range []int{stepA, stepB, stepC} {
					got[i] = randoms[float32](r, planes*rows*n+2)
					want[i] = append([]float32(nil), got[i]...)
				}
				for i, x := range [2][3][]float32{got, want} {
					a := rowArgs{a: at(x[0], 1), b: at(x[1], 1), c: at(x[2], 1), stepA: 4 * stepA, stepB: 4 * stepB, stepC: 4 * stepC, rows: rows,
						planes: planes, planeA: 4 * rows * stepA, planeB: 4 * rows * stepB, planeC: 4 * rows * stepC}
					[]func(*rowArgs){k.fast, k.twin}[i](&a)
				}
				for i := range got {
					sameBits(t, fmt.Sprintf("%s of %d columns, operand %d", k.name, cols, i), got[i], want[i])
				}
			}
		}
	})
}

// randomVecs makes vectors of one or two runs whose places lie below size bytes.
func randomVecs(r *rand.Rand, count int) (vecs []pixVec, pixels, size int) {
	for range count {
		v := pixVec{first: pixels, n: 1 + r.IntN(vecLanes)}
		if r.IntN(2) == 0 {
			v.n = vecLanes
		}
		split := 1 + r.IntN(v.n)
		v.mask = [2]uint16{columnMask(0, split), columnMask(0, v.n) &^ columnMask(0, split)}
		v.off = [2]int{4 * size, 4 * size}
		if split < v.n {
			v.off[1] += 4 * r.IntN(5)
		}
		vecs = append(vecs, v)
		pixels += v.n
		size += v.n + 5
	}
	return vecs, pixels, size
}

// TestConvSweep and the next compare kernels with their portable twins.
func TestConvSweep(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(31, 1))
		for k := 1; k <= 30; k++ {
			vecs, pixels, size := randomVecs(r, 1+r.IntN(9))
			x, w, offB := randoms[float32](r, size+44), randoms[float32](r, k+2), make([]int, k)
			for i := range offB {
				offB[i] = 4 * r.IntN(40)
			}
			s := sweepArgs{k: k, w: at(w, 0), b: at(x, 0), offB: &offB[0], vecs: &vecs[0], n: len(vecs), planes: 3, stepW: 4, stepB: 8, stepC: 4 * pixels}
			if k%2 == 0 {
				s.bias, s.stepBias = at(w, 0), 4
			}
			got, check := guarded(t, r, 3*pixels)
			want := make([]float32, 3*pixels)
			twin := s
			s.c = at(got, 0)
			s.sweep()
			twin.c = at(want, 0)
			twin.goSweep()
			check("sweep")
			sameBits(t, fmt.Sprint(k, " taps"), got, want)
		}
	})
}

func TestConvLanes(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(32, 1))
		for rows := 1; rows <= laneRows; rows++ {
			for range 10 {
				vecs, pixels, size := randomVecs(r, 1+r.IntN(9))
				x, dy := randoms[float32](r, size+8), randoms[float32](r, rows*pixels)
				const width = laneCols*vecLanes + 3
				got, check := guarded(t, r, rows*width)
				want := append([]float32(nil), got...)
				s := laneArgs{n: len(vecs), vecs: &vecs[0], dy: at(dy, 0), step: 4 * pixels, sumStep: 4 * width}
				for j := range s.x {
					s.x[j] = at(x, r.IntN(8))
				}
				s.sum = at(got, 0)
				s.lanes(rows)
				s.sum = at(want, 0)
				s.goLanes(rows)
				check("lanes")
				sameBits(t, fmt.Sprint(rows, " rows"), got, want)
			}
		}
	})
}

func TestConvNine(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(36, 1))
		for range 50 {
			vecs, pixels, size := randomVecs(r, 1+r.IntN(9))
			const planes = 3
			x, dy, off := randoms[float32](r, size+60), randoms[float32](r, planes*pixels), make([]int, nineTaps)
			for i := range off {
				off[i] = 4 * r.IntN(40)
			}
			got, check := guarded(t, r, planes*nineTaps*vecLanes)
			want := append([]float32(nil), got...)
			s := nineArgs{n: len(vecs), vecs: &vecs[0], x: at(x, 0), offB: &off[0], dy: at(dy, 0), planes: planes,
				stepX: 12, stepDY: 4 * pixels, stepSum: 4 * nineTaps * vecLanes}
			twin := s
			s.sum, twin.sum = at(got, 0), at(want, 0)
			s.lanes()
			old := SetLevel(LevelGeneric)
			twin.byThree()
			SetLevel(old)
			check("nine")
			sameBits(t, "sums", got, want)
		}
	})
}

func TestConvStrip(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(33, 1))
		for rows := 1; level >= LevelAVX512 && rows <= tileMaxRows; rows++ {
			for k := 1; k < 12; k += 3 {
				vecs, pixels, size := randomVecs(r, 2*(1+r.IntN(3)))
				for i := 0; i < len(vecs); i += 2 { // the first of a pair must be full
					vecs[i] = pixVec{vecs[i].first, vecLanes, [2]int{0, 4}, [2]uint16{0xff, 0xff00}}
					if r.IntN(2) == 0 {
						vecs[i] = pixVec{vecs[i].first, vecLanes, [2]int{4, 4}, [2]uint16{fullMask, 0}}
					}
					vecs[i+1].first = vecs[i].first + vecLanes
				}
				pixels += vecLanes * len(vecs)
				x, w, offB := randoms[float32](r, size+60), randoms[float32](r, rows*k), make([]int, k)
				for i := range offB {
					offB[i] = 4 * r.IntN(40)
				}
				got, check := guarded(t, r, rows*pixels)
				want := append([]float32(nil), got...)
				args := stripArgs{k: k, w: at(w, 0), offB: &offB[0], vecs: &vecs[0], n: len(vecs) / 2, base: at(x, 0), c: at(got, 0), ldc: 4 * pixels}
				args.add = k / 3 % 2
				if len(vecs) > 2 {
					args.bias = at(w, 0)
				}
				s := args
				s.run(rows)
				s = args
				s.c = at(want, 0)
				s.goStrip(rows)
				check("strip")
				sameBits(t, fmt.Sprint(rows, " rows"), got, want)
			}
		}
	})
}

// TestConvPlane and the next compare the kernels of planes with their portable twins.
func TestConvPlane(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(38, 1))
		for rows := planeRows; level >= LevelAVX512 && rows < 40; rows++ { // below, there is only the twin
			h, w := 1+r.IntN(30), 1+r.IntN(40)
			for h*w < 2*vecLanes {
				h++
			}
			p, pixels := newPlanePlan([2]int{h, w}), h*w
			x, packed, bias := randoms[float32](r, pixels), randoms[float32](r, rows*nineTaps), randoms[float32](r, rows)
			a := planeArgs{x: at(x, 0), vecs: &p.vecs[0], n: pixels / (2 * vecLanes), row: 4 * w, w: at(packed, 0), ldc: 4 * pixels, blocks: planeBlocks(rows)}
			if rows%2 == 0 {
				a.bias = at(bias, 0)
			}
			tail := a
			tail.x, tail.vecs, tail.n = at(x, pixels-2*vecLanes), &p.tail[0], 1
			got, check := guarded(t, r, rows*pixels)
			want := append([]float32(nil), got...)
			for i, c := range [2][]float32{got, want} {
				for _, b := range [2]planeArgs{a, tail} {
					b.c = unsafe.Add(at(c, 0), uintptr(b.x)-uintptr(a.x))
					[]func(*planeArgs){(*planeArgs).run, (*planeArgs).goPlane}[i](&b)
				}
			}
			check("plane")
			sameBits(t, fmt.Sprintf("%d rows, %d×%d", rows, h, w), got, want)
		}
	})
}

func TestConvPlaneLanes(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(39, 1))
		for i := 0; level >= LevelAVX512 && i < 5*laneRows; i++ {
			rows, blocks, h, w := 1+i%laneRows, 1+r.IntN(3), 1+r.IntN(30), 1+r.IntN(30)
			p, pixels := newPlanePlan([2]int{h, w}), h*w
			x, dy := randoms[float32](r, pixels), randoms[float32](r, blocks*rows*pixels)
			s := planeLaneArgs{n: len(p.vecs), masks: &p.rows[0], x: at(x, 0), stepX: 4 * w, dy: at(dy, 0), step: 4 * pixels, ahead: at(dy, 0), blocks: blocks, add: i / laneRows % 2}
			got, check := guarded(t, r, blocks*rows*nineTaps*vecLanes)
			want := append([]float32(nil), got...)
			s.sum = at(got, 0)
			s.lanes(rows)
			s.sum = at(want, 0)
			s.goLanes(rows)
			check("lanes")
			sameBits(t, fmt.Sprintf("%d×%d rows, %d×%d", blocks, rows, h, w), got, want)
		}
	})
}

func TestConvPanel(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(34, 1))
		longest := panelLanes() / 2
		if level == LevelAVX2 {
			longest = 8
		}
		for k := 1; k <= 20; k++ {
			var runs []panelRun
			x, offB := randoms[float32](r, 200), make([]int, k)
			for i := range offB {
				offB[i] = 4 * r.IntN(100)
			}
			lanes := 0
			for lanes < panelLanes() {
				n := min(1+r.IntN(longest), panelLanes()-lanes)
				runs = append(runs, panelRun{at(x, r.IntN(80)), 4 * lanes, columnMask(0, n), &runMasks[min(n, 8)]})
				lanes += n
			}
			got, check := guarded(t, r, k*lanes+panelSlack)
			want := make([]float32, len(got))
			p := panelArgs{k: k, offB: &offB[0], dst: at(got, 0), row: 4 * lanes, runs: &runs[0], n: len(runs)}
			p.pack()
			p.dst = at(want, 0)
			p.goPanel(longest)
			check("panel")
			sameBits(t, fmt.Sprint(k, " steps"), got[:k*lanes], want[:k*lanes])
		}
	})
}

func TestAddLanes(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(35, 1))
		for n := range 50 {
			src := randoms[float32](r, n*vecLanes)
			got, check := guarded(t, r, n)
			want := make([]float32, n)
			addAllLanes(got, src)
			goAddLanes(want, src)
			check("lanes")
			sameBits(t, fmt.Sprint(n), got, want)
		}
	})
}

// TestAhead: whatever the sizes, all steps stay inside the operands and take all but
// less than a line of each.
func TestAhead(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(37, 1))
		for range 200 {
			steps := 1 + r.IntN(20)
			a := newAhead(make([]float32, r.IntN(300)), make([]float32, r.IntN(300)), steps)
			for range steps + 2 {
				a.step()
			}
			if len(a.left[0]) > 0 || len(a.left[1]) >= cacheLine {
				t.Fatalf("%d and %d elements are left", len(a.left[0]), len(a.left[1]))
			}
		}
	})
}

// TestDeal: the phases of long strides get what they get element by element, and nothing
// else is written.
func TestDeal(t *testing.T) {
	eachVectorLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(39, 1))
		for range 300 {
			s := []int{4, 8, 16, 3}[r.IntN(4)]
			h, w := 1+r.IntN(20), 1+r.IntN(90)
			pad := [4]int{r.IntN(5), r.IntN(5), r.IntN(5), r.IntN(20)}
			l := newPadLayout(2, h, w, pad, [2]int{s, s}, func(phase []int) {
				for i := range phase {
					if r.IntN(4) > 0 || i == 0 {
						phase[i] = 0
					}
				}
			})
			src := randoms[float32](r, 2*h*w)
			got := randoms[float32](r, l.size)
			want := append([]float32(nil), got...)
			l.fillPlanes(got, src, 2)
			for i, v := range src {
				at, phases := l.row(i / w % h)
				if x := i%w + l.left; phases[x%s] >= 0 {
					want[i/(h*w)*l.plane+at+phases[x%s]+x/s] = v
				}
			}
			sameBits(t, fmt.Sprintf("%d×%d, stride %d, padding %v", h, w, s, pad), got, want)
		}
	})
}
