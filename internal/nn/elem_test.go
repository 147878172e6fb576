package nn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/goqat/goqat/internal/kern"
)

// TestFloat32IsFloat64 compares the vectorised float32 layers with the plain float64
// ones on small whole numbers, where every sum and product is exact, at sizes that
// reach whole vectors, tails, chunks and goroutines.
func TestFloat32IsFloat64(t *testing.T) {
	tests := []struct {
		op Op
		in [][]int
	}{
		{Binary{"add"}, [][]int{{3, 5, 7, 9}, {3, 5, 7, 9}}},
		{Binary{"sub"}, [][]int{{3, 5, 7, 9}, {5, 1, 1}}},
		{Binary{"sub"}, [][]int{{1, 5, 1, 1}, {3, 5, 7, 9}}},
		{Binary{"add"}, [][]int{{40, 1000}, {1000}}},
		{Binary{"mul"}, [][]int{{40, 1000}, {40, 1}}},
		{Binary{"mul"}, [][]int{{6, 5, 7, 9}, {5, 1, 1}}},
		{Binary{"mul"}, [][]int{{}, {33}}},
		{Binary{"sub"}, [][]int{{1}, {33}}},
		{Reduce{Fn: "sum", Axes: []int{0}}, [][]int{{30, 19}}},
		{Reduce{Fn: "sum", Axes: []int{1}}, [][]int{{700, 61}}},
		{Reduce{Fn: "sum", Axes: []int{0, 2, 3}}, [][]int{{4, 5, 9, 8}}},
		{Reduce{Fn: "sum", Axes: []int{0, 1}}, [][]int{{150, 333}}},
		{Reduce{Fn: "max", Axes: []int{1}}, [][]int{{30, 19}}},
		{Unary{Fn: "relu"}, [][]int{{20000}}},
		{Unary{Fn: "clip", Min: -2, Max: 6}, [][]int{{20001}}},
		{Unary{Fn: "leaky_relu", Alpha: 0.5}, [][]int{{77}}},
		{Pool{Kernel: [2]int{2, 2}, Stride: [2]int{2, 2}}, [][]int{{3, 4, 15, 14}}},
		{Pool{Kernel: [2]int{3, 3}, Stride: [2]int{1, 1}, Pad: [4]int{1, 1, 1, 1}}, [][]int{{3, 4, 15, 14}}},
		{GlobalAvgPool{}, [][]int{{3, 4, 8, 4}}},
		{BatchNorm{}, [][]int{{4, 3, 5, 9}, {3}, {3}, {3}, {3}}},
		{BatchNorm{}, [][]int{{6, 11}, {11}, {11}, {11}, {11}}},
		{plain, [][]int{{4, 3, 6, 6}, {5, 3, 3, 3}, {5}}},
	}
	for _, e := range tests {
		t.Run(fmt.Sprint(e.op.Kind(), e.in), func(t *testing.T) {
			want, got := runWhole[float64](t, e.op, e.in), runWhole[float32](t, e.op, e.in)
			old := kern.SetLevel(kern.LevelGeneric)
			generic := runWhole[float32](t, e.op, e.in)
			kern.SetLevel(old)
			if i := firstDifference(got, want); i >= 0 {
				t.Errorf("result %d: %v in float32, %v in float64", i, got[i], want[i])
			}
			if i := firstDifference(generic, want); i >= 0 {
				t.Errorf("result %d: %v in portable float32, %v in float64", i, generic[i], want[i])
			}
		})
	}
}

func firstDifference(a, b []float64) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// runWhole returns the output and all gradients of a layer for whole numbers; variances
// are 1 or 4.
func runWhole[F Float](t *testing.T, op Op, shapes [][]int) []float64 {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	whole := func(shape []int) Tensor[F] {
		x := Tensor[F]{Shape: shape, Data: make([]F, product(shape))}
		for i := range x.Data {
			x.Data[i] = F(r.IntN(17) - 8)
		}
		return x
	}
	var in, grads []Tensor[F]
	for _, s := range shapes {
		in, grads = append(in, whole(s)), append(grads, whole(s))
	}
	if _, ok := op.(BatchNorm); ok {
		for i := range in[4].Data {
			in[4].Data[i] = F(1 + 3*(i%2))
		}
	}
	shape, err := OutShape(op, shapes)
	if err != nil {
		t.Fatal(err)
	}
	out, dout := whole(shape), whole(shape)
	if err := Forward(op, out, in); err != nil {
		t.Fatal(err)
	}
	if err := Backward(op, grads, in, out, dout); err != nil {
		t.Fatal(err)
	}
	var all []float64
	for _, x := range slices.Concat([]Tensor[F]{out}, grads) {
		for _, v := range x.Data {
			all = append(all, float64(v))
		}
	}
	return all
}
