package plan

import (
	"testing"

	"github.com/goqat/goqat/fakequant"
	"github.com/goqat/goqat/qat/qconfig"
)

// An observer gets its constant and the format, and so do those of its sites.
func TestNewObserver(t *testing.T) {
	spec := fakequant.Spec{Bits: 4, Unsigned: true, Scheme: fakequant.Affine}
	const codes = `"codes":{"bits":4,"unsigned":true,"affine":true,"non_negative":true},`
	for _, tc := range []struct {
		set  qconfig.Tensor
		want string
	}{
		{qconfig.Tensor{Observer: "moving_average_min_max", AveragingConstant: 0.5}, `"constant":0.5,`},
		{qconfig.Tensor{Observer: "ema_min_max", EMARatio: 0.5}, `"ratio":0.5,`},
		{qconfig.Tensor{Observer: "percentile", Percentile: 99.9}, `"percentile":99.9,`},
		{qconfig.Tensor{Observer: "percentile"}, `"percentile":99.99,`},
		{qconfig.Tensor{Observer: "histogram", Bins: 64}, `"bins":64,`},
		{qconfig.Tensor{Observer: "mse", Bins: 64}, `"bins":64,` + codes},
		{qconfig.Tensor{Observer: "mse"}, `"bins":2048,` + codes},
		{qconfig.Tensor{Observer: "kl", Bins: 64}, `"bins":64,` + codes},
		{qconfig.Tensor{Observer: "latest_mse"}, codes},
		{qconfig.Tensor{Observer: "latest"}, ``},
		{qconfig.Tensor{Observer: "min_max"}, ``},
	} {
		layer, _ := qconfig.Config{Global: &qconfig.Layer{Weights: tc.set}}.Resolve("", "conv")
		obs, err := newObserver(layer.Weights, spec, true)
		if err != nil {
			t.Fatal(err)
		}
		got, err := obs.Fresh().MarshalJSON()
		if want := `{"kind":"` + tc.set.Observer + `",` + tc.want + `"batches":0,"lo":[],"hi":[]}`; err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", tc.set.Observer, got, err, want)
		}
	}
}
