package observers_test

import (
	"encoding/json"
	"fmt"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/observers"
)

// The rules over batches with the ranges (-1, 2), (-3, 1) and (0.5, 4).
func Example() {
	layout, err := fakequant.Spec{}.Layout([]int{3})
	if err != nil {
		panic(err)
	}
	for _, kind := range observers.Kinds() {
		obs, err := observers.New(kind)
		if err != nil {
			panic(err)
		}
		for _, x := range [][]float32{{-1, 0, 2}, {1, -3, 0}, {4, 0.5, 1}} {
			if err := obs.Observe(x, layout); err != nil {
				panic(err)
			}
		}
		lo, hi, _ := obs.Range()
		fmt.Printf("%-22s %8.4f %8.4f\n", kind, lo[0], hi[0])
	}
	// Output:
	// min_max                 -3.0000   4.0000
	// moving_average_min_max  -1.0048   2.0101
	// ema_min_max             -1.0300   2.1100
	// latest                   0.5000   4.0000
	// histogram               -3.0000   4.0000
	// percentile              -3.0000   4.0000
	// mse                     -3.0000   4.0000
	// kl                      -3.0000   4.0000
	// latest_mse               0.0000   4.0000
}

// From data to scale and zero point.
func ExampleMovingAverage() {
	spec := fakequant.Spec{Unsigned: true, Scheme: fakequant.Affine}
	layout, err := spec.Layout([]int{2, 2})
	if err != nil {
		panic(err)
	}
	obs := &observers.MovingAverage{Constant: 0.5}
	for _, batch := range [][]float32{{0, 1, 2, 6}, {0, 2, 3, 4.2}} {
		if err := obs.Observe(batch, layout); err != nil {
			panic(err)
		}
	}
	lo, hi, _ := obs.Range()
	p, err := fakequant.ParamsFromRange(spec, lo, hi, false)
	if err != nil {
		panic(err)
	}
	fmt.Println(lo, hi, p.Scale, p.ZeroPoint)
	// Output: [0] [5.1] [0.02] [0]
}

// Two replicas saw different halves of the data.
func ExampleMerger() {
	layout, err := fakequant.Spec{}.Layout([]int{2})
	if err != nil {
		panic(err)
	}
	var a, b observers.MinMax
	if err := a.Observe([]float32{-1, 2}, layout); err != nil {
		panic(err)
	}
	if err := b.Observe([]float32{0, 3}, layout); err != nil {
		panic(err)
	}
	if err := a.Merge(&b); err != nil {
		panic(err)
	}
	state, err := json.Marshal(&a)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(state))
	// Output: {"kind":"min_max","batches":2,"lo":[-1],"hi":[3]}
}

// 9999 values from -1 to 1 and an outlier: what each rule makes of it.
func Example_outlier() {
	x := []float32{20}
	for i := range 9999 {
		x = append(x, float32(i-4999)/4999)
	}
	layout, err := fakequant.Spec{}.Layout([]int{len(x)})
	if err != nil {
		panic(err)
	}
	for _, obs := range []fakequant.Observer{
		&observers.MinMax{},
		&observers.Percentile{Percentile: 99.9},
		&observers.MSE{Spec: fakequant.Spec{Bits: 4}},
	} {
		if err := obs.Observe(x, layout); err != nil {
			panic(err)
		}
		lo, hi, _ := obs.Range()
		fmt.Printf("%T %.2f %.2f\n", obs, lo[0], hi[0])
	}
	// Output:
	// *observers.MinMax -1.00 20.00
	// *observers.Percentile -1.00 1.00
	// *observers.MSE -1.00 1.20
}

// The range of 4-bit weights with the least error, found anew for each tensor.
func ExampleLatestMSE() {
	spec := fakequant.Spec{Bits: 4, NarrowRange: true, Granularity: fakequant.PerChannel}
	weights := []float32{
		0.10, -0.21, 0.29, 0.41, -0.52, 0.60, -0.69, 0.95, // one large weight is clipped
		0.10, -0.20, 0.30, 0.40, -0.50, 0.60, -0.70, 0.70, // fits as it is
	}
	layout, err := spec.Layout([]int{2, 8})
	if err != nil {
		panic(err)
	}
	obs := &observers.LatestMSE{Spec: spec}
	if err := obs.Observe(weights, layout); err != nil {
		panic(err)
	}
	lo, hi, _ := obs.Range()
	p, err := fakequant.ParamsFromRange(spec, lo, hi, false)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%.3f\n", p.Scale)
	// Output: [0.136 0.100]
}
