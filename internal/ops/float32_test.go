package ops

import (
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestFloat32(t *testing.T) {
	for name, c := range map[string]struct {
		data any
		want []float32 // nil: an error
	}{
		"int":      {[]int{-3, 0, 7}, []float32{-3, 0, 7}},
		"int32":    {[]int32{-3, 0, 7}, []float32{-3, 0, 7}},
		"int64":    {[]int64{1 << 24, 0, -(1 << 24)}, []float32{1 << 24, 0, -(1 << 24)}},
		"too far":  {[]int64{1<<24 + 1, 0, 0}, nil},
		"too low":  {[]int{0, -(1 << 24) - 1, 0}, nil},
		"float64s": {[]float64{1, 2, 3}, nil},
	} {
		g := gorgonia.NewGraph()
		x := tensor.New(tensor.WithShape(3), tensor.WithBacking(c.data))
		y, err := Float32(gorgonia.NewVector(g, x.Dtype(), gorgonia.WithShape(3), gorgonia.WithName("x"), gorgonia.WithValue(x)))
		if err == nil {
			vm := gorgonia.NewTapeMachine(g)
			err = vm.RunAll()
			vm.Close()
		}
		switch {
		case c.want == nil:
			if err == nil || name != "float64s" && !strings.Contains(err.Error(), "float32 has every whole number only up to") {
				t.Errorf("%s: error %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case !slices.Equal(y.Value().Data().([]float32), c.want):
			t.Errorf("%s: %v, want %v", name, y.Value(), c.want)
		}
	}
}
