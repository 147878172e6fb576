package kern

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"
)

// The references here are the definitions, written as plainly as they can be.

// place finds memory for so many bytes; nil stands for the heap.
var place func(bytes int) unsafe.Pointer

// room makes operands and results.
func room[T any](n int) []T {
	if place == nil || n == 0 {
		return make([]T, n)
	}
	return unsafe.Slice((*T)(place(n*int(unsafe.Sizeof(*new(T))))), n)
}

// guards is how many guard values go with a buffer: where place has put it, no value
// around it can be written.
func guards(n int) int {
	if place != nil {
		return 0
	}
	return n
}

func randoms[F Float](r *rand.Rand, n int) []F {
	x := room[F](n)
	for i := range x {
		x[i] = F(r.NormFloat64())
	}
	return x
}

// wholes returns small whole numbers: all sums of their products are exact in
// float32, so any order of summation gives the same bits.
func wholes(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.IntN(17) - 8)
	}
	return x
}

func codes(r *rand.Rand, n, limit int) []int16 {
	x := make([]int16, n)
	for i := range x {
		x[i] = int16(r.IntN(2*limit+1) - limit)
	}
	return x
}

// eachProcs runs fn with one and with four processors.
func eachProcs(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	counts := []int{1, 4}
	if testing.Short() { // what else is done at once matters to the race detector
		counts = counts[1:]
	}
	for _, n := range counts {
		runtime.GOMAXPROCS(n)
		fn(t)
	}
}

func wantSame[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// visit calls fn for every product of a convolution that lies inside the image,
// in the order of the taps: indices into out, x and w, input channel within the group.
func (c *Conv) visit(fn func(o, x, w, ch int)) {
	for n := range c.N {
		for k := range c.K {
			g := k / c.kg()
			for oy := range c.OH {
				for ox := range c.OW {
					o := ((n*c.K+k)*c.OH+oy)*c.OW + ox
					for ch := range c.cg() {
						for r := range c.R {
							for s := range c.S {
								y := oy*c.Stride[0] - c.Pad[0] + r*c.Dilation[0]
								x := ox*c.Stride[1] - c.Pad[1] + s*c.Dilation[1]
								if y < 0 || y >= c.H || x < 0 || x >= c.W {
									continue
								}
								fn(o, ((n*c.C+g*c.cg()+ch)*c.H+y)*c.W+x, ((k*c.cg()+ch)*c.R+r)*c.S+s, ch)
							}
						}
					}
				}
			}
		}
	}
}

func (c *Conv) sizes() (x, w, out int) {
	return c.N * c.C * c.H * c.W, c.K * c.taps(), c.N * c.K * c.pixels()
}

// geometry fills in OH and OW.
func geometry(n, ch, h, w, k, r, s, groups int, stride, dil [2]int, pad [4]int) Conv {
	return Conv{N: n, C: ch, H: h, W: w, K: k, R: r, S: s, Groups: groups, Stride: stride, Dilation: dil, Pad: pad,
		OH: (h+pad[0]+pad[2]-dil[0]*(r-1)-1)/stride[0] + 1, OW: (w+pad[1]+pad[3]-dil[1]*(s-1)-1)/stride[1] + 1}
}

var (
	ones = [2]int{1, 1}
	twos = [2]int{2, 2}
)

var convCases = []struct {
	name string
	c    Conv
}{
	{"one by one", geometry(2, 5, 4, 3, 7, 1, 1, 1, ones, ones, [4]int{})},
	{"one pixel", geometry(1, 3, 1, 1, 2, 1, 1, 1, ones, ones, [4]int{})},
	{"3x3 padded", geometry(3, 4, 6, 5, 6, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"asymmetric padding", geometry(2, 2, 5, 7, 3, 2, 4, 1, ones, ones, [4]int{0, 2, 1, 3})},
	{"stride above kernel", geometry(2, 3, 9, 8, 2, 2, 1, 1, [2]int{3, 4}, ones, [4]int{1, 0, 0, 0})},
	{"dilated", geometry(2, 3, 9, 9, 5, 3, 2, 1, [2]int{2, 1}, [2]int{2, 3}, [4]int{2, 1, 0, 2})},
	{"grouped", geometry(2, 6, 5, 5, 9, 3, 3, 3, ones, ones, [4]int{1, 1, 1, 1})},
	{"depthwise 3x3", geometry(3, 5, 7, 6, 5, 3, 3, 5, ones, ones, [4]int{1, 1, 1, 1})},
	{"depthwise 3x3 stride 2", geometry(2, 3, 7, 8, 3, 3, 3, 3, twos, ones, [4]int{0, 0, 1, 1})},
	{"depthwise dilated rows", geometry(2, 3, 9, 8, 3, 3, 3, 3, ones, [2]int{2, 1}, [4]int{})},
	{"depthwise dilated", geometry(2, 3, 9, 8, 3, 3, 3, 3, ones, twos, [4]int{2, 2, 2, 2})},
	{"depthwise 5x2", geometry(2, 3, 9, 8, 3, 5, 2, 3, [2]int{1, 2}, ones, [4]int{2, 0, 1, 1})},
	{"multiplier 2", geometry(2, 3, 5, 5, 6, 3, 3, 3, ones, ones, [4]int{1, 1, 1, 1})},
	{"multiplier 5", geometry(2, 3, 5, 5, 15, 3, 3, 3, ones, ones, [4]int{1, 1, 1, 1})},
	{"one channel", geometry(2, 1, 8, 8, 6, 5, 5, 1, ones, ones, [4]int{})},
	{"many images", geometry(19, 2, 4, 4, 3, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"large image", geometry(1, 3, 20, 21, 5, 3, 3, 1, ones, ones, [4]int{1, 1, 1, 1})},
	{"padding of nothing but zeros", geometry(1, 1, 1, 1, 4, 3, 3, 1, ones, ones, [4]int{3, 3, 3, 3})},
}

func TestConvCasesReachEveryPath(t *testing.T) {
	has := func(fn func(c *Conv) bool) bool {
		return slices.ContainsFunc(convCases, func(e struct {
			name string
			c    Conv
		}) bool {
			return fn(&e.c)
		})
	}
	if !has(func(c *Conv) bool { return c.thin() }) || !has(func(c *Conv) bool { return !c.thin() && c.cg() == 1 }) {
		t.Error("cases miss a depthwise path")
	}
	if !has(func(c *Conv) bool { return newConvPlan(c).parts(c.N*c.Groups) > 1 || runtime.GOMAXPROCS(0) == 1 }) {
		t.Error("no case cuts an image into parts")
	}
	if !has(func(c *Conv) bool { return c.N > 2*imageChunk }) {
		t.Error("no case has several chunks of images")
	}
}
