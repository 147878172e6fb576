package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/goqat/goqat/internal/kern"
)

// broadcastTol bounds the relative error of a float32 gradient of up to four roundings and
// a sum in float64, for operands and gradients between 0.5 and 2.
const broadcastTol = 8 * 0x1p-24

// patterns are operands that repeat along every kind of axes, at sizes where loops have
// tails and where an axis is alone.
var patterns = [][2][]int{
	{{4, 19, 37}, {4, 19, 37}}, {{4, 19, 37}, {}}, {{4, 19, 37}, {1}}, {{4, 19, 37}, {37}}, {{4, 19, 37}, {19, 37}},
	{{4, 19, 37}, {19, 1}}, {{4, 19, 37}, {4, 1, 1}}, {{4, 19, 37}, {4, 19, 1}}, {{4, 19, 37}, {4, 1, 37}},
	{{4, 1, 37}, {1, 19, 1}}, {{4, 1, 37}, {19, 1}}, {{1, 1, 3}, {5, 1, 1}}, {{1}, {1, 1}}, {{2, 3, 1, 33}, {1, 3, 5, 1}},
	{{3, 5, 7, 7}, {3, 5, 1, 1}}, {{3, 5, 7, 7}, {1, 5, 1, 1}}, {{40, 600}, {600}}, {{40, 600}, {40, 1}}, {{600}, {40, 1}},
}

// TestBroadcast compares every pattern, both ways round, on every level with the definition.
func TestBroadcast(t *testing.T) {
	for _, p := range patterns {
		for _, s := range [][2][]int{p, {p[1], p[0]}} {
			for _, fn := range []string{"add", "sub", "mul", "div"} {
				t.Run(fmt.Sprint(fn, s), func(t *testing.T) { checkBroadcast(t, Binary{fn}, s) })
			}
		}
	}
}

func checkBroadcast(t *testing.T, op Binary, shapes [2][]int) {
	r := rand.New(rand.NewPCG(5, 6))
	in := []Tensor[float32]{someBetween(r, shapes[0]), someBetween(r, shapes[1])}
	var first []Tensor[float32]
	for l := kern.LevelGeneric; l <= kern.LevelVNNI; l++ {
		old := kern.SetLevel(l)
		out := run(t, op, in)
		dout := someBetween(rand.New(rand.NewPCG(9, 9)), out.Shape)
		got := append(back(t, op, in, out, dout), out)
		kern.SetLevel(old)
		if first == nil {
			first = got
			checkBinary(t, op, in, dout, got)
		}
		for i := range got {
			wantSame(t, fmt.Sprintf("%v at %v: result %d", op.Fn, l, i), got[i].Data, first[i].Data)
		}
	}
}

func someBetween(r *rand.Rand, shape []int) Tensor[float32] {
	x := Tensor[float32]{shape, make([]float32, product(shape))}
	for i := range x.Data {
		x.Data[i] = 0.5 + 1.5*r.Float32()
	}
	return x
}

// checkBinary computes one element at a time, in float64.
func checkBinary(t *testing.T, op Binary, in []Tensor[float32], dout Tensor[float32], got []Tensor[float32]) {
	t.Helper()
	out := got[2]
	sa, sb := broadcastStrides(in[0].Shape, out.Shape), broadcastStrides(in[1].Shape, out.Shape)
	grads := [2][]float64{make([]float64, len(in[0].Data)), make([]float64, len(in[1].Data))}
	sizes := [2][]float64{make([]float64, len(in[0].Data)), make([]float64, len(in[1].Data))}
	for i, y := range out.Data {
		ia, ib, rest := 0, 0, i
		for ax := len(out.Shape) - 1; ax >= 0; ax-- {
			k := rest % out.Shape[ax]
			rest /= out.Shape[ax]
			ia, ib = ia+k*sa[ax], ib+k*sb[ax]
		}
		a, b, d := float64(in[0].Data[ia]), float64(in[1].Data[ib]), float64(dout.Data[i])
		var want, da, db float64
		switch op.Fn {
		case "add":
			want, da, db = a+b, d, d
		case "sub":
			want, da, db = a-b, d, -d
		case "mul":
			want, da, db = a*b, d*b, d*a
		default:
			want, da, db = a/b, d/b, -d*a/b/b
		}
		if y != float32(want) && math.Abs(float64(y)-want) > broadcastTol*math.Abs(want) {
			t.Fatalf("element %d is %v, want %v", i, y, want)
		}
		grads[0][ia], grads[1][ib] = grads[0][ia]+da, grads[1][ib]+db
		sizes[0][ia], sizes[1][ib] = sizes[0][ia]+math.Abs(da), sizes[1][ib]+math.Abs(db)
	}
	for k := range grads {
		for i, want := range grads[k] {
			if g := float64(got[k].Data[i]); !(math.Abs(g-want) <= broadcastTol*sizes[k][i]) {
				t.Fatalf("gradient %d, element %d is %v, want %v", k, i, g, want)
			}
		}
	}
}

// TestPermute: every order of axes, where some are long, moves every element to its place,
// and the gradient moves it back.
func TestPermute(t *testing.T) {
	for _, shape := range [][]int{{3, 17, 9, 20}, {1, 150, 1, 11}, {2, 8, 130, 1}} {
		perms(4, func(perm []int) {
			op := Transpose{Perm: perm}
			x := Tensor[float32]{shape, make([]float32, product(shape))}
			for i := range x.Data {
				x.Data[i] = float32(i)
			}
			y := run(t, op, []Tensor[float32]{x})
			own := strides(shape)
			for i, v := range y.Data {
				at, rest := 0, i
				for ax := 3; ax >= 0; ax-- {
					at, rest = at+rest%y.Shape[ax]*own[perm[ax]], rest/y.Shape[ax]
				}
				if v != float32(at) {
					t.Fatalf("%v by %v: element %d is %v, want %d", shape, perm, i, v, at)
				}
			}
			wantSame(t, "gradient", back(t, op, []Tensor[float32]{x}, y, y)[0].Data, x.Data)
		})
	}
}

// perms calls fn with every order of 0 … n-1.
func perms(n int, fn func([]int)) {
	p := make([]int, 0, n)
	var next func(left uint)
	next = func(left uint) {
		if left == 0 {
			fn(append([]int(nil), p...))
		}
		for i := range n {
			if left>>i&1 == 1 {
				p = append(p, i)
				next(left &^ (1 << i))
				p = p[:len(p)-1]
			}
		}
	}
	next(1<<n - 1)
}
